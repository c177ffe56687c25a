// Routes are in the address's fragment, such as `#/deliveries/dlv_1?state=exhausted`: nothing of them
// reaches the server, and each view has an address that can be sent to a colleague.
import { signal } from "@preact/signals";

/**
 * @typedef {object} Route
 * @property {string[]} path the segments, decoded
 * @property {URLSearchParams} query
 */

/** @param {string} hash @returns {Route} */
export function parseRoute(hash) {
  const [path, query] = hash.replace(/^#?\/?/, "").split("?", 2);
  const decode = (/** @type {string} */ text) => {
    try {
      return decodeURIComponent(text);
    } catch {
      return text;
    }
  };
  return { path: path.split("/").filter(Boolean).map(decode), query: new URLSearchParams(query ?? "") };
}

/**
 * The address of a view.
 * @param {string[]} path @param {URLSearchParams | Record<string, string | null | undefined>} [query] empty values are left out
 */
export function href(path, query) {
  const pairs = query instanceof URLSearchParams ? [...query] : Object.entries(query ?? {});
  const given = pairs.filter(([, value]) => value != null && value !== "");
  const text = new URLSearchParams(given.map(([name, value]) => [name, String(value)])).toString();
  return `#/${path.map(encodeURIComponent).join("/")}${text ? `?${text}` : ""}`;
}

export const route = signal(parseRoute(location.hash));
window.addEventListener("hashchange", () => {
  route.value = parseRoute(location.hash);
});

/** @param {string} to an address from {@link href} @param {{replace?: boolean}} [how] replace the entry of the history */
export function navigate(to, { replace = false } = {}) {
  if (to === location.hash) return;
  if (replace) {
    history.replaceState(null, "", to);
    route.value = parseRoute(to);
  } else {
    location.hash = to;
  }
}

/**
 * Changes members of the query of the present view.
 * @param {Record<string, string | null>} changes null removes one
 * @param {{replace?: boolean, path?: string[]}} [how]
 */
export function setQuery(changes, { replace = true, path } = {}) {
  const query = new URLSearchParams(route.value.query);
  for (const [name, value] of Object.entries(changes)) {
    if (value == null || value === "") query.delete(name);
    else query.set(name, value);
  }
  navigate(href(path ?? route.value.path, query), { replace });
}
