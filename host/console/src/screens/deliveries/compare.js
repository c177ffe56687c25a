// What today's pipeline, or another version of it, would make of the event, beside what was sent.
import { html, useMemo, useState } from "../../lib/html.js";
import { api, may } from "../../lib/api.js";
import { hooks } from "../../lib/hooks.js";
import { pretty, Raw, slice } from "../../lib/json.js";
import { href } from "../../lib/router.js";
import { Button, Failure, Loading, Notice, useLoad } from "../../ui/basics.js";
import { Dialog } from "../../ui/dialog.js";
import { Field } from "../../ui/forms.js";
import { BodyText, Diff } from "../../ui/text.js";
import { toast } from "../../ui/toast.js";
import { bodyOf, Steps } from "./attempt.js";

/** @typedef {import("../../lib/types.js").FullDelivery} FullDelivery */
/** @typedef {import("../../lib/types.js").DryRun} DryRun */

/** Headers that differ with every attempt. */
const ALWAYS_DIFFERENT = ["webhook-timestamp", "webhook-signature", "content-length", "traceparent"];

/** @param {{delivery: FullDelivery, onClose: () => void}} props */
export function Compare({ delivery, onClose }) {
  const [choice, setChoice] = useState("today");
  const hook = hooks.value?.get(delivery.hook);
  const versions = useLoad((signal) => otherVersions(delivery.hook, signal), [delivery.hook]);
  const run = useLoad((signal) => runs(delivery, choice, signal), [choice]);
  const attempt = delivery.attempts.findLast((one) => one.request !== null);
  const body = useLoad((signal) => (attempt ? bodyOf(delivery, attempt, hook, signal) : Promise.resolve(null)), [attempt?.id]);
  /** @type {[string, string][]} */
  const options = [["today", "The hook’s pipeline as it is now"], ["none", "No pipeline: the event’s data"], ...(versions.value ?? []).map((version) => /** @type {[string, string]} */ ([version, `With ${version.slice(version.indexOf(" ") + 1)}`]))];
  const send = async () => {
    await api.post(`/events/${delivery.event}/deliveries`, { body: { hook: delivery.hook } });
    toast("A new delivery is on its way, with the trigger replay.", "good", { href: href(["deliveries"], { event: delivery.event }), label: "Show it" });
    onClose();
  };
  return html`<${Dialog} title="Compare with today’s pipeline" onClose=${onClose} wide><div class="body">
      <${Field} label="Run" name="pipeline" value=${choice} onInput=${setChoice} options=${options} />
      ${run.error && html`<${Failure} error=${run.error} />`}
      ${!run.value && !run.error && html`<${Loading} />`}
      ${run.value && html`<${Difference} run=${run.value} attempt=${attempt} body=${body.value?.body ?? null} />`}
      <p class="muted">Nothing was sent for this. “Send again” makes a new delivery, for which the hook’s pipeline runs as it is now.</p>
    </div><footer><${Button} onClick=${onClose}>Close</${Button}><a class="button" href=${href(["playground"], { hook: delivery.hook, event: delivery.event, delivery: delivery.id })}>Open in the playground</a>
      ${may("deliveries:write") && html`<${Button} kind="primary" onClick=${send} disabled=${choice !== "today"}>Send again</${Button}>`}</footer></${Dialog}>`;
}

/** @param {string} id @param {AbortSignal} signal @returns {Promise<string[]>} `0 name@2`: the step, and what runs there instead */
async function otherVersions(id, signal) {
  if (!may("plugins:read") || !may("hooks:write") || !may("deliveries:write")) return [];
  const { pipeline } = await api.get(`/hooks/${id}`, { signal });
  const found = await Promise.all(pipeline.slice(0, 16).map(async (/** @type {{plugin: string}} */ step, /** @type {number} */ index) => {
    const name = step.plugin.split("@")[0];
    if (name.includes(":")) return [];
    const { data } = await api.get(`/plugins/${name}/versions`, { query: { limit: 50 }, signal }).catch(() => ({ data: [] }));
    const others = data.filter((/** @type {any} */ version) => !version.standard && `${name}@${version.version}` !== step.plugin);
    return others.map((/** @type {any} */ version) => `${index} ${name}@${version.version}`);
  }));
  return found.flat();
}

