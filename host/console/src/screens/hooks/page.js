// One hook: its state and why, how it does, what it sends, and what can be done.
import { html, useEffect, useState } from "../../lib/html.js";
import { api, may, tenant } from "../../lib/api.js";
import { compact, count, duration, percent, shortUrl, span } from "../../lib/format.js";
import { keepHook, loadHooks } from "../../lib/hooks.js";
import { useKey } from "../../lib/keys.js";
import { slice } from "../../lib/json.js";
import { href, navigate } from "../../lib/router.js";
import { HOOK_STATE_WORDS, scheduleInWords, whyOfHook } from "../../lib/why.js";
import { Button, Facts, Failure, Id, Loading, Notice, State, Tabs, Time, useLoad } from "../../ui/basics.js";
import { LatencyChart, OutcomesChart, StatsTable } from "../../ui/charts.js";
import { confirm } from "../../ui/dialog.js";
import { Code, HeaderList } from "../../ui/text.js";
import { toast } from "../../ui/toast.js";
import { RecoverDialog } from "./recover.js";
import { ReplayDialog } from "./replay.js";
import { Secret } from "./secret.js";
import { TestDialog } from "./test.js";

/** @typedef {import("../../lib/types.js").Hook} Hook */
/** @typedef {import("../../lib/types.js").Stats} Stats */

/** @param {{id: string}} props */
export function HookPage({ id }) {
  const { value, error, reload } = useLoad((signal) => loadHook(id, signal), [id, tenant.value?.id]);
  useKey("Escape", "Back", () => navigate(href(["hooks"])));
  useEffect(() => {
    const timer = setInterval(() => !document.hidden && reload(), 5000);
    return () => clearInterval(timer);
  }, [id]);
  if (!value) return error ? html`<div class="page"><a href=${href(["hooks"])}>All hooks</a><${Failure} error=${error} retry=${reload} /></div>` : html`<${Loading} />`;
  return html`<${Content} hook=${value.hook} text=${value.text} reload=${reload} />`;
}

/** @param {string} id @param {AbortSignal} signal @returns {Promise<{hook: Hook, text: string}>} `text` has every digit of settings */
export async function loadHook(id, signal) {
  const text = await api.text(`/hooks/${encodeURIComponent(id)}`, { signal });
  const hook = JSON.parse(text);
  keepHook(hook);
  return { hook, text };
}

