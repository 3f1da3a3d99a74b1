#!/bin/sh
# Makes an authority for development and a serving pair of it, P-256, good for 30 days. The authority's key is not kept:
# nobody can sign anything else with it.
set -eu

usage='usage: certs/development.sh [--dir DIR] [--replace] [NAME...]
  --dir DIR   where ca.crt, tls.crt and tls.key go (default: development, beside this script, which git ignores)
  --replace   in place of those that are there
  NAME        DNS name or address that the pair is for
              (default: localhost 127.0.0.1 identity-injector.identity-injector-system.svc)'

fail() { # a sentence
  echo "certs/development.sh: $1" >&2
  exit 1
}

misused() {
  echo "$usage" >&2
  exit 64
}

dir=$(dirname "$0")/development
replace=false
while [ $# -gt 0 ]; do
  case $1 in
    --dir) [ $# -ge 2 ] || misused; dir=$2; shift ;;
    --replace) replace=true ;;
    -h | --help) echo "$usage"; exit 0 ;;
    -*) misused ;;
    *) break ;;
  esac
  shift
done
[ $# -gt 0 ] || set -- localhost 127.0.0.1 identity-injector.identity-injector-system.svc

names=
for name; do
  case $name in
    '' | *[!A-Za-z0-9.:*-]*) fail "'$name' is neither a DNS name nor an address" ;;
    *:*) kind=IP ;;
    *[!0-9.]*) kind=DNS ;;
    *) kind=IP ;;
  esac
  names=$names${names:+,}$kind:$name
done

command -v openssl >/dev/null || fail 'openssl is missing'
for file in ca.crt tls.crt tls.key; do
  if [ -e "$dir/$file" ] && ! $replace; then
    fail "$dir/$file is there already, and may be in use: --replace makes another"
  fi
done

umask 077
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat >"$work/openssl.cnf" <<END
[req]
distinguished_name = name
[name]
[authority]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[leaf]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = $names
END

quietly() { # a command, whose complaints are shown if it fails
  "$@" 2>"$work/complaints" || {
    cat "$work/complaints" >&2
    fail "openssl made no certificate for $names"
  }
}
for key in ca tls; do
  quietly openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$work/$key.key"
done
quietly openssl req -new -x509 -sha256 -days 30 -config "$work/openssl.cnf" -extensions authority \
  -subj '/CN=identity-injector development authority' -key "$work/ca.key" -out "$work/ca.crt"
quietly openssl req -new -sha256 -config "$work/openssl.cnf" \
  -subj '/CN=identity-injector' -key "$work/tls.key" -out "$work/tls.csr"
quietly openssl x509 -req -sha256 -days 30 -in "$work/tls.csr" -CA "$work/ca.crt" -CAkey "$work/ca.key" \
  -set_serial "0x$(openssl rand -hex 16)" -extfile "$work/openssl.cnf" -extensions leaf -out "$work/tls.crt"

mkdir -p "$dir"
for file in ca.crt tls.crt tls.key; do
  mv -f "$work/$file" "$dir/$file"
done
cat <<END
$dir/tls.crt and tls.key are for $names,
$(openssl x509 -in "$dir/tls.crt" -noout -enddate | sed 's/notAfter=/until /'). The webhook serves with them by

  identity-injector webhook --certs files --cert-dir $dir

and API servers believe it by this in each clientConfig of its MutatingWebhookConfiguration:

  caBundle: $(openssl base64 -A -in "$dir/ca.crt")
END
