// Hooks of all tenants that are not in order. The API lists hooks by tenant, so each tenant is asked, a few at a time.
import { html, useEffect, useRef, useState } from "../../lib/html.js";
import { api, messageOf, tenant as chosen } from "../../lib/api.js";
import { count } from "../../lib/format.js";
import { href, navigate } from "../../lib/router.js";
import { allTenants } from "../../lib/tenants.js";
import { HOOK_STATE_WORDS, whyOfHook } from "../../lib/why.js";
import { Button, Notice, State } from "../../ui/basics.js";

/** The worst first. */
const ORDER = ["circuit_open", "failing", "disabled", "awaiting_permission", "paused"];
const AT_A_TIME = 4;

export function FailingHooks() {
  const [found, setFound] = useState(/** @type {{hook: import("../../lib/types.js").Hook, tenant: {id: string, name: string}}[]} */ ([]));
  const [progress, setProgress] = useState({ done: 0, all: 0, isRunning: true, failure: "" });
  const aborter = useRef(new AbortController());
  const search = async () => {
    aborter.current.abort();
    aborter.current = new AbortController();
    const { signal } = aborter.current;
    setFound([]);
    setProgress({ done: 0, all: 0, isRunning: true, failure: "" });
    try {
      const tenants = await allTenants(signal);
      const queue = [...tenants];
      const worker = async () => {
        for (let tenant = queue.shift(); tenant && !signal.aborted; tenant = queue.shift()) {
          const bad = await badHooksOf(tenant, signal);
          setFound((before) => [...before, ...bad]);
          setProgress((before) => ({ ...before, done: before.done + 1, all: tenants.length }));
        }
      };
      await Promise.all(Array.from({ length: AT_A_TIME }, worker));
      setProgress((before) => ({ ...before, isRunning: false }));
    } catch (error) {
      if (!signal.aborted) setProgress((before) => ({ ...before, isRunning: false, failure: messageOf(error) }));
    }
  };
  useEffect(() => {
    void search();
    return () => aborter.current.abort();
  }, []);
  const stop = () => {
    aborter.current.abort();
    setProgress((before) => ({ ...before, isRunning: false }));
  };
  const visit = (/** @type {{id: string, name: string}} */ tenant, /** @type {string} */ hook) => (/** @type {Event} */ event) => {
    event.preventDefault();
    chosen.value = { id: tenant.id, name: tenant.name };
    navigate(href(["hooks", hook]));
  };
  const shown = [...found].sort((a, b) => ORDER.indexOf(a.hook.state.name) - ORDER.indexOf(b.hook.state.name)).slice(0, 500);
  return html`<div class="section-head"><p class="muted grow" role="status">${progress.isRunning ? `Asking ${count(progress.done)} of ${count(progress.all)} tenants …` : `${count(found.length)} hooks of ${count(progress.done)} tenants are not in order.`}</p>
      ${progress.isRunning ? html`<${Button} small icon="stop" onClick=${stop}>Stop</${Button}>` : html`<${Button} small icon="retry" onClick=${search}>Look again</${Button}>`}</div>
    ${progress.failure && html`<${Notice} tone="bad">${progress.failure}</${Notice}>`}
    ${!progress.isRunning && found.length === 0 && html`<${Notice} tone="good" title="Every hook is in order">None fails, none is paused or disabled.</${Notice}>`}
    ${shown.length > 0 && html`<div class="scroll-x" tabindex="0" role="region" aria-label="Hooks that are not in order"><table class="grid-table" aria-label="Hooks that are not in order"><thead><tr><th scope="col">State</th><th scope="col">Tenant</th><th scope="col">Hook</th><th scope="col">Why</th></tr></thead>
      <tbody>${shown.map(({ hook, tenant }) => html`<tr key=${hook.id}><td class="nowrap"><${State} value=${hook.state.name} label=${HOOK_STATE_WORDS[hook.state.name]} /></td><td class="nowrap">${tenant.name}</td><td><a href=${href(["hooks", hook.id])} onClick=${visit(tenant, hook.id)}>${hook.description || hook.url}</a></td><td class="muted">${whyOfHook(hook.state)}</td></tr>`)}</tbody></table></div>`}`;
}

/** @param {{id: string, name: string}} tenant @param {AbortSignal} signal */
async function badHooksOf(tenant, signal) {
  const bad = [];
  let cursor;
  for (let page = 0; page < 40; page += 1) {
    const { data, next } = await api.get("/hooks", { query: { limit: 250, cursor }, signal, tenant: tenant.id });
    bad.push(...data.filter((/** @type {any} */ hook) => hook.state.name !== "ok").map((/** @type {any} */ hook) => ({ hook, tenant })));
    cursor = next;
    if (!next) break;
  }
  return bad;
}
