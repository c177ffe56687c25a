// One attempt: how it ended and why, what was sent, what came back, and what each plugin did.
import { html, useId, useState } from "../../lib/html.js";
import { api, ApiError, may } from "../../lib/api.js";
import { curl } from "../../lib/curl.js";
import { at, bytes, compact, duration } from "../../lib/format.js";
import { slice } from "../../lib/json.js";
import { href } from "../../lib/router.js";
import { outcomeOf, toneOf, whyOfAttempt } from "../../lib/why.js";
import { Button, Copy, Failure, Loading, Meter, Notice, Tag, Time, useLoad } from "../../ui/basics.js";
import { Icon } from "../../ui/icons.js";
import { BodyText, HeaderList } from "../../ui/text.js";
import { toast } from "../../ui/toast.js";
import { Words } from "../../ui/words.js";

/** @typedef {import("../../lib/types.js").Attempt} Attempt */
/** @typedef {import("../../lib/types.js").Delivery} Delivery */
/** @typedef {import("../../lib/types.js").Hook} Hook */
/** @typedef {{delivery: Delivery, attempt: Attempt, hook: Hook | undefined}} Props */

/** @param {Props & {isOpen: boolean}} props */
export function AttemptItem({ delivery, attempt, hook, isOpen: isOpenAtFirst }) {
  const [isOpen, setOpen] = useState(isOpenAtFirst);
  const id = useId();
  return html`<li class=${toneOf(attempt)}><span class="dot"></span><div class="attempt">
    <button type="button" aria-expanded=${String(isOpen)} aria-controls=${id} onClick=${() => setOpen(!isOpen)}><${Icon} name="next" />
      <span class="truncate">Attempt ${attempt.number} · <span class="outcome">${outcomeOf(attempt)}</span></span>
      <span class="muted hide-narrow">${duration(attempt.duration_ms)}</span><span class="muted"><${Time} value=${attempt.started_at} /></span></button>
    <div id=${id} class="attempt-body" hidden=${!isOpen}>${isOpen && html`<${AttemptBody} delivery=${delivery} attempt=${attempt} hook=${hook} />`}</div>
  </div></li>`;
}

/** @param {Props} props */
function AttemptBody({ delivery, attempt, hook }) {
  return html`<p><${Words} text=${whyOfAttempt(attempt)} /> <span class="muted">${at(attempt.started_at)}, ${duration(attempt.duration_ms)}.</span></p>
    ${attempt.truncated && html`<${Notice} tone="quiet">Long texts of this record were shortened.</${Notice}>`}
    ${attempt.steps.length > 0 && html`<${Steps} steps=${attempt.steps} stopped=${attempt.step} />`}
    ${attempt.request && html`<${Sent} delivery=${delivery} attempt=${attempt} hook=${hook} />`}
    ${attempt.response && html`<${Received} response=${attempt.response} error=${attempt.error} />`}`;
}

/** @param {Props} props */
function Sent({ delivery, attempt, hook }) {
  const request = /** @type {import("../../lib/types.js").SentRequest} */ (attempt.request);
  const [isBody, setBody] = useState(false);
  const copy = async () => {
    const { body } = await bodyOf(delivery, attempt, hook);
    await navigator.clipboard.writeText(curl(request, body?.body ?? null));
    toast(body?.body == null ? "Copied, without the body, which was not stored." : "Copied as a curl command.");
  };
  return html`<section class="exchange" aria-label="Request"><header><h3>Request</h3><code title=${request.url}>${request.method} ${request.url}</code><${Button} kind="quiet" small icon="copy" onClick=${copy}>curl</${Button}></header>
    <div class="part"><${HeaderList} headers=${request.headers} label="Request headers" /></div>
    <div class="part"><details onToggle=${(/** @type {any} */ event) => setBody(event.target.open)}><summary>Body, ${bytes(request.body_bytes)}${request.batch ? `, event ${request.batch.position} of ${request.batch.events}` : ""}</summary>
      ${isBody && html`<${SentBody} delivery=${delivery} attempt=${attempt} hook=${hook} />`}</details></div></section>`;
}

/**
 * The body that an attempt sent, as far as it is known.
 * @param {Delivery} delivery @param {Attempt} attempt @param {Hook | undefined} hook @param {AbortSignal} [signal]
 * @returns {Promise<{body: import("../../lib/types.js").Body | null, from: "kept" | "event" | "none", cut?: boolean}>}
 */
