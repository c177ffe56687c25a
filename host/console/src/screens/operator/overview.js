// Is everything all right: what waits, how long commits and deliveries take, and what is stored.
import { html, useEffect } from "../../lib/html.js";
import { api } from "../../lib/api.js";
import { bytes, count, duration, plural, span } from "../../lib/format.js";
import { href } from "../../lib/router.js";
import { Failure, Loading, Meter, Time, useLoad } from "../../ui/basics.js";

/** @typedef {{over_s: number, count: number, p50_ms: number | null, p99_ms: number | null}} Times */

/** From here on a figure is shown as a warning: then the runbook has something to say. */
const LATE_S = 60;
const SLOW_COMMIT_MS = 250;

export function Overview() {
  const { value, error, loading, reload } = useLoad((signal) => api.get("/engine/figures", { signal, tenant: null }), []);
  const isSampled = Boolean(value?.sampled_at);
  useEffect(() => {
    if (loading) return undefined;
    // The first figures of the database come after the first question.
    const timer = setInterval(() => !document.hidden && reload(), isSampled ? 5000 : 1000);
    return () => clearInterval(timer);
  }, [isSampled, loading]);
  if (!value) return error ? html`<${Failure} error=${error} retry=${reload} />` : html`<${Loading} />`;
  const { storage, deliveries, hooks } = value;
  const unwell = hooks.failing + hooks.circuit_open + hooks.disabled;
  return html`<div class="cards">
      <${Card} label="Oldest delivery that is late" tone=${value.oldest_due_s >= LATE_S ? "bad" : ""} figure=${isSampled ? (value.oldest_due_s < 1 ? "none" : span(value.oldest_due_s)) : "–"}>because of the engine alone</${Card}>
      <${Card} label="Requests in flight" figure=${count(value.in_flight)}><${Meter} share=${value.in_flight / Math.max(1, value.in_flight_limit)} label="Requests in flight: share of the limit" text=${`of ${count(value.in_flight_limit)}`} /></${Card}>
      <${Card} label="Due, not sent yet" figure=${count(deliveries.pending == null ? null : deliveries.pending + deliveries.queued)}>${count(deliveries.waiting)} wait for a retry</${Card}>
      <${Card} label="Hooks that fail or are disabled" tone=${hooks.circuit_open > 0 ? "bad" : ""} figure=${html`<a href=${href(["operator", "failing"], { state: "circuit_open,failing,disabled" })}>${count(unwell)}</a>`}>${hooks.circuit_open > 0 ? `${plural(hooks.circuit_open, "circuit")} open` : `${count(hooks.ok)} are in order`}</${Card}>
    </div>
    <div class="cards"><${TimesCard} label="Commit" times=${value.commits} slow=${SLOW_COMMIT_MS} /><${TimesCard} label="Acceptance to arrival" times=${value.arrivals} /></div>
    <div class="cards">
      <${Card} label="Database" figure=${bytes(storage.database_bytes)}>${storage.wal_bytes == null ? "" : `and ${bytes(storage.wal_bytes)} of log (WAL)`}</${Card}>
      <${Card} label="Free on the volume of data_dir" tone=${storage.disk_size_bytes && storage.disk_free_bytes / storage.disk_size_bytes < 0.1 ? "bad" : ""} figure=${bytes(storage.disk_free_bytes)}>${storage.disk_size_bytes && html`<${Meter} share=${1 - storage.disk_free_bytes / storage.disk_size_bytes} label="Used share of the volume" text=${`of ${bytes(storage.disk_size_bytes)}`} />`}</${Card}>
    </div>
    <p class="muted">Node ${value.node}${value.sampled_at && html`; the database was read <${Time} value=${value.sampled_at} />`}. Other nodes have times of their own: see <code>/metrics</code> of each.</p>`;
}

/** @param {{label: string, figure: any, tone?: string, children?: any}} props */
const Card = ({ label, figure, tone = "", children }) => html`<div class="card"><div class="label">${label}</div><div class=${`figure ${tone}`}>${figure}</div><div class="muted">${children}</div></div>`;

/** @param {{label: string, times: Times, slow?: number}} props */
function TimesCard({ label, times, slow = Infinity }) {
  const since = times.over_s < 2 ? "just now" : `the last ${span(times.over_s)}`;
  if (times.p50_ms == null || times.p99_ms == null) return html`<${Card} label=${label} figure="–">none in ${since}</${Card}>`;
  return html`<${Card} label=${`${label}, median`} figure=${duration(times.p50_ms)}>${count(times.count)} in ${since}</${Card}>
    <${Card} label=${`${label}, 99\u00a0%`} figure=${duration(times.p99_ms)} tone=${times.p99_ms >= slow ? "bad" : ""} />`;
}
