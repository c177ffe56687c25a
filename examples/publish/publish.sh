#!/usr/bin/env bash
# Publishes an event with curl: publish.sh order.paid '{"total": 12}'
# HOOKWRIGHT_KEY is an API key of the tenant; HOOKWRIGHT_URL where Hookwright listens.
set -euo pipefail
url=${HOOKWRIGHT_URL:-http://127.0.0.1:8080}
key=${HOOKWRIGHT_KEY:?set HOOKWRIGHT_KEY to an API key of the tenant}
type=${1:?usage: publish.sh TYPE JSON}
data=${2:?usage: publish.sh TYPE JSON}

# The same key on every attempt: an event whose answer was lost is not accepted twice.
idempotency_key=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')

# A type holds no white space and no control characters; what remains to be escaped is `\` and `"`.
type=${type//\\/\\\\}
type=${type//\"/\\\"}
curl --fail-with-body --silent --show-error --retry 5 --retry-all-errors --max-time 10 \
  -H "authorization: Bearer $key" \
  -H 'content-type: application/json' \
  -H "idempotency-key: $idempotency_key" \
  --data-binary "{\"type\": \"$type\", \"data\": $data}" \
  "$url/api/v3/events"
echo