export async function bodyOf(delivery, attempt, hook, signal) {
  if (attempt.request?.body_kept_until && may("events:read")) {
    try {
      const body = await api.get(`/deliveries/${delivery.id}/attempts/${attempt.id}/body`, { signal });
      return { body, from: "kept", cut: body.body_truncated };
    } catch (error) {
      if (!(error instanceof ApiError && error.status === 404)) throw error;
    }
  }
  const isEventData = hook && attempt.steps.length === 0 && hook.pipeline.length === 0 && !attempt.request?.batch && may("events:read");
  if (isEventData) {
    const data = slice(await api.text(`/events/${delivery.event}`, { signal }), ["data"]);
    const isWhole = data !== null && new TextEncoder().encode(data).length === attempt.request?.body_bytes;
    if (isWhole) return { body: { body: data }, from: "event" };
  }
  return { body: null, from: "none" };
}

/** @param {Props} props */
function SentBody({ delivery, attempt, hook }) {
  const { value, error } = useLoad((signal) => bodyOf(delivery, attempt, hook, signal), [attempt.id]);
  if (error) return html`<${Failure} error=${error} />`;
  if (!value) return html`<${Loading} />`;
  if (!value.body) {
    return html`<p class="muted">The body was not stored. To keep those of later attempts, set <a href=${href(["hooks", delivery.hook, "edit"])}>“keep bodies”</a> of the hook. “Compare with today’s pipeline” shows what would be sent now.</p>`;
  }
  return html`${value.from === "event" && html`<p class="muted">The hook has no pipeline: the body is the event’s data.</p>`}<${BodyText} body=${value.body} label="Request body" cut=${value.cut} />`;
}

/** @param {{response: import("../../lib/types.js").ReceivedResponse, error: Attempt["error"]}} props */
function Received({ response, error }) {
  const isGood = response.status >= 200 && response.status < 300;
  return html`<section class="exchange" aria-label="Response"><header><h3>Response</h3><code><${Tag} tone=${isGood ? "good" : "bad"}>${response.status}</${Tag}></code></header>
    <div class="part"><${HeaderList} headers=${response.headers} label="Response headers" /></div>
    <div class="part"><${BodyText} body=${response} label="Response body" cut=${response.body_truncated} />${error && html`<p class="error">${error.message}</p>`}</div></section>`;
}

/** @param {{steps: import("../../lib/types.js").Step[], stopped?: number | null}} props `stopped` is the step that dropped the event or failed */
export function Steps({ steps, stopped = null }) {
  return html`<ol class="steps" aria-label="Steps">${steps.map((step, index) => html`<${StepItem} key=${index} step=${step} number=${index + 1} isStopped=${index === stopped} />`)}</ol>`;
}

/** @param {{step: import("../../lib/types.js").Step, number: number, isStopped: boolean}} props */
function StepItem({ step, number, isStopped }) {
  const granted = step.fuel_granted ?? 0;
  return html`<li class="step"><div class="step-head"><span class="muted">${number}</span><strong>${step.plugin}</strong>
      ${step.version != null && html`<span class="muted">version ${step.version}</span>`}${step.roles.map((role) => html`<${Tag} key=${role}>${role}</${Tag}>`)}
      ${step.fault ? html`<${Tag} tone="bad">${step.fault.kind}</${Tag}>` : isStopped && html`<${Tag} tone="warn">dropped the event</${Tag}>`}
      ${step.digest && html`<span class="grow"></span><span class="muted" title=${step.digest}><code>${step.digest.slice(0, 15)}…</code> <${Copy} text=${step.digest} label="Copy the digest" /></span>`}</div>
    <div class="step-meters"><div><span class="label">Fuel</span><${Meter} share=${granted ? step.fuel / granted : 0} label=${`Fuel of step ${number}`} text=${granted ? `${compact(step.fuel)} of ${compact(granted)}` : compact(step.fuel)} /></div>
      <div><span class="label">Memory</span><div>${bytes(step.memory_bytes)}</div></div><div><span class="label">Time</span><div>${duration(step.duration_us / 1000)}</div></div></div>
    ${step.logs.length > 0 && html`<ul class="logs" aria-label=${`Log of step ${number}`}>${step.logs.map((line, index) => html`<li key=${index}><span class=${`level ${line.level}`}>${line.level}</span><span>${line.message}</span></li>`)}</ul>`}
    ${step.fault && html`<p class="error">${step.fault.code ? `${step.fault.code}: ` : ""}${step.fault.message}</p>`}
    ${step.fault && step.fault.backtrace.length > 0 && html`<details class="more"><summary>Call stack</summary><pre>${step.fault.backtrace.join("\n")}</pre></details>`}</li>`;
}
