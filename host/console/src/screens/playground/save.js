// Saving to the hook: first what would change for its newest events, then a question.
import { html, useEffect, useState } from "../../lib/html.js";
import { api, isAborted, messageOf } from "../../lib/api.js";
import { plural } from "../../lib/format.js";
import { href } from "../../lib/router.js";
import { Button, Failure, Notice } from "../../ui/basics.js";
import { Dialog } from "../../ui/dialog.js";
import { toBody } from "./pipeline.js";

/**
 * @typedef {object} Difference
 * @property {string} event
 * @property {string} type
 * @property {"keep" | "drop" | "fault"} before
 * @property {"keep" | "drop" | "fault"} after
 * @property {string[] | null} differs
 * @property {{pointer: string, before: string | null, after: string | null}[]} body
 * @property {number | null} step
 * @property {import("../../lib/types.js").Fault | null} fault
 */
/** @typedef {{keep: number, drop: number, fault: number}} Verdicts */
/** @typedef {{events: number, complete: boolean, same: number, differ: number, before: Verdicts, after: Verdicts, differences: Difference[]}} Comparison */
/** @typedef {{id: string, name: string, updatedAt: string}} EditedHook */

/**
 * @param {{hook: EditedHook, steps: import("./pipeline.js").EditedStep[], mayCompare: boolean, onSaved: () => void, onClose: () => void}} props
 */
export function SaveDialog({ hook, steps, mayCompare, onSaved, onClose }) {
  const [comparison, setComparison] = useState(/** @type {Comparison | null} */ (null));
  const [error, setError] = useState(/** @type {unknown} */ (null));
  const [refused, setRefused] = useState(/** @type {unknown} */ (null));
  const [isNewer, setIsNewer] = useState(false);
  useEffect(() => {
    // Closing the dialog aborts the request, which stops the comparison.
    const aborter = new AbortController();
    if (mayCompare) {
      api.post(`/hooks/${hook.id}/compare`, { body: { pipeline: toBody(steps) }, signal: aborter.signal }).then(setComparison, (failure) => {
        if (!isAborted(failure)) setError(failure);
      });
    }
    api.get(`/hooks/${hook.id}`, { signal: aborter.signal }).then((now) => setIsNewer(now.updated_at !== hook.updatedAt), () => {});
    return () => aborter.abort();
  }, []);
  const save = async () => {
    setRefused(null);
    try {
      await api.patch(`/hooks/${hook.id}`, { body: { pipeline: toBody(steps) } });
      onSaved();
    } catch (failure) {
      setRefused(failure);
    }
  };
  const isPending = mayCompare && !comparison && !error;
  return html`<${Dialog} title="Save to the hook" onClose=${onClose} wide>
    <div class="body"><p>New deliveries to <strong>${hook.name}</strong> will run this pipeline, and so will retries.</p>
      ${isNewer && html`<${Notice} tone="warn" title="The hook was changed meanwhile">Somebody changed it at another place since you opened it. Saving replaces its pipeline; the rest stays.</${Notice}>`}
      <div role="status" class="section">${isPending && html`<p>Running both pipelines for the newest 50 events …</p><progress aria-label="Comparison"></progress>`}
        ${comparison && html`<${Compared} comparison=${comparison} />`}</div>
      ${error && html`<${Failure} error=${error} />`}
      ${refused && html`<p class="error" role="alert">${messageOf(refused)}</p>`}</div>
    <footer><${Button} onClick=${onClose}>${isPending ? "Stop" : "Cancel"}</${Button}>
      <${Button} kind="primary" disabled=${isPending} onClick=${save}>Save</${Button}></footer></${Dialog}>`;
}

/** @param {Comparison} comparison */
export function inWords({ events, same, differ }) {
  if (events === 0) return "The hook has no events yet, so there is nothing to compare.";
  return differ === 0 ? `All ${events} the same` : `${same} the same, ${differ} ${differ === 1 ? "differs" : "differ"}`;
}

/** @param {{comparison: Comparison}} props */
function Compared({ comparison }) {
  const { events, complete, after, before, differences, differ } = comparison;
  const worse = after.fault - before.fault;
  return html`<h3>${inWords(comparison)}</h3>
    ${events > 0 && html`<p class="muted">Of the newest ${plural(events, "event")}: ${after.keep} would be sent, ${after.drop} dropped, ${after.fault} fail. Today: ${before.keep}, ${before.drop}, ${before.fault}.${complete ? "" : " There was no time for more."}</p>`}
    ${worse > 0 && html`<${Notice} tone="bad" title=${`${plural(worse, "more event")} would fail`}>The first of them are below.</${Notice}>`}
    ${differences.length > 0 && html`<div class="scroll" tabindex="0" role="region" aria-label="Differences"><table class="table differences"><thead><tr><th scope="col">Event</th><th scope="col">What changes</th></tr></thead>
      <tbody>${differences.map((it) => html`<tr key=${it.event}><td><a href=${href(["events", it.event])} target="_blank">${it.type}</a></td><td><${Change} difference=${it} /></td></tr>`)}</tbody></table></div>`}
    ${differ > differences.length && html`<p class="muted">And ${differ - differences.length} more.</p>`}`;
}

/** @type {Record<string, string>} */
const WORDS = { keep: "sent", drop: "dropped", fault: "failed" };

/** @param {{difference: Difference}} props */
function Change({ difference: { before, after, differs, body, step, fault } }) {
  if (before !== after || differs === null) {
    return html`<strong>${WORDS[before]} → ${WORDS[after]}</strong>${fault && html`<p class="muted">Step ${(step ?? 0) + 1}: ${fault.message}</p>`}`;
  }
  const others = differs.filter((part) => part !== "body" || body.length === 0);
  return html`${others.length > 0 && html`<p>${others.join(", ")}</p>`}
    ${body.map((it) => html`<p key=${it.pointer}><code>${it.pointer || "/"}</code> <del>${it.before ?? "nothing"}</del> → <ins>${it.after ?? "nothing"}</ins></p>`)}`;
}
