// JSON, headers, bodies and differences, as text that keeps every digit.
import { html, useMemo, useState } from "../lib/html.js";
import { diffLines } from "../lib/diff.js";
import { isJson, prettyTokens, tokens } from "../lib/json.js";
import { Button, Copy } from "./basics.js";

/** Longer texts are shown in parts, so that the page stays quick. */
const SHOWN = 64 * 1024;

/** @param {{text: string, label?: string, raw?: boolean}} props pretty-printed if it is JSON, unless `raw` */
export function Code({ text, label = "Text", raw = false }) {
  const [all, setAll] = useState(false);
  const shown = all ? text : text.slice(0, SHOWN);
  const parts = useMemo(() => {
    if (shown.length < text.length || !isJson(shown)) return shown;
    const made = raw ? [...tokens(shown)] : prettyTokens(shown);
    return made.map((token, index) => {
      const isName = token.kind === "string" && made[index + 1]?.text === ":";
      const kind = isName ? "name" : token.kind;
      return kind === "space" || kind === "punctuation" ? token.text : html`<span class=${`t-${kind}`}>${token.text}</span>`;
    });
  }, [shown, raw]);
  return html`<div class="code"><pre tabindex="0" role="region" aria-label=${label}><code>${parts}</code></pre>
    <div class="code-actions"><${Copy} text=${text} label=${`Copy: ${label}`} /></div>
    ${shown.length < text.length && html`<${Button} small onClick=${() => setAll(true)}>Show all ${text.length} characters</${Button}>`}</div>`;
}

/** @param {{body: import("../lib/types.js").Body, label?: string, cut?: boolean}} props */
export function BodyText({ body, label = "Body", cut = false }) {
  if (body.body_base64 !== undefined) return html`<p class="muted">Not text; in base64:</p><${Code} text=${body.body_base64} label=${label} raw />`;
  if (!body.body) return html`<p class="muted">Empty.</p>`;
  return html`<${Code} text=${body.body} label=${label} />${cut && html`<p class="muted">The rest was not stored.</p>`}`;
}

/** @param {{headers: Record<string, string>, label: string}} props */
export function HeaderList({ headers, label }) {
  const pairs = Object.entries(headers);
  if (pairs.length === 0) return html`<p class="muted">No headers.</p>`;
  return html`<dl class="headers" aria-label=${label}>${pairs.map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

/** @param {{before: string, after: string, label: string}} props the difference of two texts, by lines */
export function Diff({ before, after, label }) {
  const lines = useMemo(() => diffLines(before, after), [before, after]);
  const signs = { same: " ", removed: "−", added: "+" };
  return html`<div class="code"><pre class="diff" tabindex="0" role="region" aria-label=${label}><code>${lines.map((line, index) =>
    line.kind === "same"
      ? html`<span key=${index} class="line">  ${line.text}</span>`
      : html`<span key=${index} class=${`line ${line.kind}`}>${signs[line.kind]} ${line.text}</span>`)}</code></pre></div>`;
}