/** @param {{hook: Hook, text: string, reload: () => void}} props */
function Content({ hook, text, reload }) {
  const [dialog, setDialog] = useState("");
  const close = () => {
    setDialog("");
    reload();
  };
  const change = async (/** @type {Record<string, unknown>} */ body, /** @type {string} */ done) => {
    await api.patch(`/hooks/${hook.id}`, { body });
    toast(done);
    reload();
  };
  const remove = async () => {
    const words = "Its unfinished deliveries are cancelled. The deliveries that it had stay in the list until they are removed with their events.";
    if (!(await confirm({ title: "Delete this hook?", text: words, action: "Delete the hook", danger: true, type: hook.description || shortUrl(hook.url) }))) return;
    await api.delete(`/hooks/${hook.id}`);
    toast("The hook is deleted.");
    await loadHooks();
    navigate(href(["hooks"]));
  };
  const isOurs = hook.surface === "v3";
  const mayChange = may("hooks:write") && isOurs;
  return html`<div class="page">
    <p><a href=${href(["hooks"])}>Hooks</a></p>
    <header class="detail-head"><div class="title"><h1>${hook.description || shortUrl(hook.url ?? hook.id)}</h1><${State} value=${hook.state.name} label=${HOOK_STATE_WORDS[hook.state.name]} /></div>
      <div class="head-ids"><code class="muted">${hook.url}</code><${Id} value=${hook.id} /></div>
      <div class="actions">
        ${may("hooks:write") && html`<${Button} kind="primary" icon="play" onClick=${() => setDialog("test")}>Send a test</${Button}>`}
        ${mayChange && html`<a class="button" href=${href(["hooks", hook.id, "edit"])}>Edit</a>`}
        ${may("plugins:read") && html`<a class="button" href=${href(["playground"], { hook: hook.id })}>Open in the playground</a>`}
        ${mayChange && hook.enabled && html`<${Button} icon=${hook.paused ? "play" : "pause"} onClick=${() => change({ paused: !hook.paused }, hook.paused ? "The hook sends again." : "The hook is paused: deliveries wait.")}>${hook.paused ? "Resume" : "Pause"}</${Button}>`}
        ${mayChange && !hook.enabled && html`<${Button} onClick=${() => change({ enabled: true }, "The hook is enabled.")}>Enable</${Button}>`}
        ${may("hooks:write") && may("events:read") && html`<${Button} onClick=${() => setDialog("recover")}>Recover missed</${Button}>`}
        ${may("deliveries:write") && may("events:read") && html`<${Button} onClick=${() => setDialog("replay")}>Replay</${Button}>`}
        ${mayChange && html`<${Button} kind="danger" icon="trash" label="Delete the hook" onClick=${remove} />`}
      </div></header>
    ${hook.unreadable && html`<${Notice} tone="bad" title="Its settings cannot be decrypted">Its deliveries wait. Replace the hook with <code>PUT</code>, or restore the engine’s key.</${Notice}>`}
    ${!isOurs && html`<${Notice} title=${`Made through the API ${hook.surface}`}>Only that API can change it.</${Notice}>`}
    ${hook.state.name !== "ok" && html`<section class=${`why ${hook.state.name === "circuit_open" || hook.state.name === "disabled" ? "bad" : hook.state.name === "paused" ? "quiet" : "warn"}`} aria-label="State"><h2>${HOOK_STATE_WORDS[hook.state.name][0].toUpperCase()}${HOOK_STATE_WORDS[hook.state.name].slice(1)}</h2>
      <p>${whyOfHook(hook.state)}${hook.held ? ` ${count(hook.held)}${hook.held >= 10_000 ? " or more" : ""} deliveries wait.` : ""}</p></section>`}
    ${may("deliveries:read") && html`<${Figures} hook=${hook} />`}
    ${may("deliveries:read") && html`<${Recent} hook=${hook} />`}
    <${Pipeline} hook=${hook} text=${text} />
    ${may("hooks:write") && hook.signing !== "none" && html`<${Secret} hook=${hook} />`}
    <section class="section"><h2>Settings</h2><${Settings} hook=${hook} /></section>
    ${dialog === "test" && html`<${TestDialog} hook=${hook} onClose=${close} />`}
    ${dialog === "recover" && html`<${RecoverDialog} hook=${hook} onClose=${close} />`}
    ${dialog === "replay" && html`<${ReplayDialog} hook=${hook} onClose=${close} />`}
  </div>`;
}

/** @param {{hook: Hook}} props */
function Figures({ hook }) {
  const [range, setRange] = useState("24h");
  const load = (/** @type {AbortSignal} */ signal) => {
    const hours = range === "24h" ? 24 : 7 * 24 - 1;
    const since = new Date(Date.now() - hours * 3_600_000).toISOString();
    return /** @type {Promise<Stats>} */ (api.get(`/hooks/${hook.id}/stats`, { query: { since }, signal }));
  };
  const { value: stats, error, reload } = useLoad(load, [hook.id, range]);
  useEffect(() => {
    const timer = setInterval(() => !document.hidden && reload(), 10_000);
    return () => clearInterval(timer);
  }, [range]);
  if (!stats) return error ? html`<${Failure} error=${error} retry=${reload} />` : html`<${Loading} />`;
  const hour = stats.hours.at(-1);
  const isNow = hour && new Date(hour.hour).getTime() > Date.now() - 3_600_000;
  const tabs = [{ id: "24h", label: "Last 24 hours" }, { id: "7d", label: "Last 7 days" }];
  return html`<section class="section" aria-label="Figures"><${Tabs} tabs=${tabs} value=${range} onChange=${setRange} label="Time" panel="figures" />
    <div id="figures" role="tabpanel" class="section">
    <div class="cards">
      <${Card} label="Success" figure=${percent(stats.total.success_rate)} more=${`this hour ${percent(isNow ? hour.success_rate : null)}`} />
      <${Card} label="Attempts" figure=${compact(stats.total.attempts)} more=${`this hour ${compact(isNow ? hour.attempts : 0)}`} />
      <${Card} label="Median time" figure=${duration(stats.total.latency_ms?.p50)} more=${`this hour ${duration(isNow ? hour.latency_ms?.p50 : null)}`} />
      <${Card} label="95 % are quicker than" figure=${duration(stats.total.latency_ms?.p95)} more=${`this hour ${duration(isNow ? hour.latency_ms?.p95 : null)}`} /></div>
    ${stats.total.attempts > 0 ? html`<div class="charts"><${OutcomesChart} stats=${stats} /><${LatencyChart} stats=${stats} /></div><${StatsTable} stats=${stats} />` : html`<p class="muted">No attempts in this time. Send a test to see how the receiver answers.</p>`}</div></section>`;
}

