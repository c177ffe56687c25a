#!/usr/bin/env bash
# Publishes an event with curl: publish.sh order.paid '{"total": 12}'
# HOOKWRIGHT_KEY is an API key of the tenant, HOOKWRIGHT_URL the URL of Hookwright.
set -euo pipefail
url=${HOOKWRIGHT_URL:-http://127.0.0.1:8080}
key=${HOOKWRIGHT_KEY:?set HOOKWRIGHT_KEY to an API key of the tenant}
type=${1:?usage: publish.sh TYPE JSON}
data=${2:?usage: publish.sh TYPE JSON}

# The same key on every attempt, so that an event is not accepted twice if its answer is lost.
idempotency_key=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')

# A type has no white space or control characters, so only `\` and `"` need escaping.
type=${type//\\/\\\\}
type=${type//\"/\\\"}
curl --fail-with-body --silent --show-error --retry 5 --retry-all-errors --max-time 10 \
  -H "authorization: Bearer $key" \
  -H 'content-type: application/json' \
  -H "idempotency-key: $idempotency_key" \
  --data-binary "{\"type\": \"$type\", \"data\": $data}" \
  "$url/api/v3/events"
echo
