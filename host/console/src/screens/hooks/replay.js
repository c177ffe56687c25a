// Sending stored events to a hook again, as a job; before it, a dry run that shows what would differ.
import { html, useState } from "../../lib/html.js";
import { api, may } from "../../lib/api.js";
import { count } from "../../lib/format.js";
import { href } from "../../lib/router.js";
import { Button, Tag } from "../../ui/basics.js";
import { Dialog } from "../../ui/dialog.js";
import { Check, Field, FormEnd, useSubmit } from "../../ui/forms.js";
import { watchJob } from "../../ui/jobs.js";
import { localTime, toIso } from "./times.js";

const STATES = ["exhausted", "cancelled", "dropped", "succeeded"];

/** @param {{hook: import("../../lib/types.js").Hook, onClose: () => void}} props */
export function ReplayDialog({ hook, onClose }) {
  const [since, setSince] = useState(localTime(new Date(Date.now() - 3_600_000)));
  const [until, setUntil] = useState("");
  const [types, setTypes] = useState("");
  const [states, setStates] = useState(/** @type {string[]} */ (["exhausted"]));
  const [isMissed, setMissed] = useState(false);
  const [rate, setRate] = useState("50");
  const [dryRun, setDryRun] = useState(/** @type {any} */ (null));
  const wanted = () => ({
    since: toIso(since), until: toIso(until), types: types.trim() === "" ? undefined : types.split(/[\s,]+/).filter(Boolean),
    states: states.length > 0 ? states : undefined, missed: isMissed || undefined, max_per_second: Number(rate),
  });
  const form = useSubmit(async () => {
    watchJob(await api.post(`/hooks/${hook.id}/replays`, { body: wanted() }));
    onClose();
  });
  const look = async () => {
    form.clear();
    try {
      setDryRun(await api.post(`/hooks/${hook.id}/replays`, { body: { ...wanted(), dry_run: true } }));
    } catch (error) {
      form.fail(/** @type {Error} */ (error));
    }
  };
  const toggle = (/** @type {string} */ state) => {
    setStates(states.includes(state) ? states.filter((other) => other !== state) : [...states, state]);
    setDryRun(null);
  };
  return html`<${Dialog} title="Replay stored events" onClose=${onClose} wide><form onSubmit=${form.submit}><div class="body">
      <p class="muted">Sends events to this hook again, through its pipeline as it is now, oldest first, with the same webhook-id. A job does it in the background; you can stop it.</p>
      <div class="columns"><${Field} label="Accepted since" name="since" type="datetime-local" value=${since} onInput=${setSince} error=${form.at("since")} required />
        <${Field} label="Until" name="until" type="datetime-local" value=${until} onInput=${setUntil} error=${form.at("until")} hint="Empty: now" />
        <${Field} label="Types" name="types" mono value=${types} onInput=${setTypes} error=${form.at("types")} placeholder=${hook.types.join(", ")} hint="Empty: all of the hook" />
        <${Field} label="At most, in a second" name="max_per_second" type="number" value=${rate} onInput=${setRate} error=${form.at("max_per_second")} /></div>
      <div class="field"><span class="label" id="replay-states">Whose newest delivery is</span><div class="chips" role="group" aria-labelledby="replay-states">${STATES.map((state) => html`<button key=${state} type="button" class="chip" aria-pressed=${String(states.includes(state))} onClick=${() => toggle(state)}>${state}</button>`)}</div><p class="hint">None chosen: whatever became of it.</p></div>
      <${Check} label="Events without a delivery for this hook" name="missed" checked=${isMissed} onChange=${setMissed} />
      ${dryRun && html`<${Samples} dryRun=${dryRun} hook=${hook} />`}</div>
    <${FormEnd} form=${form} fields=${["since", "until", "types", "max_per_second"]} action="Start the replay" onCancel=${onClose}>${may("hooks:read") && html`<${Button} onClick=${look}>Look first</${Button}>`}</${FormEnd}></form></${Dialog}>`;
}

/** @param {{dryRun: any, hook: import("../../lib/types.js").Hook}} props */
function Samples({ dryRun, hook }) {
  return html`<section class="section" aria-live="polite"><h3>${count(dryRun.events)}${dryRun.at_least ? " or more" : ""} events would be sent</h3>
    ${dryRun.first.length > 0 && html`<table class="grid-table" aria-label="The first of them"><thead><tr><th scope="col">Event</th><th scope="col">Was</th><th scope="col">Now</th></tr></thead><tbody>${dryRun.first.map((/** @type {any} */ sample) => html`<tr key=${sample.event}><td><a href=${href(["events", sample.event])}>${sample.type}</a></td><td>${sample.former_state ?? "not sent"}</td><td>${verdictOf(sample)}</td></tr>`)}</tbody></table>`}
    ${dryRun.events === 0 && html`<p class="muted">Choose an earlier time or other states.${hook.enabled ? "" : " The hook is disabled."}</p>`}</section>`;
}

/** @param {any} sample */
function verdictOf({ now, differs }) {
  if (now.verdict === "fault") return html`<${Tag} tone="bad">a plugin fails</${Tag}>`;
  if (now.verdict === "drop") return html`<${Tag} tone="warn">dropped</${Tag}>`;
  if (!differs) return html`<${Tag}>sent</${Tag}>`;
  return differs.length === 0 ? html`<${Tag} tone="good">the same</${Tag}>` : html`<${Tag} tone="busy">differs: ${differs.join(", ")}</${Tag}>`;
}
