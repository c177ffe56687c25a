// One tenant: what it uses of its limits, how its deliveries do, and what an operator can do about it.
import { html, useEffect, useState } from "../../lib/html.js";
import { api, mayOperate, tenant as chosen } from "../../lib/api.js";
import { bytes, compact, count, duration, percent, span } from "../../lib/format.js";
import { useKey } from "../../lib/keys.js";
import { href, navigate } from "../../lib/router.js";
import { Button, Facts, Failure, Id, Loading, Meter, Notice, State, Tag, Time, useLoad } from "../../ui/basics.js";
import { LatencyChart, OutcomesChart, StatsTable } from "../../ui/charts.js";
import { confirm } from "../../ui/dialog.js";
import { toast } from "../../ui/toast.js";
import { LIMITS, LimitsDialog } from "./limits.js";
import { TenantKeys } from "./tenant-keys.js";

/** @param {{id: string}} props */
export function TenantPage({ id }) {
  const { value, error, reload } = useLoad((signal) => api.get(`/tenants/${encodeURIComponent(id)}`, { signal, tenant: null }), [id]);
  useKey("Escape", "Back", () => navigate(href(["operator", "tenants"])));
  useEffect(() => {
    const timer = setInterval(() => !document.hidden && reload(), 5000);
    return () => clearInterval(timer);
  }, [id]);
  if (!value) return error ? html`<div class="page"><a href=${href(["operator"])}>Operator</a><${Failure} error=${error} retry=${reload} /></div>` : html`<${Loading} />`;
  return html`<${Content} tenant=${value} reload=${reload} />`;
}

/** @param {{tenant: any, reload: () => void}} props */
function Content({ tenant, reload }) {
  const [isEdited, setEdited] = useState(false);
  const path = `/tenants/${tenant.id}`;
  const change = async (/** @type {any} */ body, /** @type {string} */ done) => {
    await api.patch(path, { body, tenant: null });
    toast(done);
    reload();
  };
  const suspend = async () => {
    const text = "Its keys are refused, nothing is accepted for it, and its deliveries wait. Nothing is lost; you can resume it.";
    if (tenant.suspended_since || (await confirm({ title: `Suspend ${tenant.name}?`, text, action: "Suspend", danger: true }))) {
      await change({ suspended: !tenant.suspended_since }, tenant.suspended_since ? "The tenant is active again." : "The tenant is suspended.");
    }
  };
  const remove = async () => {
    const text = "Its hooks, events, deliveries, plugins and keys are removed for ever. This cannot be undone.";
    if (!(await confirm({ title: `Delete ${tenant.name}?`, text, action: "Delete for ever", danger: true, type: tenant.name }))) return;
    await api.delete(path, { query: { confirm: tenant.name }, tenant: null });
    toast("The tenant is being deleted.");
    if (chosen.peek()?.id === tenant.id) chosen.value = null;
    navigate(href(["operator", "tenants"]));
  };
  const visit = () => {
    chosen.value = { id: tenant.id, name: tenant.name };
    navigate(href(["deliveries"]));
  };
  return html`<div class="page"><p><a href=${href(["operator", "tenants"])}>Tenants</a></p>
    <header class="detail-head"><div class="title"><h1>${tenant.name}</h1>${tenant.suspended_since ? html`<${Tag} tone="bad">suspended</${Tag}>` : tenant.paused_since ? html`<${Tag} tone="warn">paused</${Tag}>` : html`<${Tag} tone="good">active</${Tag}>`}</div>
      <${Id} value=${tenant.id} />
      <div class="actions"><${Button} kind="primary" onClick=${visit}>See its deliveries</${Button}>
        ${mayOperate() && html`<${Button} icon=${tenant.paused_since ? "play" : "pause"} onClick=${() => change({ paused: !tenant.paused_since }, tenant.paused_since ? "The tenant’s hooks send again." : "The tenant is paused: deliveries wait.")}>${tenant.paused_since ? "Resume" : "Pause"}</${Button}>
          <${Button} onClick=${() => setEdited(true)}>Change limits</${Button}><${Button} kind=${tenant.suspended_since ? "plain" : "danger"} onClick=${suspend}>${tenant.suspended_since ? "End the suspension" : "Suspend"}</${Button}>
          <${Button} kind="danger" icon="trash" label="Delete the tenant" onClick=${remove} />`}</div></header>
    ${tenant.suspended_since && html`<${Notice} tone="bad" title="Suspended">Since <${Time} value=${tenant.suspended_since} absolute />.</${Notice}>`}
    ${tenant.paused_since && html`<${Notice} tone="warn" title="Paused">Since <${Time} value=${tenant.paused_since} absolute />.</${Notice}>`}
    <${Usage} tenant=${tenant} />
    <${Attempts} id=${tenant.id} />
    <${HooksOf} id=${tenant.id} />
    <${TenantKeys} id=${tenant.id} />
    <section class="section"><h2>Retention</h2><${Facts} class="rows" items=${[["Events", kept(tenant.retain_events_s)], ["Attempts", kept(tenant.retain_attempts_s)], ["Bodies", kept(tenant.retain_bodies_s)], ["Created", html`<${Time} value=${tenant.created_at} absolute />`]]} /></section>
    ${isEdited && html`<${LimitsDialog} tenant=${tenant} onClose=${() => { setEdited(false); reload(); }} />`}</div>`;
}

