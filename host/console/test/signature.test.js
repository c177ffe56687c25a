import assert from "node:assert/strict";
import { createHmac, randomBytes } from "node:crypto";
import test from "node:test";
import { diagnose } from "../src/lib/signature.js";

const NOW = 1_796_031_000;
const key = randomBytes(24);
const secret = `whsec_${key.toString("base64")}`;
const sent = '{"total":12345678901234567890,"name":"Zoë"}';

/** @param {{body?: string, key?: Buffer, id?: string, timestamp?: number, message?: string, prefix?: string, version?: string}} [how] */
function headers({ body = sent, key: signing = key, id = "evt_1", timestamp = NOW, message, prefix = "webhook", version = "v1" } = {}) {
  const signature = createHmac("sha256", signing).update(message ?? `${id}.${timestamp}.${body}`).digest("base64");
  return `${prefix}-id: ${id}\n${prefix}-timestamp: ${timestamp}\n${prefix}-signature: ${version},${signature}`;
}

/** @param {Partial<import("../src/lib/signature.js").Input>} input @param {RegExp} title @param {RegExp} [text] */
async function check(input, title, text = /./) {
  const [first] = await diagnose({ body: sent, headers: headers(), secret, now: NOW, ...input });
  assert.match(first.title, title);
  assert.match(first.text, text);
}

test("a valid request is valid, with each way to write headers", async () => {
  await check({}, /valid/);
  await check({ headers: headers().replaceAll(/^([a-z-]+): (.*)$/gm, '"$1": "$2",') }, /valid/);
  await check({ headers: headers().toUpperCase().replace(/: .*/g, "") + "\n" + headers().replaceAll("webhook-", "HTTP_WEBHOOK_") }, /valid/);
});

test("a body that was parsed and written again is found", async () => {
  await check({ body: '{"total": 12345678901234567890, "name": "Zoë"}' }, /body was changed/);
  await check({ body: '{"total":12345678901234567890,"name":"Zo\\u00eb"}' }, /body was changed/);
  await check({ body: `${sent}\n` }, /body was changed/, /line break|white space/i);
  await check({ body: JSON.stringify(sent) }, /body was changed/, /quotes/);
});

test("a key that is not decoded is found", async () => {
  await check({ headers: headers({ key: Buffer.from(secret) }) }, /Base64/, /prefix/);
  await check({ headers: headers({ key: Buffer.from(secret.slice(6)) }) }, /Base64/, /Decode/);
});

test("a wrong secret is found, also if it is no secret at all", async () => {
  await check({ secret: `whsec_${randomBytes(24).toString("base64")}` }, /Wrong secret/);
  await check({ secret: "hwk_abc" }, /API key/);
  await check({ secret: "whpk_abc" }, /key pair/);
  await check({ secret: "whsec_AAAA" }, /Wrong secret/, /only 3 bytes/);
});

test("a clock, and a missing header, are found", async () => {
  await check({ now: NOW + 3600 }, /Clock/, /60 minutes before/);
  await check({ headers: headers({ timestamp: NOW * 1000 }) }, /milliseconds/);
  await check({ headers: "webhook-id: a" }, /missing/, /webhook-timestamp/);
});

test("other versions, names and messages are found", async () => {
  await check({ headers: headers({ version: "v1a" }) }, /Another version/, /key pair|public key/);
  await check({ headers: headers({ version: "sha256" }) }, /Another version/);
  await check({ headers: headers({ message: sent }) }, /Other bytes/, /body alone/);
  const found = await diagnose({ body: sent, headers: headers({ prefix: "svix" }), secret, now: NOW });
  assert.match(found[1].title, /other names/);
});
