// The client of the engine's API. Everything that the console does goes through here.
import { signal } from "@preact/signals";
import { stringify } from "./json.js";

/**
 * @typedef {object} Session
 * @property {boolean} operator
 * @property {"operator" | "read" | null} role
 * @property {{id: string, name: string} | null} tenant
 * @property {string[]} scopes
 * @property {{id: string | null, name: string}} key
 * @property {boolean} link
 * @property {{name?: string, accent?: string, background?: string, logo_url?: string} | null} theme
 * @property {string} csrf_token
 * @property {string} expires_at
 * @property {string} [token] only for a session that is embedded in another site's page
 */

/**
 * @typedef {object} Problem
 * @property {string} type
 * @property {string} title
 * @property {number} status
 * @property {string} [detail]
 * @property {string} [pointer]
 * @property {string} [parameter]
 */

/** A refusal by the engine, or a request that did not reach it (`status` is then 0). */
export class ApiError extends Error {
  /** @param {Problem} problem @param {number | null} retryAfter seconds */
  constructor(problem, retryAfter = null) {
    super(problem.detail || problem.title);
    this.problem = problem;
    this.status = problem.status;
    this.pointer = problem.pointer ?? null;
    this.parameter = problem.parameter ?? null;
    this.retryAfter = retryAfter;
  }
}

/** The session; `undefined` until it is known, `null` if there is none. */
export const session = signal(/** @type {Session | null | undefined} */ (undefined));
/** The tenant whose things are shown; of an operator the one that was chosen. */
export const tenant = signal(/** @type {{id: string, name: string} | null} */ (null));
/** Why the last session ended, for the page to sign in. */
export const signedOutBecause = signal("");

/** @param {string} scope @returns {boolean} whether the session allows this */
export function may(scope) {
  const now = session.value;
  if (!now) return false;
  if (now.operator) return now.role === "operator" || scope.endsWith(":read");
  return now.scopes.includes(scope);
}

/** @returns {boolean} whether the session is an operator's that may change things */
export const isOperator = () => session.value?.operator === true;
export const mayOperate = () => isOperator() && session.value?.role === "operator";

/**
 * @typedef {object} Call
 * @property {Record<string, string | number | boolean | null | undefined>} [query] empty values are left out
 * @property {unknown} [body] JSON; a {@link import("./json.js").Raw} inside is sent as it is
 * @property {BodyInit} [bytes] a body that is not JSON
 * @property {string} [type] the content type of the body
 * @property {AbortSignal} [signal]
 * @property {string | null} [tenant] of an operator: the tenant's id; null for none. Default: the chosen one
 */

/** @param {string} path @param {Call["query"]} query */
export function address(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value != null && value !== "");
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return text ? `${path}?${text}` : path;
}

/** @param {string} method @param {Call} call @returns {Headers} */
function headers(method, call) {
  const made = new Headers({ accept: "application/json" });
  const now = session.peek();
  if (call.type) made.set("content-type", call.type);
  else if (call.body !== undefined) made.set("content-type", "application/json");
  if (now?.token) made.set("authorization", `Bearer ${now.token}`);
  else if (now && method !== "GET") made.set("x-csrf-token", now.csrf_token);
  const named = call.tenant === undefined ? tenant.peek()?.id : call.tenant;
  if (now?.operator && named) made.set("hookwright-tenant", named);
  return made;
}

/**
 * Sends a request to `/api/v3` and returns the response, if it is a success.
 * @param {string} method @param {string} path below `/api/v3`, or an absolute path @param {Call} [call]
 * @returns {Promise<Response>}
 */
export async function send(method, path, call = {}) {
  const url = path.startsWith("/console/") ? path : `/api/v3${path}`;
  const body = call.bytes ?? (call.body === undefined ? undefined : stringify(call.body));
  let response;
  try {
    const init = { method, headers: headers(method, call), body, signal: call.signal, cache: /** @type {const} */ ("no-store") };
    response = await fetch(address(url, call.query), init);
  } catch (error) {
    if (error instanceof DOMException && error.name === "AbortError") throw error;
    const detail = "The engine does not answer. It may be restarting; try again.";
    throw new ApiError({ type: "unreachable", title: "No answer", status: 0, detail });
  }
  if (response.ok) return response;
  const error = await refusal(response);
  if (error.status === 401 && session.peek()) signedOut("Your session has ended. Sign in again.");
  throw error;
}

/** @param {Response} response */
async function refusal(response) {
  const after = Number(response.headers.get("retry-after"));
  const fallback = { type: "about:blank", title: `Status ${response.status}`, status: response.status };
  const problem = await response.json().catch(() => fallback);
  return new ApiError({ ...fallback, ...problem }, after > 0 ? after : null);
}

/** @param {string} why */
export function signedOut(why) {
  signedOutBecause.value = why;
  session.value = null;
  tenant.value = null;
}

/** @param {string} method @returns {(path: string, call?: Call) => Promise<any>} */
const json = (method) => async (path, call) => {
  const response = await send(method, path, call);
  const text = await response.text();
  return text === "" ? null : JSON.parse(text);
};

export const api = {
  get: json("GET"),
  post: json("POST"),
  put: json("PUT"),
  delete: json("DELETE"),
  /** @param {string} path @param {Call} [call] a merge patch (RFC 7396) */
  patch: (path, call = {}) => json("PATCH")(path, { type: "application/merge-patch+json", ...call }),
  /** @param {string} path @param {Call} [call] @returns {Promise<string>} the answer as it is, digits and all */
  text: async (path, call) => (await send("GET", path, call)).text(),
};

/**
 * A message for people about any error.
 * @param {unknown} error
 */
export function messageOf(error) {
  if (error instanceof ApiError && error.status === 429 && error.retryAfter) {
    return `${error.message} Try again in ${error.retryAfter} s.`;
  }
  return error instanceof Error ? error.message : String(error);
}

/** @param {unknown} error */
export const isAborted = (error) => error instanceof DOMException && error.name === "AbortError";

/** Adopts a session. @param {Session} now */
function adopt(now) {
  session.value = now;
  tenant.value = now.tenant;
  signedOutBecause.value = "";
}

/** Finds out whether there is a session. @param {Promise<Response> | null} [asked] the request that asks, if it is made already */
export async function resume(asked) {
  try {
    const response = await (asked ?? send("GET", "/console/session"));
    if (!response.ok) throw await refusal(response);
    adopt(await response.json());
  } catch {
    session.value = null;
  }
}

/** @param {{key: string} | {link: string, embed?: boolean}} proof */
export async function signIn(proof) {
  adopt(await api.post("/console/session", { body: proof }));
}

export async function signOut() {
  try {
    if (!session.peek()?.token) await api.delete("/console/session");
  } finally {
    signedOut("");
  }
}
