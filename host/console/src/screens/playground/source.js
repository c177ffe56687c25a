// Which event the playground runs: a stored one, or a sample that is written here.
import { api } from "../../lib/api.js";
import { Raw, isJson, pretty, slice } from "../../lib/json.js";

/**
 * @typedef {object} Sample
 * @property {string} type
 * @property {string} data JSON text
 */

/**
 * @typedef {object} Stored
 * @property {string} engineId
 * @property {string} id as receivers see it
 * @property {string} type
 * @property {string} occurredAt
 * @property {string} data JSON text; `null` if it was erased
 */

/** @typedef {{delivery: import("../../lib/types.js").Delivery}} Choice */

export const FIRST_SAMPLE = `{
  "number": "A1",
  "total": 120.5,
  "customer": { "name": "Ada", "email": "ada@example.com" },
  "items": [{ "sku": "tea", "count": 2 }]
}`;

/** How many events of the hook can be chosen. */
const CHOICES = 50;

/** @param {string} id @param {AbortSignal} signal @returns {Promise<Stored>} */
export async function loadEvent(id, signal) {
  const text = await api.text(`/events/${encodeURIComponent(id)}`, { signal });
  const read = (/** @type {string} */ name) => JSON.parse(slice(text, [name]) ?? "null");
  return { engineId: read("engine_id"), id: read("id"), type: read("type"), occurredAt: read("occurred_at"), data: slice(text, ["data"]) ?? "null" };
}

/**
 * The newest deliveries of a hook, one of each event.
 * @param {string} hook @param {AbortSignal} signal @returns {Promise<import("../../lib/types.js").Delivery[]>}
 */
export async function newestOf(hook, signal) {
  const { data } = await api.get("/deliveries", { query: { hook, limit: CHOICES }, signal });
  const seen = new Set();
  return data.filter((/** @type {import("../../lib/types.js").Delivery} */ delivery) => !seen.has(delivery.event) && seen.add(delivery.event));
}

/** @param {Stored | null} stored @param {Sample} sample @returns {unknown} the member `event` of a dry run */
export const toEvent = (stored, sample) => (stored ? stored.engineId : { type: sample.type, data: new Raw(sample.data) });

/** @param {Sample} sample @returns {string | null} what is wrong with it */
export function errorOfSample({ type, data }) {
  if (!isJson(data)) return "The data is not JSON.";
  if (!/^[^\s,*]+$/.test(type)) return "The type is a name without spaces, such as order.paid.";
  return null;
}

/**
 * What scripts see, for completion.
 * @param {Stored | null} stored @param {Sample} sample
 * @returns {import("../../editor/complete.js").Example}
 */
export function exampleOf(stored, sample) {
  const text = stored?.data ?? sample.data;
  /** @type {Record<string, unknown>} */
  const event = {
    id: stored?.id ?? "evt_…", type: stored?.type ?? sample.type, occurredAt: Date.parse(stored?.occurredAt ?? "") || Date.now(),
    attributes: { hook: "hook_…", tenant: "…", trigger: "event" }, data: isJson(text) ? JSON.parse(text) : {},
  };
  const request = { method: "POST", url: "https://…", headers: { "content-type": "application/json" }, body: "…" };
  return {
    scope: { event, request },
    textAt: ([name, member, ...path]) => (name === "event" && member === "data" ? slice(text, path) : null),
  };
}

/** @param {Stored | null} stored @param {Sample} sample */
export const dataOf = (stored, sample) => pretty(stored?.data ?? sample.data);
