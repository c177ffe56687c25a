// Statistics of hooks for lists: a few requests at a time, only for rows that are seen.
import { effect, signal } from "@preact/signals";
import { api, may, tenant } from "./api.js";

/** @typedef {import("./types.js").Stats} Stats */

/** By hook; absent until it is known. */
export const statsByHook = signal(/** @type {Map<string, Stats>} */ (new Map()));

const AT_A_TIME = 4;
/** @type {string[]} */
let queue = [];
let running = 0;
/** @type {Map<string, number>} when each was asked for */
const asked = new Map();
const FRESH_MS = 30_000;

effect(() => {
  void tenant.value?.id;
  statsByHook.value = new Map();
  asked.clear();
  queue = [];
});

/** @param {string} hook asks for its statistics, unless that was done lately */
export function needStats(hook) {
  if (!may("deliveries:read") || (asked.get(hook) ?? 0) > Date.now() - FRESH_MS) return;
  asked.set(hook, Date.now());
  queue.push(hook);
  void work();
}

async function work() {
  if (running >= AT_A_TIME) return;
  running += 1;
  for (let hook = queue.shift(); hook; hook = queue.shift()) {
    const of = tenant.peek()?.id;
    const found = await api.get(`/hooks/${hook}/stats`).catch(() => null);
    if (found && of === tenant.peek()?.id) statsByHook.value = new Map(statsByHook.peek()).set(hook, found);
  }
  running -= 1;
}
