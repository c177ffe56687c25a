// The form of a hook. What the API refuses is shown at its field.
import { html, useState } from "../../lib/html.js";
import { api, may } from "../../lib/api.js";
import { isJson, pretty } from "../../lib/json.js";
import { Button, useLoad } from "../../ui/basics.js";
import { Check, Field, FormEnd, useSubmit } from "../../ui/forms.js";
import { scriptOf, withScript } from "./values.js";

/** @typedef {import("./values.js").Values} Values */

/** Where the form shows errors itself, as pointers into the body. */
const PLACES = ["url", "types", "description", "project", "headers", "masked_headers", "pipeline", "timeout_ms", "retry", "signing", "max_in_flight", "max_per_second",
  "ordering", "ordering_skip_after", "retain_bodies_s", "batch", "signature_headers", "client_certificate", "ca_certificates", "oauth2", "handshake", "handshake_rate"];

/** @param {{values: Values, action: string, save: (values: Values) => Promise<void>, onCancel: () => void}} props */
export function HookForm({ values: initial, action, save, onCancel }) {
  const [values, setValues] = useState(initial);
  const form = useSubmit(() => save(values));
  /** @param {keyof Values} name */
  const set = (name) => (/** @type {any} */ value) => setValues((before) => ({ ...before, [name]: value }));
  /** @param {keyof Values} name @param {...string} places */
  const bind = (name, ...places) => ({ name, value: values[name], onInput: set(name), error: form.at(.../** @type {string[]} */ (places.length > 0 ? places : [name])) });
  return html`<form class="hook-form" onSubmit=${form.submit} novalidate>
    <${Field} label="URL" ...${bind("url")} required mono placeholder="https://shop.example/webhooks" autofocus />
    <div class="columns"><${Field} label="Event types" ...${bind("types")} required mono placeholder="order.*, customer.created" hint=${html`Exact, with a prefix (<code>order.*</code>), or <code>*</code>; separated by commas.`} />
      <${Field} label="Description" ...${bind("description")} placeholder="What it is for" /></div>
    <${Steps} steps=${values.pipeline} onChange=${set("pipeline")} form=${form} />
    <details class="group"><summary>Delivery</summary><div class="body">
      <div class="columns"><${Field} label="Time limit, in seconds" ...${bind("timeout_s", "timeout_ms")} hint="For one attempt in all, 0.1 to 60." />
        <${Field} label="Retries after" ...${bind("schedule", "retry")} mono hint="One wait for each retry, such as 5s, 5m, 2h, 1d. Empty: no retries." />
        <${Field} label="Requests at a time, at most" ...${bind("max_in_flight")} type="number" hint="Empty: the engine’s limit." />
        <${Field} label="Requests in a second, at most" ...${bind("max_per_second")} type="number" hint="0.01 to 10,000. What is over it waits." />
        <${Field} label="Order" ...${bind("ordering")} options=${[["none", "None: as quick as possible"], ["key", "Of events with the same ordering key"], ["hook", "Of all events of the hook"]]} />
        ${values.ordering !== "none" && html`<${Field} label="Others go on after so many failures" ...${bind("ordering_skip_after")} type="number" hint="Empty: they wait." />`}
        <${Field} label="Keep bodies of requests for" ...${bind("retain_bodies", "retain_bodies_s")} placeholder="7d" hint="Up to 30d. Empty: not at all. Stored unencrypted." />
        <${Field} label="Project" ...${bind("project")} type="number" hint="Only events of this project." /></div>
      <${Check} label="Enabled" name="enabled" checked=${values.enabled} onChange=${set("enabled")} hint="A disabled hook gets no deliveries of new events." />
      <${Check} label="Paused" name="paused" checked=${values.paused} onChange=${set("paused")} hint="Events are accepted and matched; deliveries wait." />
      <${Check} label="Several events in one request" name="batch" checked=${values.is_batch} onChange=${set("is_batch")} error=${form.at("batch")} />
      ${values.is_batch && html`<div class="columns"><${Field} label="Events, at most" ...${bind("batch_max_events", "batch/max_events")} type="number" /><${Field} label="Wait for others, in ms" ...${bind("batch_max_wait_ms", "batch/max_wait_ms")} type="number" /><${Field} label="Format" ...${bind("batch_format", "batch/format")} options=${["json", "cloudevents"]} /></div>`}
    </div></details>
    <details class="group"><summary>Request and signature</summary><div class="body">
      <${Headers} headers=${values.headers} onChange=${set("headers")} error=${form.at("headers")} />
      <div class="columns"><${Field} label="Mask these headers as well" ...${bind("masked_headers")} mono hint="Names whose values attempts do not show." />
        <${Field} label="Signature" ...${bind("signing")} options=${[["standard", "A shared secret (v1)"], ["ed25519", "A key pair (v1a)"], ["both", "Both"], ["none", "None"]]} /></div>
      <${Field} label="Certificates, tokens, handshake (JSON)" ...${bind("receiver", "signature_headers", "client_certificate", "ca_certificates", "oauth2", "handshake", "handshake_rate")} rows=${4} placeholder=${'{"oauth2": {"token_url": "https://…", "client_id": "…", "client_secret": "…"}}'} hint="The members signature_headers, client_certificate, ca_certificates, oauth2, handshake, as in the API. Secrets are not shown, and stay if they are left out." />
    </div></details>
    <${FormEnd} form=${form} fields=${PLACES} action=${action} onCancel=${onCancel} disabled=${!may("hooks:write")} /></form>`;
}

