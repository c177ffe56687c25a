import { html } from "../../lib/html.js";

export function Deliveries() {
  return html`<div class="page"><header class="page-head"><h1>Deliveries</h1></header></div>`;
}
