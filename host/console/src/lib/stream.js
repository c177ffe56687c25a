// The live stream of the tenant's deliveries. One connection serves all who listen.
import { effect, signal } from "@preact/signals";
import { ApiError, may, send, session, tenant } from "./api.js";

/**
 * @typedef {object} Change
 * @property {"created" | "attempted" | "retried" | "cancelled" | "changed"} change
 * @property {string} at
 * @property {import("./types.js").Delivery} delivery some members may be absent
 * @property {any} attempt
 */

/** `off` without a tenant, `live`, or `connecting` while there is no connection. */
export const streamState = signal(/** @type {"off" | "connecting" | "live"} */ ("off"));

/** @type {Set<{change: (change: Change) => void, lagged: () => void}>} */
const listeners = new Set();

/**
 * Calls `change` for each change of a delivery, and `lagged` if some were missed, so that lists must be loaded again.
 * @param {{change: (change: Change) => void, lagged: () => void}} listener
 * @returns {() => void} ends it
 */
export function listen(listener) {
  listeners.add(listener);
  start();
  return () => {
    listeners.delete(listener);
    // The next view listens at once: one connection serves both.
    setTimeout(() => listeners.size === 0 && stop(), LINGER_MS);
  };
}

const LINGER_MS = 2000;

/** @type {AbortController | null} */
let running = null;
/** The connection is for the tenant that is shown. */
let watched = "";

effect(() => {
  const wanted = session.value && may("deliveries:read") ? tenant.value?.id ?? "" : "";
  if (wanted !== watched) {
    watched = wanted;
    stop();
    if (listeners.size > 0) start();
  }
});

function stop() {
  running?.abort();
  running = null;
  streamState.value = "off";
}

function start() {
  if (running || !watched) return;
  running = new AbortController();
  void keepConnected(running.signal);
}

/** @param {AbortSignal} signal */
async function keepConnected(signal) {
  let wait = 1000;
  while (!signal.aborted) {
    streamState.value = "connecting";
    try {
      const response = await send("GET", "/stream", { signal });
      wait = 1000;
      await read(response, signal);
    } catch (error) {
      if (signal.aborted) return;
      // An engine without the stream, or a key that may not: trying again is of no use.
      if (error instanceof ApiError && [401, 403, 404].includes(error.status)) break;
    }
    if (signal.aborted) return;
    streamState.value = "connecting";
    await new Promise((done) => setTimeout(done, wait));
    wait = Math.min(wait * 2, 30_000);
  }
  if (!signal.aborted) streamState.value = "off";
}

/** @param {Response} response @param {AbortSignal} signal */
async function read(response, signal) {
  const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
  if (!reader) return;
  let rest = "";
  while (!signal.aborted) {
    const { value, done } = await reader.read();
    if (done) return;
    const parts = (rest + value).split("\n\n");
    rest = parts.pop() ?? "";
    for (const part of parts) {
      const message = parseMessage(part);
      if (message) dispatch(message);
    }
  }
}

/**
 * One message of `text/event-stream`; null for a comment.
 * @param {string} text @returns {{event: string, data: any} | null}
 */
export function parseMessage(text) {
  let event = "message";
  const data = [];
  for (const line of text.split("\n")) {
    if (line.startsWith("event:")) event = line.slice(6).trim();
    if (line.startsWith("data:")) data.push(line.slice(5).trim());
  }
  return data.length > 0 ? { event, data: JSON.parse(data.join("\n")) } : null;
}

/** @param {{event: string, data: any}} message */
function dispatch({ event, data }) {
  if (event === "hello") streamState.value = "live";
  for (const listener of listeners) {
    if (event === "delivery") listener.change(data);
    // What came before `hello` is in no message.
    if (event === "lagged" || event === "hello") listener.lagged();
  }
}
