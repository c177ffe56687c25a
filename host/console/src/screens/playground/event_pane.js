// The first pane: which event goes into the pipeline.
import { html, useEffect, useState } from "../../lib/html.js";
import { api, may } from "../../lib/api.js";
import { at } from "../../lib/format.js";
import { href } from "../../lib/router.js";
import { whyOfDelivery } from "../../lib/why.js";
import { Button, Facts, Failure, Notice } from "../../ui/basics.js";
import { Editor } from "../../ui/editor.js";
import { Field } from "../../ui/forms.js";
import { Code } from "../../ui/text.js";
import { Words } from "../../ui/words.js";
import { errorOfSample, newestOf } from "./source.js";

/** @typedef {import("../../lib/types.js").Delivery} Delivery */
/** @typedef {import("./source.js").Stored} Stored */
/** @typedef {import("./source.js").Sample} Sample */

/** Longer answers of receivers are cut. */
const MAX_ANSWER = 300;

/**
 * @param {{hook: string | null, stored: Stored | null, error: unknown, sample: Sample, delivery: string | null, onChoose: (event: string | null, delivery: string | null) => void, onSample: (sample: Sample) => void}} props
 */
export function EventPane({ hook, stored, error, sample, delivery, onChoose, onSample }) {
  const deliveries = useNewest(hook);
  const choose = (/** @type {string} */ id) => onChoose(id || null, deliveries.find((it) => it.event === id)?.id ?? null);
  /** @type {[string, string][]} */
  const options = [["", "A sample that you write here"]];
  if (stored && !deliveries.some((it) => it.event === stored.engineId)) options.push([stored.engineId, `${stored.type} · ${at(stored.occurredAt)}`]);
  options.push(...deliveries.map((it) => /** @type {[string, string]} */ ([it.event, `${it.type} · ${at(it.created_at)} · ${it.state}`])));
  const copy = () => {
    if (stored) onSample({ type: stored.type, data: stored.data });
    onChoose(null, null);
  };
  return html`<section class="pane" aria-labelledby="pane-event">
    <header><h2 id="pane-event">Event</h2>${stored && html`<${Button} small icon="edit" onClick=${copy}>Edit a copy</${Button}>`}</header>
    <${Field} label="Which event" name="event" value=${stored?.engineId ?? ""} options=${options} onInput=${choose} />
    ${error && html`<${Failure} error=${error} />`}
    ${delivery && html`<${WhyItFailed} id=${delivery} />`}
    ${stored ? html`<${StoredEvent} stored=${stored} />` : html`<${SampleEvent} sample=${sample} onSample=${onSample} />`}
  </section>`;
}

/** @param {string | null} hook @returns {Delivery[]} */
function useNewest(hook) {
  const [deliveries, setDeliveries] = useState(/** @type {Delivery[]} */ ([]));
  useEffect(() => {
    setDeliveries([]);
    if (!hook || !may("deliveries:read")) return undefined;
    const aborter = new AbortController();
    // Without the list, an event can still be opened from its own page.
    newestOf(hook, aborter.signal).then(setDeliveries, () => {});
    return () => aborter.abort();
  }, [hook]);
  return deliveries;
}

/** @param {{stored: Stored}} props */
function StoredEvent({ stored }) {
  return html`<${Facts} items=${[["Type", html`<code>${stored.type}</code>`], ["Id", html`<a href=${href(["events", stored.engineId])}><code>${stored.id}</code></a>`]]} />
    <${Code} text=${stored.data} label="Data of the event" />`;
}

/** @param {{sample: Sample, onSample: (sample: Sample) => void}} props */
function SampleEvent({ sample, onSample }) {
  const wrong = errorOfSample(sample);
  return html`<${Field} label="Type" name="type" value=${sample.type} mono onInput=${(/** @type {string} */ type) => onSample({ ...sample, type })} />
    <div class="field"><span class="label">Data</span>
      <${Editor} text=${sample.data} language="json" label="Data of the sample, JSON" onChange=${(/** @type {string} */ data) => onSample({ ...sample, data })} /></div>
    ${wrong && html`<p class="error" role="status">${wrong}</p>`}`;
}

/** Why the delivery from which somebody came is as it is. @param {{id: string}} props */
function WhyItFailed({ id }) {
  const [delivery, setDelivery] = useState(/** @type {import("../../lib/types.js").FullDelivery | null} */ (null));
  useEffect(() => {
    setDelivery(null);
    if (!may("deliveries:read")) return undefined;
    const aborter = new AbortController();
    api.get(`/deliveries/${id}`, { signal: aborter.signal }).then(setDelivery, () => {});
    return () => aborter.abort();
  }, [id]);
  if (!delivery) return null;
  const { tone, title, text } = whyOfDelivery(delivery, null);
  const last = delivery.attempts.at(-1);
  const answer = delivery.state === "succeeded" ? null : last?.response?.body;
  return html`<${Notice} tone=${tone} title=${title}><${Words} text=${text} />
    ${answer && html` It said: <q>${answer.length > MAX_ANSWER ? `${answer.slice(0, MAX_ANSWER)}…` : answer}</q>`}
    ${" "}<a href=${href(["deliveries", id])}>The delivery</a></${Notice}>`;
}
