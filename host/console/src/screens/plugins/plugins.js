// What is known of plugins: their versions, and which hooks run them. Pure, but for loading.
import { api, may, send } from "../../lib/api.js";
import { shortUrl } from "../../lib/format.js";

/**
 * @typedef {object} Version
 * @property {string} name
 * @property {number} version
 * @property {string} digest
 * @property {string[]} roles
 * @property {string[]} imports
 * @property {number} size_bytes
 * @property {boolean} standard
 * @property {string | null} created_at
 */
/** @typedef {import("../../lib/types.js").Hook} Hook */
/** @typedef {{id: string, name: string, reference: string}} Use a hook, and how its pipeline names the plugin */

/** What the plugins do that come with the engine. @type {Record<string, string>} */
export const STANDARD = {
  "event-filter": "Keeps or drops events by values in their data.",
  "field-map": "Moves, copies, renames and removes fields.",
  "body-template": "Writes the request from a template.",
  javascript: "Runs a script of yours. Nothing to build.",
  cloudevents: "Writes a CloudEvent.",
  "project-envelope": "The envelope of the project web hook, API v1.",
  "apizee-envelope": "The envelope of Apizee's company web hooks.",
  "webitel-filter": "The filters of Webitel's hooks.",
  "webitel-map": "The field map of Webitel's hooks.",
  "webitel-headers": "The headers of Webitel's hooks.",
  "webitel-body": "The body of Webitel's hooks.",
  "webitel-auth": "The authentication of Webitel's hooks.",
};

/** Pages of lists that are read. */
const MAX_PAGES = 8;

/** @param {string} path @param {AbortSignal} signal @returns {Promise<any[]>} */
async function all(path, signal) {
  const found = [];
  let cursor;
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const { data, next } = await api.get(path, { query: { limit: 250, cursor }, signal });
    found.push(...data);
    if (!next) break;
    cursor = next;
  }
  return found;
}

/** @param {AbortSignal} signal @returns {Promise<{plugins: Version[], hooks: Hook[]}>} */
export async function loadPlugins(signal) {
  const [plugins, hooks] = await Promise.all([all("/plugins", signal), may("hooks:read") ? all("/hooks", signal) : []]);
  return { plugins, hooks };
}

/** @param {string} name @param {AbortSignal} signal @returns {Promise<Version[]>} the newest first */
export async function loadVersions(name, signal) {
  return (await all(`/plugins/${encodeURIComponent(name)}/versions`, signal)).reverse();
}

/**
 * The hooks that run a plugin, or one version of it.
 * @param {Hook[]} hooks @param {Version} version @param {"any" | "this"} which @param {boolean} [isNewest]
 * @returns {Use[]}
 */
export function usesOf(hooks, { name, version, digest }, which, isNewest = true) {
  const runs = (/** @type {string} */ reference) => {
    const [named, number] = reference.split("@");
    if (reference === digest) return true;
    if (named !== name) return false;
    return which === "any" || (number === undefined ? isNewest : Number(number) === version);
  };
  return hooks.flatMap((hook) => {
    const steps = [...hook.pipeline, ...(hook.batch?.pipeline ?? [])];
    const found = steps.find((step) => runs(step.plugin));
    return found ? [{ id: hook.id, name: hook.description || shortUrl(hook.url), reference: found.plugin }] : [];
  });
}

/** @param {string} file @returns {string} a name for the plugin in this file */
export function nameOfFile(file) {
  const stem = file.replace(/\.[^.]*$/, "").toLowerCase();
  return stem.replace(/[^a-z0-9._-]+/g, "-").replace(/_/g, "-").replace(/^[^a-z0-9]+/, "").slice(0, 64);
}

/**
 * Uploads a version, and returns what the check says.
 * @param {string} name @param {Blob} wasm @param {{force?: boolean, signal?: AbortSignal}} [how]
 * @returns {Promise<Version & {isNew: boolean, hooks: {count: number, ids: string[]}, warnings: string[]}>}
 */
export async function upload(name, wasm, { force = false, signal } = {}) {
  const query = { force: force ? "true" : undefined };
  const response = await send("PUT", `/plugins/${encodeURIComponent(name)}`, { bytes: wasm, type: "application/wasm", query, signal });
  return { ...(await response.json()), isNew: response.status === 201 };
}

/** @param {string} name @param {number} version @returns {Promise<Blob>} */
export const download = async (name, version) =>
  (await send("GET", `/plugins/${encodeURIComponent(name)}/wasm`, { query: { version } })).blob();
