// Short messages about what was done. They are read out, and go by themselves; failures stay.
import { html, signal } from "../lib/html.js";
import { Icon } from "./icons.js";

/** @typedef {{id: number, text: string, tone: "good" | "bad", link?: {href: string, label: string}}} Toast */
const toasts = signal(/** @type {Toast[]} */ ([]));
let last = 0;

/** @param {string} text @param {"good" | "bad"} [tone] @param {{href: string, label: string}} [link] */
export function toast(text, tone = "good", link) {
  last += 1;
  const id = last;
  toasts.value = [...toasts.value.slice(-3), { id, text, tone, link }];
  if (tone === "good") setTimeout(() => dismiss(id), 6000);
}

/** @param {number} id */
function dismiss(id) {
  toasts.value = toasts.value.filter((toast) => toast.id !== id);
}

export function Toasts() {
  return html`<div class="toasts" role="status" aria-live="polite">
    ${toasts.value.map(({ id, text, tone, link }) => html`<div key=${id} class=${`toast ${tone}`}><span>${text}${link && html` <a href=${link.href} onClick=${() => dismiss(id)}>${link.label}</a>`}</span>
      <button type="button" class="button quiet small icon-only" aria-label="Dismiss" onClick=${() => dismiss(id)}><${Icon} name="close" /></button></div>`)}
  </div>`;
}