/** @param {FullDelivery} delivery @param {string} choice @param {AbortSignal} signal @returns {Promise<DryRun>} */
async function runs(delivery, choice, signal) {
  if (choice === "today") return api.post(`/hooks/${delivery.hook}/preview`, { body: { event: delivery.event }, signal });
  const [event, hook] = await Promise.all([api.get(`/events/${delivery.event}`, { signal }), api.text(`/hooks/${delivery.hook}`, { signal })]);
  const steps = JSON.parse(hook).pipeline.map((/** @type {{plugin: string}} */ step, /** @type {number} */ index) => {
    const [at, plugin] = choice.split(" ");
    return { plugin: Number(at) === index ? plugin : step.plugin, settings: new Raw(slice(hook, ["pipeline", index, "settings"]) ?? "{}") };
  });
  const until = new Date(new Date(event.accepted_at).getTime() + 1).toISOString();
  const body = { since: event.accepted_at, until, pipeline: choice === "none" ? [] : steps, dry_run: true };
  const { first } = await api.post(`/hooks/${delivery.hook}/replays`, { body, signal });
  const sample = first.find((/** @type {any} */ one) => one.event === delivery.event);
  if (!sample) throw new Error("The hook does not subscribe to this event as it is now, so only its own pipeline can run.");
  return sample.now;
}

/** @param {{run: DryRun, attempt: import("../../lib/types.js").Attempt | undefined, body: import("../../lib/types.js").Body | null}} props */
function Difference({ run, attempt, body }) {
  const sent = attempt?.request;
  const before = useMemo(() => (sent ? headOf(sent) : ""), [sent]);
  if (!run.request) {
    return html`<${Notice} tone=${run.verdict === "fault" ? "bad" : "warn"} title=${run.verdict === "fault" ? "A plugin would fail" : "Nothing would be sent"}>The pipeline ${run.verdict === "fault" ? "fails for this event, so the attempt would be retried." : "drops this event."}</${Notice}><${Steps} steps=${run.steps} stopped=${run.steps.length - 1} />`;
  }
  const after = headOf(run.request);
  const bodies = body?.body != null && run.request.body != null ? [pretty(body.body), pretty(run.request.body)] : null;
  const isSame = before === after && bodies !== null && bodies[0] === bodies[1];
  return html`${run.warnings.map((warning) => html`<${Notice} key=${warning} tone="warn">${warning}</${Notice}>`)}
    ${isSame && html`<${Notice} tone="good" title="The same request">Only the timestamp and the signature would differ.</${Notice}>`}
    ${!sent && html`<${Notice} tone="quiet">No request was sent so far, so there is nothing to compare with.</${Notice}>`}
    <section class="section"><h3>Request line and headers</h3><${Diff} before=${sent ? before : after} after=${after} label="Difference of the headers" /></section>
    <section class="section"><h3>Body</h3>${bodies ? html`<${Diff} before=${bodies[0]} after=${bodies[1]} label="Difference of the bodies" />`
      : html`${sent && html`<p class="muted">The body that was sent is not stored; it had ${sent.body_bytes} bytes. This one would be sent:</p>`}<${BodyText} body=${run.request} label="Body that would be sent" />`}</section>
    ${run.steps.length > 0 && html`<details class="group"><summary>Steps</summary><div class="body"><${Steps} steps=${run.steps} /></div></details>`}`;
}

/** @param {{method: string, url: string, headers: Record<string, string>}} request what is comparable of it, as text */
function headOf({ method, url, headers }) {
  const names = Object.keys(headers).filter((name) => !ALWAYS_DIFFERENT.includes(name.toLowerCase())).sort();
  return [`${method} ${url}`, ...names.map((name) => `${name.toLowerCase()}: ${headers[name]}`)].join("\n");
}
