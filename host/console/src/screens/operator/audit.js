// The audit log: who changed what.
import { html, useEffect, useMemo } from "../../lib/html.js";
import { api } from "../../lib/api.js";
import { route, setQuery } from "../../lib/router.js";
import { allTenants } from "../../lib/tenants.js";
import { Button, Empty, Failure, Loading, Time, useLoad } from "../../ui/basics.js";
import { Pages } from "../../lib/pages.js";

/** @typedef {{id: string, at: string, tenant: string | null, actor: {type: string, id: string | null, name: string | null}, surface: string | null, address: string | null, action: string, object: {type: string, id: string, name: string | null}, changes: {member: string, old?: unknown, new?: unknown}[]}} Entry */

/** The log of all tenants, also while one is chosen. @extends {Pages<Entry>} */
class Entries extends Pages {
  get(/** @type {Record<string, any>} */ query) {
    return api.get(this.path, { query, signal: this.aborter.signal, tenant: null });
  }
}

const FILTERS = [["actor", "Who: a name, id or type"], ["action", "What: hook, or hook.updated"], ["object", "Object: id or name"], ["tenant", "Tenant: name or id"]];

export function AuditLog() {
  const filters = Object.fromEntries(FILTERS.map(([name]) => [name, route.value.query.get(name) ?? ""]));
  const pages = useMemo(() => new Entries("/audit-log", filters, (entry) => entry.id), [JSON.stringify(filters)]);
  useEffect(() => {
    void pages.more();
    return () => pages.close();
  }, [pages]);
  const tenants = useLoad(async (signal) => new Map((await allTenants(signal)).map(({ id, name }) => [id, name])), []);
  const items = pages.items.value;
  const state = pages.state.value;
  return html`<form class="filters" role="search" onSubmit=${(/** @type {Event} */ event) => event.preventDefault()}>${FILTERS.map(([name, label], index) => html`<input key=${name} type="search" aria-label=${label} placeholder=${label} value=${filters[name]} data-search=${index === 0 ? "" : undefined}
      onChange=${(/** @type {any} */ event) => setQuery({ [name]: event.target.value.trim() })} />`)}</form>
    ${items.length > 0 && html`<div class="scroll-x" tabindex="0" role="region" aria-label="Audit log"><table class="grid-table top" aria-label="Audit log"><thead><tr><th scope="col">When</th><th scope="col">Tenant</th><th scope="col">Who</th><th scope="col">What</th><th scope="col">Object</th><th scope="col">Changes</th><th scope="col">From</th></tr></thead>
      <tbody>${items.map((entry) => html`<tr key=${entry.id}><td class="nowrap muted"><${Time} value=${entry.at} absolute /></td><td class="nowrap">${tenants.value?.get(entry.tenant ?? "") ?? entry.tenant ?? "–"}</td><td>${entry.actor.name ?? entry.actor.id ?? entry.actor.type}<div class="muted">${entry.actor.type}</div></td><td class="nowrap"><code>${entry.action}</code></td>
        <td>${entry.object.name ?? ""}<div class="muted"><code>${entry.object.id}</code></div></td><td class="changes"><${Changes} changes=${entry.changes} /></td><td class="muted nowrap">${entry.address ?? "–"}</td></tr>`)}</tbody></table></div>`}
    ${state === "loading" && html`<${Loading} />`}
    ${state === "failed" && html`<${Failure} error=${pages.error} retry=${() => pages.more()} />`}
    ${state === "ready" && items.length === 0 && pages.isComplete && html`<${Empty} title="No entry matches">Each change of configuration leaves one. Try other filters.</${Empty}>`}
    ${state === "ready" && !pages.isComplete && html`<div class="actions"><${Button} onClick=${() => pages.more()}>Show more</${Button}></div>`}`;
}

/** More changes than these are shown on demand. */
const SHOWN = 3;

/** @param {{changes: Entry["changes"]}} props */
function Changes({ changes }) {
  const items = changes.map((change) => html`<div key=${change.member}>${changeOf(change)}</div>`);
  return changes.length <= SHOWN ? items : html`<details class="more"><summary>${changes.length} members</summary>${items}</details>`;
}

/** @param {{member: string, old?: unknown, new?: unknown}} change */
function changeOf(change) {
  const write = (/** @type {unknown} */ value) => (value == null ? "none" : typeof value === "string" ? value : JSON.stringify(value));
  if (!("old" in change) && !("new" in change)) return html`<code>${change.member}</code>`;
  return html`<code>${change.member}</code>: <span class="muted">${write(change.old)} →</span> ${write(change.new)}`;
}