/** @param {{steps: Values["pipeline"], onChange: (steps: Values["pipeline"]) => void, form: ReturnType<typeof useSubmit>}} props */
function Steps({ steps, onChange, form }) {
  const { value } = useLoad((signal) => (may("plugins:read") ? api.get("/plugins", { query: { limit: 250 }, signal }) : Promise.resolve({ data: [] })), []);
  const names = (value?.data ?? []).map((/** @type {any} */ plugin) => plugin.name);
  const change = (/** @type {number} */ index, /** @type {Partial<Values["pipeline"][number]>} */ part) => onChange(steps.map((step, other) => (other === index ? { ...step, ...part } : step)));
  const move = (/** @type {number} */ index, /** @type {number} */ by) => {
    const next = [...steps];
    [next[index], next[index + by]] = [next[index + by], next[index]];
    onChange(next);
  };
  return html`<fieldset class="section"><legend>Pipeline</legend><p class="hint">Plugins that filter and shape the request, in order. Without any, the body is the event’s data. The playground is a better place to write one.</p>
    ${steps.map((step, index) => html`<div key=${index} class="step"><div class="step-head"><span class="muted">${index + 1}</span><span class="grow"><label class="sr" for=${`plugin-${index}`}>Plugin of step ${index + 1}</label>
        <input id=${`plugin-${index}`} class="mono" list="plugin-names" value=${step.plugin} placeholder="name, name@3 or sha256:…" aria-invalid=${form.at(`pipeline/${index}/plugin`) ? "true" : undefined} onInput=${(/** @type {any} */ event) => change(index, { plugin: event.target.value })} /></span>
        <${Button} kind="quiet" small icon="up" label=${`Move step ${index + 1} up`} disabled=${index === 0} onClick=${() => move(index, -1)} /><${Button} kind="quiet" small icon="down" label=${`Move step ${index + 1} down`} disabled=${index === steps.length - 1} onClick=${() => move(index, 1)} />
        <${Button} kind="quiet" small icon="trash" label=${`Remove step ${index + 1}`} onClick=${() => onChange(steps.filter((_, other) => other !== index))} /></div>
      ${form.at(`pipeline/${index}/plugin`) && html`<p class="error">${form.at(`pipeline/${index}/plugin`)}</p>`}
      <${Settings} step=${step} index=${index} error=${form.at(`pipeline/${index}/settings`)} onInput=${(/** @type {string} */ settings) => change(index, { settings })} /></div>`)}
    ${form.at("pipeline") && !steps.some((_, index) => form.at(`pipeline/${index}`)) && html`<p class="error">${form.at("pipeline")}</p>`}
    <datalist id="plugin-names">${names.map((/** @type {string} */ name) => html`<option key=${name} value=${name} />`)}</datalist>
    <div class="actions"><${Button} small icon="plus" onClick=${() => onChange([...steps, { plugin: names.includes("event-filter") ? "event-filter" : "", settings: "{}" }])}>Add a step</${Button}>
      ${steps.length > 0 && html`<${Button} small onClick=${() => onChange(steps.map((step) => ({ ...step, settings: pretty(step.settings) })))}>Format the settings</${Button}>`}</div></fieldset>`;
}

/** A script is written as text, other settings as JSON. @param {{step: Values["pipeline"][number], index: number, error: string | null, onInput: (settings: string) => void}} props */
function Settings({ step, index, error, onInput }) {
  const script = scriptOf(step.settings);
  const rows = (/** @type {string} */ text) => Math.min(16, Math.max(3, text.split("\n").length + 1));
  if (script !== null && Object.keys(JSON.parse(step.settings)).length === 1) {
    return html`<${Field} label="Script" name=${`settings-${index}`} rows=${rows(script)} value=${script} onInput=${(/** @type {string} */ text) => onInput(withScript(step.settings, text))} error=${error} />`;
  }
  const wrong = isJson(step.settings || "{}") ? null : "Not valid JSON yet.";
  return html`<${Field} label="Settings (JSON)" name=${`settings-${index}`} rows=${rows(step.settings)} value=${step.settings} onInput=${onInput} error=${error ?? wrong} />`;
}

/** @param {{headers: Values["headers"], onChange: (headers: Values["headers"]) => void, error: string | null}} props */
function Headers({ headers, onChange, error }) {
  const change = (/** @type {number} */ index, /** @type {Partial<Values["headers"][number]>} */ part) => onChange(headers.map((header, other) => (other === index ? { ...header, ...part } : header)));
  return html`<fieldset class="section"><legend>Headers added to each request</legend>
    ${headers.map((header, index) => html`<div key=${index} class="pair"><input class="mono" aria-label=${`Name of header ${index + 1}`} placeholder="authorization" value=${header.name} onInput=${(/** @type {any} */ event) => change(index, { name: event.target.value })} />
      <input class="mono" aria-label=${`Value of header ${index + 1}`} value=${header.value} onInput=${(/** @type {any} */ event) => change(index, { value: event.target.value })} />
      <${Button} kind="quiet" small icon="trash" label=${`Remove header ${index + 1}`} onClick=${() => onChange(headers.filter((_, other) => other !== index))} /></div>`)}
    ${error && html`<p class="error">${error}</p>`}
    <div class="actions"><${Button} small icon="plus" onClick=${() => onChange([...headers, { name: "", value: "" }])}>Add a header</${Button}></div></fieldset>`;
}
