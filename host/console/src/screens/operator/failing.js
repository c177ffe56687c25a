// Hooks of all tenants that are not in order, those whose state changed last first.
import { html, useEffect, useMemo } from "../../lib/html.js";
import { api, tenant as chosen } from "../../lib/api.js";
import { count } from "../../lib/format.js";
import { PAGE, Pages } from "../../lib/pages.js";
import { href, navigate, route, setQuery } from "../../lib/router.js";
import { HOOK_STATE_WORDS, whyOfHook } from "../../lib/why.js";
import { Button, Failure, Loading, Notice, State, Time } from "../../ui/basics.js";

/** @typedef {{id: string, tenant: string, tenant_name: string | null, description: string, url: string, state: import("../../lib/types.js").HookState}} Unwell */

const STATES = [["circuit_open", "bad"], ["failing", "warn"], ["disabled", "bad"], ["awaiting_permission", "warn"], ["paused", "quiet"]];
const EVERY_MS = 5000;

/** Of all tenants, also while one is chosen. @extends {Pages<Unwell>} */
class UnwellHooks extends Pages {
  get(/** @type {Record<string, any>} */ query) {
    return api.get(this.path, { query, signal: this.aborter.signal, tenant: null });
  }
}

export function FailingHooks() {
  const state = route.value.query.get("state") ?? "";
  const pages = useMemo(() => new UnwellHooks("/engine/hooks", { state }, (hook) => hook.id), [state]);
  useEffect(() => {
    void pages.more();
    // Only the first page is loaded again, and not while somebody reads further down.
    const timer = setInterval(() => !document.hidden && pages.state.peek() === "ready" && pages.items.peek().length <= PAGE && void pages.reload(), EVERY_MS);
    return () => {
      clearInterval(timer);
      pages.close();
    };
  }, [pages]);
  const items = pages.items.value;
  const chosenStates = state.split(",").filter(Boolean);
  const toggle = (/** @type {string} */ name) => {
    const next = chosenStates.includes(name) ? chosenStates.filter((one) => one !== name) : [...chosenStates, name];
    setQuery({ state: next.join(",") });
  };
  return html`<div class="chips" role="group" aria-label="States">${STATES.map(([name, tone]) => html`<button key=${name} type="button" class=${`chip ${tone}`} aria-pressed=${String(chosenStates.includes(name))} onClick=${() => toggle(name)}><i aria-hidden="true"></i>${HOOK_STATE_WORDS[name]}</button>`)}</div>
    ${items.length > 0 && html`<div class="scroll-x" tabindex="0" role="region" aria-label="Hooks that are not in order"><table class="grid-table top" aria-label="Hooks that are not in order"><thead><tr><th scope="col">State</th><th scope="col">Tenant</th><th scope="col">Hook, and why</th><th scope="col" class="num">Since</th></tr></thead>
      <tbody>${items.map((hook) => html`<${Row} key=${hook.id} hook=${hook} />`)}</tbody></table></div>`}
    ${pages.state.value === "loading" && items.length === 0 && html`<${Loading} />`}
    ${pages.state.value === "failed" && html`<${Failure} error=${pages.error} retry=${() => pages.more()} />`}
    ${pages.state.value === "ready" && items.length === 0 && html`<${Notice} tone="good" title=${state ? "No hook is in such a state" : "Every hook is in order"}>${state ? "Choose other states." : "None fails, none is paused or disabled."}</${Notice}>`}
    ${pages.state.value === "ready" && !pages.isComplete && html`<div class="actions"><p class="muted grow">The first ${count(items.length)}.</p><${Button} onClick=${() => pages.more()}>Show more</${Button}></div>`}`;
}

/** @param {{hook: Unwell}} props */
function Row({ hook }) {
  const address = href(["hooks", hook.id]);
  const visit = (/** @type {Event} */ event) => {
    event.preventDefault();
    chosen.value = { id: hook.tenant, name: hook.tenant_name ?? hook.tenant };
    navigate(address);
  };
  return html`<tr><td class="nowrap"><${State} value=${hook.state.name} label=${HOOK_STATE_WORDS[hook.state.name]} /></td>
    <td class="nowrap"><a href=${href(["operator", "tenants", hook.tenant])}>${hook.tenant_name ?? hook.tenant}</a></td>
    <td class="changes"><a href=${address} onClick=${visit}>${hook.description || hook.url}</a><div class="muted">${whyOfHook(hook.state)}</div></td>
    <td class="num nowrap muted"><${Time} value=${hook.state.since} /></td></tr>`;
}
