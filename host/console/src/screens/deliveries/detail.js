// One delivery: why it is in its state, and what happened, newest first.
import { html, useEffect, useState } from "../../lib/html.js";
import { api, may, tenant } from "../../lib/api.js";
import { conditionsInWords } from "../../lib/filter.js";
import { slice } from "../../lib/json.js";
import { hooks, nameOfHook } from "../../lib/hooks.js";
import { href } from "../../lib/router.js";
import { listen, streamState } from "../../lib/stream.js";
import { whyOfDelivery } from "../../lib/why.js";
import { Button, Copy, Facts, Failure, Id, Loading, State, Time, useLoad } from "../../ui/basics.js";
import { confirm } from "../../ui/dialog.js";
import { useDetailFocus } from "../../ui/detail.js";
import { Code } from "../../ui/text.js";
import { toast } from "../../ui/toast.js";
import { Words } from "../../ui/words.js";
import { AttemptItem } from "./attempt.js";
import { Compare } from "./compare.js";
import { retry } from "./retry.js";

/** @typedef {import("../../lib/types.js").FullDelivery} FullDelivery */
/** @typedef {import("../../lib/types.js").Attempt} Attempt */

const FINAL = ["succeeded", "exhausted", "dropped", "cancelled"];

/** @param {{id: string, onClose: () => void}} props */
export function Detail({ id, onClose }) {
  const { value, error, reload } = useLoad((signal) => api.get(`/deliveries/${encodeURIComponent(id)}`, { signal }), [id]);
  useFresh(id, value, reload);
  const ref = useDetailFocus(id);
  return html`<section class="detail" aria-label="Delivery" ref=${ref} tabindex="-1"><div class="detail-body">
    ${!value && !error && html`<${Loading} />`}
    ${error && html`<div class="title"><${Button} kind="quiet" icon="close" label="Close" onClick=${onClose} /></div><${Failure} error=${error} retry=${reload} />`}
    ${value && html`<${Content} delivery=${value} onClose=${onClose} reload=${reload} />`}
  </div></section>`;
}

/** Loads the delivery again when the stream tells of it, or now and then without a stream. @param {string} id @param {FullDelivery | undefined} delivery @param {() => void} reload */
function useFresh(id, delivery, reload) {
  useEffect(() => {
    let timer = /** @type {ReturnType<typeof setTimeout> | undefined} */ (undefined);
    const soon = () => {
      clearTimeout(timer);
      timer = setTimeout(reload, 200);
    };
    const end = listen({ change: (change) => change.delivery.id === id && soon(), lagged: soon });
    return () => {
      clearTimeout(timer);
      end();
    };
  }, [id]);
  const mustAsk = streamState.value !== "live" && delivery && !FINAL.includes(delivery.state);
  useEffect(() => {
    if (!mustAsk) return;
    const timer = setInterval(reload, 3000);
    return () => clearInterval(timer);
  }, [mustAsk]);
}

/** @param {{delivery: FullDelivery, onClose: () => void, reload: () => void}} props */
function Content({ delivery, onClose, reload }) {
  const [isCompared, setCompared] = useState(false);
  const hook = hooks.value?.get(delivery.hook);
  const why = whyOfDelivery(delivery, hook);
  const mayChange = may("deliveries:write");
  // A retry would fail again: the script or its settings must be changed first.
  const isFaulted = delivery.attempts.at(-1)?.outcome === "faulted";
  const again = async () => {
    if (await retry(delivery.id, delivery.state)) reload();
  };
  const cancel = async () => {
    const asked = { title: "Cancel this delivery?", text: "It is not sent any more, unless you retry it later.", action: "Cancel the delivery", danger: true };
    if (!(await confirm(asked))) return;
    await api.post(`/deliveries/${delivery.id}/cancel`);
    toast("The delivery is cancelled.");
    reload();
  };
  const canCancel = mayChange && ["pending", "waiting"].includes(delivery.state);
  return html`<header class="detail-head">
      <div class="title"><h1>${delivery.type}</h1><${State} value=${delivery.state} /><${Button} kind="quiet" icon="close" label="Close" onClick=${onClose} /></div>
      <${Id} value=${delivery.id} />
      <div class="actions">
        ${mayChange && html`<${Button} kind=${delivery.state === "succeeded" || isFaulted ? "plain" : "primary"} icon="retry" keys="r" onClick=${again}>Retry now</${Button}>`}
        ${may("hooks:read") && may("events:read") && html`<${Button} onClick=${() => setCompared(true)}>Compare with today’s pipeline</${Button}>`}
        ${may("plugins:read") && html`<a class=${isFaulted ? "button primary" : "button"} href=${href(["playground"], { hook: delivery.hook, event: delivery.event, delivery: delivery.id })}>Open in the playground</a>`}
        ${canCancel && html`<${Button} kind="danger" onClick=${cancel}>Cancel</${Button}>`}
        <${Copy} text=${location.href}>Copy link</${Copy}>
      </div></header>
    <section class=${`why ${why.tone}`} aria-label="Why"><h2>${why.title}</h2><p><${Words} text=${why.text} /></p>${delivery.state === "dropped" && may("events:read") && html`<${FilterReasons} delivery=${delivery} />`}
      ${delivery.note && html`<details class="more"><summary>Will it be retried?</summary><p><${Words} text=${delivery.note} /></p></details>`}</section>
    <${Facts} items=${[
      ["Hook", html`<a href=${href(["hooks", delivery.hook])}>${nameOfHook(delivery.hook)}</a>`],
      ["Event", html`<a href=${href(["events", delivery.event])}><code>${delivery.event_id}</code></a>`],
      ["Created", html`<${Time} value=${delivery.created_at} absolute />`],
      ["Made by", { event: "the event", test: "a test", replay: delivery.job ? html`a replay, <a href=${href(["deliveries"], { job: delivery.job })}>${delivery.job}</a>` : "a replay" }[delivery.trigger]],
      ["Ordering key", delivery.ordering_key && html`<code>${delivery.ordering_key}</code>`],
      ["Interrupted", delivery.interrupted > 0 && `${delivery.interrupted} times: the receiver may have got it twice`],
    ]} />
    <section class="section"><h2>What happened</h2><${Timeline} delivery=${delivery} hook=${hook} /></section>
    ${may("events:read") && html`<${EventData} event=${delivery.event} />`}
    ${isCompared && html`<${Compare} delivery=${delivery} onClose=${() => setCompared(false)} />`}`;
}

