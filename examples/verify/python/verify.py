"""Verifies a webhook: `v1` by the official library, `v1a` by Ed25519 with the keys of jwks.json.

    pip install standardwebhooks cryptography
"""

import base64
import json
import sys
import time
from collections.abc import Mapping

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

MAX_AGE_S = 5 * 60


def is_valid_v1(secret: str, body: bytes, headers: Mapping[str, str]) -> bool:
    """Whether one of the signatures `v1` is made with `secret`."""
    try:
        Webhook(secret).verify(body, dict(headers))
    except WebhookVerificationError:
        return False
    return True


def is_valid_v1a(jwks: Mapping, body: bytes, headers: Mapping[str, str]) -> bool:
    """Whether one of the signatures `v1a` is made with one of the keys."""
    webhook_id, timestamp = headers["webhook-id"], headers["webhook-timestamp"]
    if not timestamp.isdigit() or abs(time.time() - int(timestamp)) > MAX_AGE_S:
        return False
    message = f"{webhook_id}.{timestamp}.".encode() + body
    for one in headers["webhook-signature"].split(" "):
        version, _, signature = one.partition(",")
        if version != "v1a":
            continue
        for key in jwks["keys"]:
            public_key = Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(key["x"] + "=="))
            try:
                public_key.verify(base64.b64decode(signature), message)
                return True
            except (InvalidSignature, ValueError):
                pass  # another key may have signed
    return False


def main() -> None:
    """Verifies the request on standard input, which the check of these examples writes."""
    request = json.load(sys.stdin)
    body, headers = request["body"].encode(), request["headers"]
    v1 = is_valid_v1(request["secret"], body, headers)
    v1a = is_valid_v1a(request["jwks"], body, headers)
    print(f"v1 {str(v1).lower()}, v1a {str(v1a).lower()}")


if __name__ == "__main__":
    main()
