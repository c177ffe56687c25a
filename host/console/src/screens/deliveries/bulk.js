// Retrying or cancelling everything that the filters select, as a job.
import { html, useState } from "../../lib/html.js";
import { api, may } from "../../lib/api.js";
import { nameOfHook } from "../../lib/hooks.js";
import { Button } from "../../ui/basics.js";
import { Dialog } from "../../ui/dialog.js";
import { Field, FormEnd, useSubmit } from "../../ui/forms.js";
import { watchJob } from "../../ui/jobs.js";
import { parametersOf } from "./filters.js";

/** @param {{filters: Record<string, string>}} props */
export function BulkMenu({ filters }) {
  const [kind, setKind] = useState(/** @type {"retry" | "cancel" | null} */ (null));
  if (!may("deliveries:write")) return null;
  const states = filters.state?.split(",") ?? [];
  const canCancel = states.includes("waiting") || states.includes("pending");
  return html`<${Button} small icon="retry" onClick=${() => setKind("retry")}>Retry many</${Button}>
    ${canCancel && html`<${Button} small onClick=${() => setKind("cancel")}>Cancel many</${Button}>`}
    ${kind && html`<${Bulk} kind=${kind} filters=${filters} onClose=${() => setKind(null)} />`}`;
}

/** @param {{kind: "retry" | "cancel", filters: Record<string, string>, onClose: () => void}} props */
function Bulk({ kind, filters, onClose }) {
  const isRetry = kind === "retry";
  const offered = isRetry ? ["exhausted", "cancelled", "dropped", "succeeded", "waiting"] : ["waiting", "pending"];
  const given = (filters.state?.split(",") ?? []).filter((state) => offered.includes(state));
  const [states, setStates] = useState(given.length > 0 ? given : isRetry ? ["exhausted"] : ["waiting", "pending"]);
  const [rate, setRate] = useState("50");
  const form = useSubmit(async () => {
    const { hook, event, type, since, until } = parametersOf(filters);
    const body = { hook, event, type, since, until, states, ...(isRetry && { max_per_second: Number(rate) }) };
    watchJob(await api.post(isRetry ? "/deliveries/retries" : "/deliveries/cancellations", { body }));
    onClose();
  });
  const toggle = (/** @type {string} */ state) => setStates(states.includes(state) ? states.filter((other) => other !== state) : [...states, state]);
  const what = [filters.hook && `of the hook ${nameOfHook(filters.hook)}`, filters.type && `of type ${filters.type}`, filters.event && `of the event ${filters.event}`,
    filters.last ? `of the last ${filters.last}` : filters.since && `since ${filters.since}`].filter(Boolean).join(", ");
  return html`<${Dialog} title=${isRetry ? "Retry many deliveries" : "Cancel many deliveries"} onClose=${onClose}><form onSubmit=${form.submit}><div class="body">
      <p>${isRetry ? "Attempts" : "Cancels"} all deliveries ${what || "of this tenant"} that are in these states. The filters of the list apply.${isRetry ? "" : " What is cancelled is not sent, but can be retried later."}</p>
      <div class="chips" role="group" aria-label="States">${offered.map((state) => html`<button key=${state} type="button" class="chip" aria-pressed=${String(states.includes(state))} onClick=${() => toggle(state)}>${state}</button>`)}</div>
      ${isRetry && html`<${Field} label="At most, in a second" name="max_per_second" type="number" value=${rate} onInput=${setRate} error=${form.at("max_per_second")} hint="Live deliveries of the hook wait behind no more than these." />`}</div>
      <${FormEnd} form=${form} fields=${["max_per_second"]} action=${isRetry ? "Retry" : "Cancel the deliveries"} kind=${isRetry ? "primary" : "danger"} onCancel=${onClose} disabled=${states.length === 0} /></form></${Dialog}>`;
}