/** What the standard filter wanted, and what the event has. @param {{delivery: FullDelivery}} props */
function FilterReasons({ delivery }) {
  const last = delivery.attempts.at(-1);
  const index = last?.step ?? -1;
  const { value } = useLoad(async (signal) => {
    if (last?.steps[index]?.plugin.split("@")[0] !== "event-filter" || last.steps[index].logs.length > 0) return [];
    const [hook, event] = await Promise.all([api.text(`/hooks/${delivery.hook}`, { signal }), api.text(`/events/${delivery.event}`, { signal })]);
    const settings = slice(hook, ["pipeline", index, "settings"]);
    return settings ? conditionsInWords(settings, slice(event, ["data"]) ?? "null") : [];
  }, [delivery.id, last?.id]);
  if (!value || value.length === 0) return null;
  return html`<ul class="reasons">${value.map((text) => html`<li key=${text}><${Words} text=${`${text}.`} /></li>`)}</ul>`;
}

/** @param {{delivery: FullDelivery, hook: import("../../lib/types.js").Hook | undefined}} props newest first */
function Timeline({ delivery, hook }) {
  const [earlier, setEarlier] = useState(/** @type {Attempt[]} */ ([]));
  const [next, setNext] = useState(/** @type {string | null | undefined} */ (undefined));
  const cursor = next === undefined ? delivery.attempts_next : next;
  const more = async () => {
    const page = await api.get(`/deliveries/${delivery.id}/attempts`, { query: { cursor, limit: 20 } });
    setEarlier([...earlier, ...page.data]);
    setNext(page.next);
  };
  const known = new Set(delivery.attempts.map((attempt) => attempt.id));
  const attempts = [...delivery.attempts].reverse().concat(earlier.filter((attempt) => !known.has(attempt.id)));
  return html`<ol class="timeline">
    ${delivery.next_attempt_at && html`<li class="warn"><span class="dot hollow"></span><div class="event">Next attempt <${Time} value=${delivery.next_attempt_at} />, at <${Time} value=${delivery.next_attempt_at} absolute /></div></li>`}
    ${delivery.state === "delivering" && html`<li class="busy"><span class="dot hollow"></span><div class="event">An attempt is under way</div></li>`}
    ${attempts.map((attempt, index) => html`<${AttemptItem} key=${attempt.id} delivery=${delivery} attempt=${attempt} hook=${hook} isOpen=${index === 0} />`)}
    ${cursor && html`<li class="quiet"><span class="dot hollow"></span><div class="event"><${Button} small onClick=${more}>Show earlier attempts</${Button}></div></li>`}
    <li class="quiet"><span class="dot"></span><div class="event">Created by ${delivery.trigger === "event" ? "the event" : `a ${delivery.trigger}`}, <${Time} value=${delivery.created_at} absolute /></div></li>
  </ol>`;
}

/** @param {{event: string}} props the engine's id */
function EventData({ event }) {
  const [isOpen, setOpen] = useState(false);
  const { value, error } = useLoad(async (signal) => (isOpen ? await api.text(`/events/${event}`, { signal }) : undefined), [isOpen, tenant.value?.id]);
  const data = value && slice(value, ["data"]);
  return html`<details class="group" onToggle=${(/** @type {any} */ toggled) => setOpen(toggled.target.open)}><summary>Data of the event</summary><div class="body">
    ${error && html`<${Failure} error=${error} />`}${data && html`<${Code} text=${data} label="Data of the event" />`}</div></details>`;
}
