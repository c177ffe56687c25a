// Verifies a webhook: `v1` by the official library, `v1a` by Ed25519 with the keys of jwks.json.
//
//     npm install standardwebhooks

import { createPublicKey, verify, type JsonWebKey } from "node:crypto";
import { readFileSync } from "node:fs";
import { Webhook, WebhookVerificationError } from "standardwebhooks";

type Headers = Record<string, string>;

const MAX_AGE_S = 5 * 60;

/** Whether one of the signatures `v1` is made with `secret`. */
export function isValidV1(secret: string, body: string, headers: Headers): boolean {
  try {
    new Webhook(secret).verify(body, headers);
    return true;
  } catch (error) {
    if (error instanceof WebhookVerificationError) return false;
    throw error;
  }
}

/** Whether one of the signatures `v1a` is made with one of the keys. */
export function isValidV1a(jwks: { keys: JsonWebKey[] }, body: string, headers: Headers): boolean {
  const { "webhook-id": id, "webhook-timestamp": timestamp, "webhook-signature": header } = headers;
  if (!id || !header || !(Math.abs(Date.now() / 1000 - Number(timestamp)) <= MAX_AGE_S)) return false;
  const message = Buffer.from(`${id}.${timestamp}.${body}`);
  const signatures = header.split(" ").filter((one) => one.startsWith("v1a,")).map((one) => one.slice(4));
  const keys = jwks.keys.map((key) => createPublicKey({ key, format: "jwk" }));
  return signatures.some((signature) =>
    keys.some((key) => verify(null, message, key, Buffer.from(signature, "base64"))));
}

// Verifies the request on standard input, which the check of these examples writes.
const { secret, jwks, headers, body } = JSON.parse(readFileSync(0, "utf8"));
console.log(`v1 ${isValidV1(secret, body, headers)}, v1a ${isValidV1a(jwks, body, headers)}`);
