// Sentences in which `…` marks code.
import { html } from "../lib/html.js";

/** @param {{text: string}} props */
export const Words = ({ text }) =>
  html`${text.split("`").map((part, index) => (index % 2 === 1 ? html`<code key=${index}>${part}</code>` : part))}`;
