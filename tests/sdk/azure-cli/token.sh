#!/bin/sh
# As a script in a pod: sign in, then ask for a token. token.sh VENV RESOURCE [CLIENT_ID]; ARM_URL is the cloud's.
set -eu
venv=$1 resource=$2 client=${3:-}
export AZURE_CORE_COLLECT_TELEMETRY=no AZURE_CORE_INSTANCE_DISCOVERY=false AZURE_CORE_ONLY_SHOW_ERRORS=true

# Registering a cloud is no part of what is measured, and its files are the same each time.
if [ ! -d "$HOME/registered" ]; then
  export AZURE_CONFIG_DIR="$HOME/registering"
  mkdir -p "$AZURE_CONFIG_DIR"
  "$venv/bin/az" cloud register --name Simulated --endpoint-resource-manager "$ARM_URL" >&2
  "$venv/bin/az" cloud set --name Simulated >&2
  # Without it the CLI looks for a newer version on the network.
  printf '{"versions":{},"update_time":"2099-01-01 00:00:00.000000"}' > "$AZURE_CONFIG_DIR/versionCheck.json"
  mv "$AZURE_CONFIG_DIR" "$HOME/registered"
fi
export AZURE_CONFIG_DIR="$HOME/azure"
rm -rf "$AZURE_CONFIG_DIR" && cp -r "$HOME/registered" "$AZURE_CONFIG_DIR"

version=$("$venv/bin/python" -c 'from importlib.metadata import version; print(version("azure-cli"))')
start=$(date +%s%N)
if az_error=$("$venv/bin/az" login --identity ${client:+--client-id "$client"} --output none 2>&1) &&
  token=$("$venv/bin/az" account get-access-token --resource "$resource" --query accessToken --output tsv 2>"$HOME/error"); then
  outcome="\"token\":\"$token\""
else
  outcome="\"error\":$(printf '%s' "$az_error$(cat "$HOME/error" 2>/dev/null)" | "$venv/bin/python" -c 'import json, sys; print(json.dumps(sys.stdin.read()))')"
fi
printf '{"version":"%s",%s,"milliseconds":%s}\n' "$version" "$outcome" $((($(date +%s%N) - start) / 1000000))
