// What the form of a hook holds: texts, and what they are as a body of the API.
import { parseSpan, span } from "../../lib/format.js";
import { isJson, Raw, slice, stringify } from "../../lib/json.js";

/** @typedef {import("../../lib/types.js").Hook} Hook */

/**
 * @typedef {object} Values
 * @property {string} url
 * @property {string} types
 * @property {string} description
 * @property {boolean} enabled
 * @property {boolean} paused
 * @property {string} project
 * @property {{name: string, value: string}[]} headers
 * @property {string} masked_headers
 * @property {{plugin: string, settings: string}[]} pipeline settings as JSON text
 * @property {string} timeout_s
 * @property {string} schedule
 * @property {string} signing
 * @property {string} max_in_flight
 * @property {string} max_per_second
 * @property {string} ordering
 * @property {string} ordering_skip_after
 * @property {string} retain_bodies
 * @property {boolean} is_batch
 * @property {string} batch_max_events
 * @property {string} batch_max_wait_ms
 * @property {string} batch_format
 * @property {string} receiver other members, as JSON
 */

/** Members that the form shows as JSON. */
const RECEIVER = ["signature_headers", "client_certificate", "ca_certificates", "oauth2", "handshake", "handshake_rate"];

/** @param {Hook | null} hook @param {string} text the hook as the API wrote it @returns {Values} */
export function valuesOf(hook, text) {
  const text_ = (/** @type {number | undefined | null} */ value) => (value == null ? "" : String(value));
  const receiver = RECEIVER.flatMap((name) => (hook && name in hook ? [[name, /** @type {any} */ (hook)[name]]] : []));
  return {
    url: hook?.url ?? "",
    types: hook?.types.join(", ") ?? "",
    description: hook?.description ?? "",
    enabled: hook?.enabled ?? true,
    paused: hook?.paused ?? false,
    project: text_(hook?.project),
    headers: Object.entries(hook?.headers ?? {}).map(([name, value]) => ({ name, value })),
    masked_headers: hook?.masked_headers.join(", ") ?? "",
    pipeline: (hook?.pipeline ?? []).map(({ plugin }, index) => ({ plugin, settings: slice(text, ["pipeline", index, "settings"]) ?? "{}" })),
    timeout_s: String((hook?.timeout_ms ?? 20_000) / 1000),
    schedule: (hook?.retry.schedule_s ?? [5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400]).map(spanText).join(", "),
    signing: hook?.signing ?? "standard",
    max_in_flight: text_(hook?.max_in_flight),
    max_per_second: text_(hook?.max_per_second),
    ordering: hook?.ordering ?? "none",
    ordering_skip_after: text_(hook?.ordering_skip_after),
    retain_bodies: hook?.retain_bodies_s ? spanText(hook.retain_bodies_s) : "",
    is_batch: hook?.batch != null,
    batch_max_events: text_(hook?.batch?.max_events ?? 100),
    batch_max_wait_ms: text_(hook?.batch?.max_wait_ms ?? 2000),
    batch_format: hook?.batch?.format ?? "json",
    receiver: receiver.length > 0 ? JSON.stringify(Object.fromEntries(receiver), null, 2) : "",
  };
}

/** @param {number} seconds @returns {string} exact, and readable by `parseSpan` */
function spanText(seconds) {
  const text = span(seconds);
  return /^\d+ \w+$/.test(text) ? text.replace(" ", "").replace("min", "m") : `${seconds}s`;
}

/** @param {string} text @returns {number | string | null} a number if it is one: what is none is for the API to refuse */
function number(text) {
  const trimmed = text.trim();
  if (trimmed === "") return null;
  return /^-?\d+(\.\d+)?$/.test(trimmed) ? Number(trimmed) : trimmed;
}

/** @param {string} text */
const list = (text) => text.split(/[\s,]+/).filter(Boolean);
/** @param {string} text */
const seconds = (text) => parseSpan(text) ?? text.trim();

/** @param {string} text @param {string} what */
function json(text, what) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${what} is not valid JSON: ${error instanceof Error ? error.message : ""}`, { cause: error });
  }
}

/** @param {string} settings JSON text @returns {string | null} the script of the plugin `javascript` */
export function scriptOf(settings) {
  const script = isJson(settings) ? slice(settings, ["script"]) : null;
  return script?.startsWith('"') ? JSON.parse(script) : null;
}

/** @param {string} settings JSON text with a script @param {string} script @returns {string} the rest stays as it is */
export function withScript(settings, script) {
  const members = Object.keys(JSON.parse(settings)).map((name) => [name, new Raw(slice(settings, [name]) ?? "null")]);
  return stringify({ ...Object.fromEntries(members), script });
}

/**
 * The members of a hook. What is left empty has its default.
 * @param {Values} values @returns {Record<string, any>}
 */
export function bodyOf(values) {
  const timeout = number(values.timeout_s);
  /** @type {Record<string, any>} */
  const body = {
    url: values.url.trim(),
    types: list(values.types),
    description: values.description,
    enabled: values.enabled,
    paused: values.paused,
    project: number(values.project),
    headers: Object.fromEntries(values.headers.filter(({ name }) => name.trim() !== "").map(({ name, value }) => [name.trim(), value])),
    masked_headers: list(values.masked_headers),
    pipeline: values.pipeline.map(({ plugin, settings }, index) => {
      json(settings || "{}", `What step ${index + 1} has as settings`);
      return { plugin, settings: new Raw(settings || "{}") };
    }),
    timeout_ms: typeof timeout === "number" ? Math.round(timeout * 1000) : timeout,
    retry: { schedule_s: values.schedule.split(",").map((text) => text.trim()).filter(Boolean).map(seconds) },
    signing: values.signing,
    max_in_flight: number(values.max_in_flight),
    max_per_second: number(values.max_per_second),
    ordering: values.ordering,
    ordering_skip_after: number(values.ordering_skip_after),
    retain_bodies_s: values.retain_bodies.trim() === "" ? 0 : seconds(values.retain_bodies),
    batch: values.is_batch ? { max_events: number(values.batch_max_events), max_wait_ms: number(values.batch_max_wait_ms), format: values.batch_format } : null,
  };
  const receiver = values.receiver.trim() === "" ? {} : json(values.receiver, "“Certificates, tokens, handshake”");
  return { ...body, ...receiver };
}

/**
 * A merge patch with what differs.
 * @param {Values} before @param {Values} after @returns {Record<string, any>}
 */
export function changesOf(before, after) {
  const [old, now] = [bodyOf(before), bodyOf(after)];
  /** @type {Record<string, any>} */
  const changes = {};
  for (const name of new Set([...Object.keys(old), ...Object.keys(now)])) {
    const same = name === "pipeline" ? JSON.stringify(before.pipeline) === JSON.stringify(after.pipeline) : JSON.stringify(old[name]) === JSON.stringify(now[name]);
    if (!same) changes[name] = now[name] ?? null;
  }
  // In a merge patch, what is absent from an object stays: names that are gone are null.
  if (changes.headers) {
    for (const name of Object.keys(old.headers)) if (!(name in changes.headers)) changes.headers[name] = null;
  }
  return changes;
}
