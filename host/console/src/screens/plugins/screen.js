import { html } from "../../lib/html.js";

export default function Screen() {
  return html`<div class="page"><header class="page-head"><h1>Plugins</h1></header></div>`;
}
