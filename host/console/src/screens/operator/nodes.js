// The nodes, and what each does.
import { html, useEffect } from "../../lib/html.js";
import { api } from "../../lib/api.js";
import { count } from "../../lib/format.js";
import { Failure, Loading, State, Time, useLoad } from "../../ui/basics.js";

export function Nodes() {
  const { value, error, reload } = useLoad((signal) => api.get("/nodes", { signal, tenant: null }), []);
  useEffect(() => {
    const timer = setInterval(() => !document.hidden && reload(), 3000);
    return () => clearInterval(timer);
  }, []);
  if (!value) return error ? html`<${Failure} error=${error} retry=${reload} />` : html`<${Loading} />`;
  const sum = (/** @type {string} */ name) => value.data.reduce((/** @type {number} */ all, /** @type {any} */ node) => all + (node.state === "alive" ? (node[name] ?? 0) : 0), 0);
  return html`<div class="cards"><div class="card"><div class="label">Nodes alive</div><div class="figure">${value.data.filter((/** @type {any} */ node) => node.state === "alive").length}</div></div>
      <div class="card"><div class="label">Events in a second</div><div class="figure">${sum("accepted_per_second").toFixed(1)}</div></div><div class="card"><div class="label">In flight</div><div class="figure">${count(sum("deliveries_in_flight"))}</div></div><div class="card"><div class="label">In memory</div><div class="figure">${count(sum("deliveries_in_memory"))}</div></div></div>
    <div class="scroll-x" tabindex="0" role="region" aria-label="Nodes"><table class="grid-table" aria-label="Nodes"><thead><tr><th scope="col">State</th><th scope="col" class="num">Number</th><th scope="col">Address</th><th scope="col">Version</th><th scope="col" class="num">In flight</th><th scope="col" class="num">In memory</th><th scope="col" class="num">Hooks</th><th scope="col" class="num">Events/s</th><th scope="col">Started</th><th scope="col">Last seen</th></tr></thead>
      <tbody>${value.data.map((/** @type {any} */ node) => html`<tr key=${node.number}><td><${State} value=${node.state} /></td><td class="num">${node.number}</td><td><code>${node.address}</code></td><td>${node.version ?? "–"}</td><td class="num">${count(node.deliveries_in_flight)}</td><td class="num">${count(node.deliveries_in_memory)}</td><td class="num">${count(node.owned_hooks)}</td><td class="num">${node.accepted_per_second ?? "–"}</td><td class="nowrap"><${Time} value=${node.started_at} /></td><td class="nowrap"><${Time} value=${node.last_beat_at} /></td></tr>`)}</tbody></table></div>`;
}
