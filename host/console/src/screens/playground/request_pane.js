// The third pane: what would be sent, how it differs, and what the plugins logged.
import { html, useState } from "../../lib/html.js";
import { duration } from "../../lib/format.js";
import { pretty } from "../../lib/json.js";
import { Button, Failure, Loading, Notice, Tabs, Tag } from "../../ui/basics.js";
import { BodyText, Diff, HeaderList } from "../../ui/text.js";

/** @typedef {import("../../lib/types.js").DryRun} DryRun */
/** @typedef {NonNullable<DryRun["request"]>} Request */

/**
 * @param {{result: import("./run.js").Result, input: string, waiting: string | null, onRun: () => void}} props
 * `input` is the event's data as it is shown, `waiting` why nothing runs.
 */
export function RequestPane({ result, input, waiting, onRun }) {
  const { run, today, error, busy, ms } = result;
  return html`<section class="pane" aria-labelledby="pane-request" aria-busy=${busy ? "true" : undefined}>
    <header><h2 id="pane-request">Request</h2><${Verdict} run=${run} /><span class="grow"></span>
      <span class="muted">${busy ? "running …" : run && !waiting ? duration(ms) : ""}</span>
      <${Button} kind="quiet" small icon="play" label="Run now" onClick=${onRun} disabled=${waiting !== null} /></header>
    ${waiting && html`<p class="muted" role="status">${waiting}</p>`}
    ${error && !waiting && html`<${Failure} error=${error} />`}
    ${!run && busy && html`<${Loading} label="Running" />`}
    ${run && html`<${Outcome} run=${run} today=${today} input=${input} /><${Logs} run=${run} />`}
  </section>`;
}

/** @type {Record<string, [string, string]>} */
const VERDICTS = { keep: ["good", "would be sent"], drop: ["quiet", "dropped: nothing is sent"], fault: ["bad", "fails: retried later"] };

/** @param {{run: DryRun | null}} props */
function Verdict({ run }) {
  const [tone, text] = run ? VERDICTS[run.verdict] : ["quiet", ""];
  return html`<span role="status">${text && html`<${Tag} tone=${tone}>${text}</${Tag}>`}</span>`;
}

/** @param {{run: DryRun, today: DryRun | null, input: string}} props */
function Outcome({ run, today, input }) {
  const [tab, setTab] = useState("request");
  const tabs = [{ id: "request", label: "As sent" }, { id: "event", label: "Against the event" }];
  if (today) tabs.push({ id: "today", label: "Against today" });
  const shown = tabs.some((it) => it.id === tab) ? tab : "request";
  return html`${run.warnings.map((warning) => html`<${Notice} key=${warning} tone="warn">${warning}</${Notice}>`)}
    <${Tabs} tabs=${tabs} value=${shown} onChange=${setTab} label="How the request is shown" panel="request-panel" />
    <div id="request-panel" role="tabpanel">${shown === "request"
      ? html`<${AsSent} run=${run} />`
      : shown === "event"
        ? html`<${Difference} before=${input} after=${run.request ? bodyOf(run.request) : ""} label="The body against the data of the event" />`
        : html`<${Difference} before=${textOf(today)} after=${textOf(run)} label="The request against what the hook sends today" />`}</div>`;
}

/** @param {{run: DryRun}} props */
function AsSent({ run: { request, verdict } }) {
  if (!request) return html`<p class="muted">${verdict === "drop" ? "The pipeline drops this event. Its delivery ends as dropped." : "There is no request, because a step failed."}</p>`;
  return html`<p class="request-line"><strong>${request.method}</strong> <code>${request.url}</code></p>
    <details class="request-headers"><summary>${Object.keys(request.headers).length} headers</summary><${HeaderList} headers=${request.headers} label="Headers" /></details>
    <${BodyText} body=${request} label="Body of the request" />`;
}

/** @param {{before: string, after: string, label: string}} props */
function Difference({ before, after, label }) {
  if (before === after) return html`<p class="muted">No difference.</p>`;
  return html`<${Diff} before=${before} after=${after} label=${label} />`;
}

/** @param {Request} request */
const bodyOf = (request) => pretty(request.body ?? request.body_base64 ?? "");

/** Headers that differ at each run. */
const VARYING = /(^|-)(signature|timestamp)$/i;

/** @param {DryRun | null} run @returns {string} a request as text, to be compared */
function textOf(run) {
  if (!run) return "";
  if (!run.request) return run.verdict === "drop" ? "(dropped)" : `(failed: ${run.steps.at(-1)?.fault?.message ?? ""})`;
  const { method, url, headers } = run.request;
  const lines = Object.entries(headers).filter(([name]) => !VARYING.test(name)).map(([name, value]) => `${name}: ${value}`);
  return [`${method} ${url}`, ...lines, "", bodyOf(run.request)].join("\n");
}

/** @param {{run: DryRun}} props */
function Logs({ run }) {
  const lines = run.steps.flatMap((step, index) => step.logs.map((line) => ({ ...line, step: index + 1 })));
  return html`<div class="logs"><h3>Log</h3>${lines.length === 0
    ? html`<p class="muted">Nothing was logged. <code>console.log(…)</code> of a script writes here.</p>`
    : html`<div role="log" aria-label="Log of the plugins" tabindex="0"><ol>${lines.map((line, index) => html`<li key=${index} class=${`log ${line.level}`}><span class="muted">step ${line.step} · ${line.level}</span> ${line.message}</li>`)}</ol></div>`}</div>`;
}