/** @param {number | null} seconds */
const kept = (seconds) => (seconds == null ? "as the settings say" : `for ${span(seconds)}`);

/** @param {{tenant: any}} props */
function Usage({ tenant }) {
  return html`<section class="section"><h2>Usage and limits</h2><div class="scroll-x" tabindex="0" role="region" aria-label="Usage and limits"><table class="grid-table" aria-label="Usage and limits"><thead><tr><th scope="col">Limit</th><th scope="col">Share</th><th scope="col" class="num">Used</th><th scope="col" class="num">Limit</th><th scope="col"><span class="sr">Whose</span></th></tr></thead><tbody>
    ${LIMITS.map(({ name, label, isBytes }) => {
      const used = tenant.usage?.[name];
      const limit = tenant.limits[name];
      const write = isBytes ? bytes : compact;
      return html`<tr key=${name}><th scope="row" class="plain">${label}</th><td class="share">${limit != null && used != null ? html`<${Meter} share=${limit === 0 ? 1 : used / limit} label=${`${label}: share of the limit`} />` : html`<span class="muted">–</span>`}</td>
        <td class="num" title=${used == null ? "" : count(used)}>${used == null ? "–" : write(used)}</td><td class="num" title=${limit == null ? "" : count(limit)}>${limit == null ? "none" : write(limit)}</td><td>${tenant.own_limits.includes(name) && html`<${Tag} tone="busy">its own</${Tag}>`}</td></tr>`;
    })}</tbody></table></div></section>`;
}

/** @param {{id: string}} props */
function Attempts({ id }) {
  const { value: stats, error } = useLoad((signal) => /** @type {Promise<import("../../lib/types.js").Stats>} */ (api.get(`/tenants/${id}/stats`, { signal, tenant: null })), [id]);
  if (error) return html`<${Failure} error=${error} />`;
  if (!stats) return null;
  return html`<section class="section"><h2>Last 24 hours</h2><p class="muted">${count(stats.total.attempts)} attempts, ${percent(stats.total.success_rate)} succeeded, median ${duration(stats.total.latency_ms?.p50)}.</p>
    ${stats.total.attempts > 0 && html`<div class="charts"><${OutcomesChart} stats=${stats} /><${LatencyChart} stats=${stats} /></div><${StatsTable} stats=${stats} />`}</section>`;
}

/** @param {{id: string}} props */
function HooksOf({ id }) {
  const { value } = useLoad((signal) => api.get("/hooks", { query: { limit: 250 }, signal, tenant: id }), [id]);
  if (!value) return null;
  const bad = value.data.filter((/** @type {any} */ hook) => hook.state.name !== "ok");
  return html`<section class="section"><h2>Hooks <span class="muted">${value.data.length}${value.next ? "+" : ""}, ${bad.length} not in order</span></h2>
    ${bad.length > 0 && html`<ul class="matches">${bad.slice(0, 20).map((/** @type {any} */ hook) => html`<li key=${hook.id}><div class="match-main"><strong>${hook.description || hook.url}</strong><span class="muted">${hook.state.reason ?? ""}</span></div><${State} value=${hook.state.name} /></li>`)}</ul>`}</section>`;
}
