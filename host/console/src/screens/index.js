// The screens, in the order of the navigation.
import { html } from "../lib/html.js";
import { lazy } from "../ui/lazy.js";
import { Deliveries } from "./deliveries/screen.js";

/**
 * @typedef {object} Screen
 * @property {string} id the first segment of its address
 * @property {string} title
 * @property {string} icon
 * @property {(props: any) => any} view
 * @property {boolean} tenant whether it shows the things of one tenant
 * @property {string} [scope] what a key must be allowed to see it
 * @property {boolean} [operator] only for operators
 */

/** @type {Screen[]} */
export const SCREENS = [
  { id: "deliveries", title: "Deliveries", icon: "deliveries", view: Deliveries, tenant: true, scope: "deliveries:read" },
  { id: "events", title: "Events", icon: "events", view: lazy(() => import("./events/screen.js")), tenant: true, scope: "events:read" },
  { id: "hooks", title: "Hooks", icon: "hooks", view: lazy(() => import("./hooks/screen.js")), tenant: true, scope: "hooks:read" },
  { id: "playground", title: "Playground", icon: "playground", view: lazy(() => import("./playground/screen.js")), tenant: true, scope: "plugins:read" },
  { id: "plugins", title: "Plugins", icon: "plugins", view: lazy(() => import("./plugins/screen.js")), tenant: true, scope: "plugins:read" },
  { id: "operator", title: "Operator", icon: "operator", view: lazy(() => import("./operator/screen.js")), tenant: false, operator: true },
  { id: "doctor", title: "Signature doctor", icon: "doctor", view: lazy(() => import("./doctor/screen.js")), tenant: false },
];

/** @type {Screen} */
const UNKNOWN = {
  id: "unknown", title: "Not found", icon: "help", tenant: false,
  view: () => html`<div class="empty"><h1>There is no such page</h1><p>Choose a screen in the navigation.</p></div>`,
};

/** @param {string[]} path @returns {Screen} */
export function screenOf(path) {
  if (path.length === 0) return SCREENS[0];
  return SCREENS.find((screen) => screen.id === path[0]) ?? UNKNOWN;
}