/** @param {{label: string, figure: string, more: string}} props */
const Card = ({ label, figure, more }) => html`<div class="card"><div class="label">${label}</div><div class="figure">${figure}</div><div class="muted">${more}</div></div>`;

/** @param {{hook: Hook}} props */
function Recent({ hook }) {
  const { value, error, reload } = useLoad((signal) => api.get("/deliveries", { query: { hook: hook.id, limit: 8 }, signal }), [hook.id]);
  useEffect(() => {
    const timer = setInterval(() => !document.hidden && reload(), 5000);
    return () => clearInterval(timer);
  }, [hook.id]);
  if (error) return html`<${Failure} error=${error} retry=${reload} />`;
  return html`<section class="section"><div class="section-head"><h2>Latest deliveries</h2><a href=${href(["deliveries"], { hook: hook.id, state: "exhausted" })}>Exhausted</a><a href=${href(["deliveries"], { hook: hook.id })}>All of this hook</a></div>
    ${value?.data.length === 0 ? html`<p class="muted">None yet.</p>` : html`<table class="grid-table" aria-label="Latest deliveries"><tbody>${value?.data.map((/** @type {any} */ one) => html`<tr key=${one.id} data-open=${href(["deliveries", one.id], { hook: hook.id })}><td class="c-state"><${State} value=${one.state} /></td><td><a href=${href(["deliveries", one.id], { hook: hook.id })}>${one.type}</a></td><td class="num muted">${one.attempt_count}</td><td class="num muted nowrap"><${Time} value=${one.created_at} /></td></tr>`)}</tbody></table>`}</section>`;
}

/** @param {{hook: Hook, text: string}} props */
function Pipeline({ hook, text }) {
  return html`<section class="section"><h2>Pipeline</h2>${hook.pipeline.length === 0
    ? html`<p class="muted">None: the body is the event’s data, sent by POST. <a href=${href(["playground"], { hook: hook.id })}>Write one in the playground</a>, on a real event.</p>`
    : html`<ol class="steps">${hook.pipeline.map((step, index) => {
      const settings = slice(text, ["pipeline", index, "settings"]) ?? "{}";
      const isScript = typeof step.settings?.script === "string";
      return html`<li key=${index} class="step"><div class="step-head"><span class="muted">${index + 1}</span><strong>${step.plugin}</strong></div>
        ${isScript && html`<${Code} text=${step.settings.script} raw label=${`Script of step ${index + 1}`} />`}
        ${(!isScript || Object.keys(step.settings).length > 1) && settings !== "{}" && html`<${Code} text=${settings} label=${`Settings of step ${index + 1}`} />`}</li>`;
    })}</ol>`}</section>`;
}

/** @param {{hook: Hook}} props */
function Settings({ hook }) {
  const batch = hook.batch && `up to ${hook.batch.max_events} events, or after ${duration(hook.batch.max_wait_ms)}, as ${hook.batch.format}`;
  return html`<${Facts} class="rows" items=${[
    ["URL", html`<code>${hook.url}</code>`],
    ["Types", html`<code>${hook.types.join(", ")}</code>`],
    ["Project", hook.project != null && String(hook.project)],
    ["Time limit", duration(hook.timeout_ms)],
    ["Retries after", scheduleInWords(hook.retry.schedule_s)],
    ["Signatures", hook.signing],
    ["Headers", Object.keys(hook.headers).length > 0 && html`<${HeaderList} headers=${hook.headers} label="Headers" />`],
    ["Masked headers", hook.masked_headers.join(", ")],
    ["Requests at a time", hook.max_in_flight && `at most ${hook.max_in_flight}`],
    ["Requests in a second", hook.max_per_second && `at most ${hook.max_per_second}`],
    ["Order", hook.ordering && `by ${hook.ordering}${hook.ordering_skip_after ? `, others go on after ${hook.ordering_skip_after} failures` : ""}`],
    ["Bodies are kept", hook.retain_bodies_s ? `for ${span(hook.retain_bodies_s)}` : "no"],
    ["Batches", batch],
    ["Created", html`<${Time} value=${hook.created_at} absolute />`],
    ["Changed", html`<${Time} value=${hook.updated_at} absolute />`],
  ]} />`;
}
