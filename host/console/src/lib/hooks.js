// The tenant's hooks by id: lists name them, and details say what state they are in.
import { effect, signal } from "@preact/signals";
import { api, isAborted, may, tenant } from "./api.js";
import { shortUrl } from "./format.js";

/** @typedef {import("./types.js").Hook} Hook */

/** The hooks by id; null until they are known. */
export const hooks = signal(/** @type {Map<string, Hook> | null} */ (null));
/** Why they could not be loaded. */
export const hooksError = signal(/** @type {unknown} */ (null));

/** More of them are not loaded: then lists show ids. */
const MAX_PAGES = 8;
let aborter = new AbortController();
let of = "";

export async function loadHooks() {
  aborter.abort();
  aborter = new AbortController();
  const { signal } = aborter;
  try {
    const found = new Map();
    let cursor;
    for (let page = 0; page < MAX_PAGES; page += 1) {
      const { data, next } = await api.get("/hooks", { query: { limit: 250, cursor }, signal });
      for (const hook of data) found.set(hook.id, hook);
      cursor = next;
      if (!next) break;
    }
    hooks.value = found;
    hooksError.value = null;
  } catch (error) {
    if (!isAborted(error)) hooksError.value = error;
  }
}

/** Loads them, unless they are there already. */
export function needHooks() {
  const id = tenant.peek()?.id ?? "";
  if (of === id || !may("hooks:read")) return;
  of = id;
  hooks.value = null;
  void loadHooks();
}

effect(() => {
  // Another tenant, or none: nothing of the former one stays.
  if ((tenant.value?.id ?? "") !== of) {
    of = "";
    hooks.value = null;
  }
});

/** @param {Hook} hook replaces what is known of it */
export function keepHook(hook) {
  if (hooks.peek()) hooks.value = new Map(hooks.peek() ?? []).set(hook.id, hook);
}

/** @param {string} id @returns {string} what people call it */
export function nameOfHook(id) {
  const hook = hooks.value?.get(id);
  if (!hook) return id;
  return hook.description || (hook.url ? shortUrl(hook.url) : id);
}
