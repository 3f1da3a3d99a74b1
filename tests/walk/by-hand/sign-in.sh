#!/bin/sh
# Makes az know the cloud at $ARM_URL and signs in there; for the real Azure it would be `az login` alone.
# REQUESTS_CA_BUNDLE is the file of the authority that az is to trust.
set -eu

# Else az looks for a newer version of itself on the network.
mkdir -p "$HOME/.azure"
printf '{"versions":{},"update_time":"2099-01-01 00:00:00.000000"}' > "$HOME/.azure/versionCheck.json"

az cloud register --name Simulated --endpoint-resource-manager "$ARM_URL"
az cloud set --name Simulated
az login --service-principal --username "$AZURE_CLIENT_ID" --password "$AZURE_CLIENT_SECRET" --tenant "$AZURE_TENANT_ID"
