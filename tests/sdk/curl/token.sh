#!/bin/sh
# As the documentation of IMDS and of App Service has it: token.sh CREDENTIAL RESOURCE [CLIENT_ID]
set -eu
resource=$2 client=${3:+&client_id=$3}
if [ -n "${IDENTITY_ENDPOINT:-}" ]; then
  url="$IDENTITY_ENDPOINT?api-version=2019-08-01" header="X-IDENTITY-HEADER: $IDENTITY_HEADER"
else
  url="${IMDS_ENDPOINT:-http://169.254.169.254}/metadata/identity/oauth2/token?api-version=2018-02-01" header='Metadata: true'
fi
start=$(date +%s%N)
reply=$(curl --silent --show-error --max-time 10 --header "$header" "$url&resource=$resource$client")
version=$(curl --version | sed -n '1s/curl \([^ ]*\).*/\1/p')
printf '{"version":"%s","reply":%s,"milliseconds":%s}\n' "$version" "$reply" $((($(date +%s%N) - start) / 1000000))
