// Why a receiver refuses a signature of Standard Webhooks 1.0. Everything is computed here; nothing is sent.
import { isJson, pretty, tokens } from "./json.js";

/** Libraries refuse timestamps that are further away, in seconds. */
const TOLERANCE_S = 300;

/**
 * @typedef {object} Finding
 * @property {"good" | "bad" | "warn"} tone
 * @property {string} title which cause it is
 * @property {string} text what was found, and what to do
 */

/** @typedef {{body: string, headers: string, secret: string, now?: number}} Input `now` in seconds since 1970 */

const encoder = new TextEncoder();

/** @param {Uint8Array} bytes */
const base64 = (bytes) => btoa(String.fromCharCode(...bytes));

/** @param {string} text @returns {Uint8Array | null} */
function fromBase64(text) {
  try {
    return Uint8Array.from(atob(text), (char) => char.charCodeAt(0));
  } catch {
    return null;
  }
}

/** @param {Uint8Array} key @param {string} message @returns {Promise<string>} in base64 */
async function hmac(key, message) {
  if (key.length === 0) return "";
  const imported = await crypto.subtle.importKey("raw", new Uint8Array(key), { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  return base64(new Uint8Array(await crypto.subtle.sign("HMAC", imported, encoder.encode(message))));
}

/**
 * Reads headers as they are copied from logs, code or a browser: `name: value`, `name=value`, `"name": "value"`.
 * @param {string} text @returns {Map<string, string>} by name in lower case
 */
export function readHeaders(text) {
  const headers = new Map();
  for (const line of text.split("\n")) {
    const match = /^\s*(?:-H\s+)?['"]?([A-Za-z0-9_-]+)['"]?\s*[:=]\s*(.*?)\s*,?\s*\\?$/.exec(line);
    if (!match) continue;
    const value = match[2].replace(/^(['"])(.*)\1$/, "$2").replace(/['"]$/, "");
    // As CGI and WSGI name them.
    headers.set(match[1].toLowerCase().replace(/^http_/, "").replaceAll("_", "-"), value);
  }
  return headers;
}

/**
 * The three headers of a signature, under whichever prefix they have.
 * @param {Map<string, string>} headers
 */
export function signatureHeaders(headers) {
  const find = (/** @type {string} */ part) => {
    const names = [`webhook-${part}`, `svix-${part}`, ...[...headers.keys()].filter((name) => name.endsWith(`-${part}`))];
    const name = names.find((name) => headers.has(name));
    return name === undefined ? null : { name, value: headers.get(name) ?? "" };
  };
  return { id: find("id"), timestamp: find("timestamp"), signature: find("signature") };
}

/** @param {Input} input @returns {Promise<Finding[]>} the most probable cause first */
export async function diagnose({ body, headers: headerText, secret, now = Date.now() / 1000 }) {
  const { id, timestamp, signature } = signatureHeaders(readHeaders(headerText));
  const missing = [id ? "" : "webhook-id", timestamp ? "" : "webhook-timestamp", signature ? "" : "webhook-signature"].filter(Boolean);
  if (!id || !timestamp || !signature) return [missingHeaders(missing, signature?.value)];
  const early = checkForms(timestamp.value, signature.value, secret.trim());
  if (early) return [early];
  const signed = { id: id.value, timestamp: timestamp.value, wanted: versions(signature.value).v1 };
  const names = [id.name, timestamp.name, signature.name];
  const key = keyOf(secret);
  if (await fits(key, signed, body)) return [...valid(timestamp.value, now), ...otherNames(names)];
  const found = (await otherBody(key, signed, body)) ?? (await otherKey(secret, signed, body)) ?? (await otherMessage(key, signed, body));
  return [found ?? nothingFits(key), ...clock(timestamp.value, now), ...otherNames(names)];
}

/** @param {string} secret @returns {Uint8Array} the key that the official libraries use */
function keyOf(secret) {
  return fromBase64(secret.trim().replace(/^whsec_/, "")) ?? encoder.encode(secret.trim());
}

/** @param {Uint8Array} key @param {{id: string, timestamp: string, wanted: string[]}} signed @param {string} body */
const fits = async (key, { id, timestamp, wanted }, body) => wanted.includes(await hmac(key, `${id}.${timestamp}.${body}`));

/** @param {string} header @returns {{v1: string[], v1a: string[], other: string[]}} */
function versions(header) {
  const parts = header.trim().split(/\s+/).map((part) => part.split(","));
  const of = (/** @type {string} */ version) => parts.filter(([name]) => name === version).map(([, value = ""]) => value);
  return { v1: of("v1"), v1a: of("v1a"), other: parts.map(([name]) => name).filter((name) => name !== "v1" && name !== "v1a") };
}

/** @param {string[]} missing @param {string | undefined} signature @returns {Finding} */
function missingHeaders(missing, signature) {
  const hint = signature === undefined && missing.length === 3 ? " Paste them one a line, such as `webhook-id: evt_…`." : "";
  const text = `Not among the headers: ${missing.map((name) => `\`${name}\``).join(", ")}.${hint} A proxy or a framework may remove headers it does not know: let all that begin with \`webhook-\` through. A hook with \`"signing": "none"\` sends none.`;
  return { tone: "bad", title: "Headers are missing", text };
}

/** @param {string} timestamp @param {string} header @param {string} secret @returns {Finding | null} */
function checkForms(timestamp, header, secret) {
  const { v1, v1a, other } = versions(header);
  if (!/^\d+$/.test(timestamp)) {
    return { tone: "bad", title: "The timestamp is no number", text: `\`${timestamp}\` is not a number of seconds since 1970. Use the header as it arrived, not a date made of it.` };
  }
  if (v1.length === 0 && v1a.length > 0) {
    return { tone: "bad", title: "Another version: it is signed with a key pair", text: "The header has only `v1a`, an Ed25519 signature. It is verified with the hook’s public key (`whpk_…`), not with a secret; most libraries skip it. Set the hook’s `signing` to `both` or `standard` to get `v1` as well." };
  }
  if (v1.length === 0) {
    const found = other[0]?.slice(0, 12);
    return { tone: "bad", title: "Another version of signatures", text: `The header has no \`v1,\` signature; it begins with \`${found}\`. Entries look like \`v1,<base64>\` and are separated by spaces. Compare each entry, not the whole header.` };
  }
  if (/^whpk_|^whsk_/.test(secret)) {
    return { tone: "bad", title: "Wrong secret: this is a key of a key pair", text: "`v1` signatures need the shared secret, which begins with `whsec_`. Read it at the hook’s page, or at `GET /api/v3/hooks/{id}/secret`." };
  }
  if (/^hwk_/.test(secret)) {
    return { tone: "bad", title: "Wrong secret: this is an API key", text: "Requests are signed with the hook’s own secret, which begins with `whsec_`. Read it at the hook’s page." };
  }
  return null;
}

/** @param {string} timestamp @param {number} now @returns {Finding[]} */
function valid(timestamp, now) {
  const late = clock(timestamp, now);
  if (late.length > 0) return late;
  return [{ tone: "good", title: "The signature is valid", text: "This body, these headers and this secret belong together. If your server refuses it all the same, it verifies other bytes or another secret than those that you pasted: log what it passes to the library." }];
}

/** @param {string} timestamp @param {number} now @returns {Finding[]} */
function clock(timestamp, now) {
  const away = Number(timestamp) - now;
  if (Math.abs(away) <= TOLERANCE_S) return [];
  // In milliseconds, it would be about the present.
  if (Math.abs(Number(timestamp) / 1000 - now) < 86_400 * 365) {
    return [{ tone: "bad", title: "The timestamp is in milliseconds", text: "It must be in seconds. Something between the engine and you has written it anew." }];
  }
  const minutes = Math.round(Math.abs(away) / 60);
  return [{ tone: "warn", title: "Clock: the timestamp is too far away", text: `It is ${minutes} minutes ${away < 0 ? "before" : "after"} now. Libraries refuse more than five minutes. For a request that just arrived, set your server’s clock (NTP); for one from a log, this is as it must be. Retries have a new timestamp.` }];
}

/** @param {string[]} names @returns {Finding[]} */
function otherNames(names) {
  const wrong = names.filter((name) => !name.startsWith("webhook-"));
  if (wrong.length === 0) return [];
  return [{ tone: "warn", title: "The headers have other names", text: `They are called ${wrong.map((name) => `\`${name}\``).join(", ")}: the hook has \`signature_headers\`. A library for Standard Webhooks looks for \`webhook-…\`; give it the values under these names.` }];
}

/** @param {Uint8Array} key @param {{id: string, timestamp: string, wanted: string[]}} signed @param {string} body @returns {Promise<Finding | null>} */
async function otherBody(key, signed, body) {
  for (const [candidate, found] of bodies(body)) {
    if (candidate !== body && (await fits(key, signed, candidate))) {
      return { tone: "bad", title: "The body was changed before it was verified", text: `${found} Verify the bytes as they arrived, before anything parses them: \`express.raw({ type: "*/*" })\` in Express, \`request.get_data()\` in Flask, \`await request.body()\` in FastAPI, \`request.raw_post\` in Rails.` };
    }
  }
  return null;
}

/** @param {string} body @returns {[string, string][]} bodies that may have been sent, and what was done to them then */
function bodies(body) {
  const trimmed = body.trim();
  /** @type {[string, string][]} */
  const made = [
    [trimmed, "White space was added at its ends; the signature fits without it."],
    [body.replace(/\r?\n$/, ""), "A line break was added at its end."],
    [`${trimmed}\n`, "A line break at its end was removed."],
    [body.replaceAll("\r\n", "\n"), "Line breaks were changed to CRLF."],
    [body.replaceAll(/\r?\n/g, "\r\n"), "Line breaks CRLF were changed."],
    [body.replace(/^\ufeff/, ""), "A byte order mark was added."],
  ];
  const asText = readString(trimmed);
  if (asText !== null) made.push([asText, "It was written as a JSON string once more: it is in quotes, with `\\\"` inside."]);
  if (isJson(trimmed)) {
    const parsed = "It was parsed and written again. The signature fits the same JSON with other white space, or other escapes.";
    const compact = [...tokens(trimmed)].filter((token) => token.kind !== "space");
    made.push([compact.map((token) => token.text).join(""), parsed]);
    // As Python's json.dumps writes it.
    made.push([compact.map(({ text, kind }) => (kind === "punctuation" && (text === "," || text === ":") ? `${text} ` : text)).join(""), parsed]);
    made.push([pretty(trimmed), parsed], [`${pretty(trimmed)}\n`, parsed]);
    for (const [text] of made.slice(-4)) made.push([escaped(text), parsed], [unescaped(text), parsed], [text.replaceAll("/", "\\/"), parsed], [text.replaceAll("\\/", "/"), parsed]);
    made.push([JSON.stringify(JSON.parse(trimmed)), parsed]);
  }
  return made;
}

/** @param {string} text @returns {string | null} what a JSON string contains */
function readString(text) {
  if (!text.startsWith('"') || !isJson(text)) return null;
  const value = JSON.parse(text);
  return typeof value === "string" ? value : null;
}

/** @param {string} text with characters beyond ASCII as `\uXXXX` */
const escaped = (text) => text.replaceAll(/[\u0080-\uffff]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
/** @param {string} text with `\uXXXX` beyond ASCII as characters */
const unescaped = (text) => text.replaceAll(/\\u([0-9a-fA-F]{4})/g, (whole, code) => (Number.parseInt(code, 16) >= 0x80 ? String.fromCharCode(Number.parseInt(code, 16)) : whole));

/** @param {string} secret @param {{id: string, timestamp: string, wanted: string[]}} signed @param {string} body @returns {Promise<Finding | null>} */
async function otherKey(secret, signed, body) {
  const plain = secret.trim();
  const bare = plain.replace(/^whsec_/, "");
  /** @type {[Uint8Array | null, string][]} */
  const keys = [
    [encoder.encode(plain), "with the secret’s text as the key, with its prefix. Remove `whsec_` and decode the rest from base64"],
    [encoder.encode(bare), "with the text after `whsec_` as the key. Decode it from base64 first"],
    [fromHex(bare), "with the secret read as hexadecimal"],
    [fromBase64(plain), "with the whole text decoded from base64"],
    [fromBase64(bare.replaceAll("-", "+").replaceAll("_", "/")), "with the secret in base64 for URLs (`-` and `_`). It was changed on its way: take it as the API shows it"],
    [fromBase64(bare.replaceAll(" ", "+")), "after spaces in the secret were made `+` again, which a form or a URL had decoded"],
  ];
  for (const [key, how] of keys) {
    if (key && (await fits(key, signed, body))) return { tone: "bad", title: "Base64: the key is not what it should be", text: `The signature fits ${how}.` };
  }
  return null;
}

/** @param {string} text */
function fromHex(text) {
  if (!/^([0-9a-f]{2})+$/i.test(text)) return null;
  return Uint8Array.from(text.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

/** @param {Uint8Array} key @param {{id: string, timestamp: string, wanted: string[]}} signed @param {string} body @returns {Promise<Finding | null>} */
async function otherMessage(key, { id, timestamp, wanted }, body) {
  /** @type {[string, string][]} */
  const messages = [[body, "the body alone"], [`${timestamp}.${body}`, "timestamp and body, without the id"], [`${id}.${body}`, "id and body, without the timestamp"]];
  for (const [message, what] of messages) {
    if (wanted.includes(await hmac(key, message))) {
      return { tone: "bad", title: "Other bytes are signed", text: `The signature is one of ${what}. Standard Webhooks signs \`id.timestamp.body\`: this request was not signed by this engine, or its headers were replaced.` };
    }
  }
  return null;
}

/** @param {Uint8Array} key @returns {Finding} */
function nothingFits(key) {
  const short = key.length < 24 ? ` The key has only ${key.length} bytes; secrets of the engine have 24 to 64: a part may be missing.` : "";
  return { tone: "bad", title: "Wrong secret, or another body", text: `No usual change of the body or of the key fits.${short} Most often the secret is that of another hook, of another environment, or one that was replaced more than 24 hours ago. Compare it with the hook’s page. Otherwise the body is not that of this request: id, timestamp and body must come from the same one.` };
}
