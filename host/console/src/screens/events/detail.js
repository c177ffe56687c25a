// One event: its data as it was sent, and what each hook made of it.
import { html, useState } from "../../lib/html.js";
import { api, may, messageOf } from "../../lib/api.js";
import { nameOfHook } from "../../lib/hooks.js";
import { slice } from "../../lib/json.js";
import { href } from "../../lib/router.js";
import { whyOfMatch } from "../../lib/why.js";
import { Button, Facts, Failure, Id, Loading, Notice, State, Tag, Time, useLoad } from "../../ui/basics.js";
import { confirm } from "../../ui/dialog.js";
import { useDetailFocus } from "../../ui/detail.js";
import { Code } from "../../ui/text.js";
import { toast } from "../../ui/toast.js";

/** @typedef {import("../../lib/types.js").Match} Match */

/** @param {{id: string, onClose: () => void, onErased: () => void}} props */
export function EventDetail({ id, onClose, onErased }) {
  const { value, error, reload } = useLoad((signal) => load(id, signal), [id]);
  const ref = useDetailFocus(id);
  return html`<section class="detail" aria-label="Event" ref=${ref} tabindex="-1"><div class="detail-body">
    ${!value && !error && html`<${Loading} />`}
    ${error && html`<div class="title"><${Button} kind="quiet" icon="close" label="Close" onClick=${onClose} /></div><${Failure} error=${error} retry=${reload} />`}
    ${value && html`<${Content} event=${value.event} data=${value.data} onClose=${onClose} onErased=${() => { reload(); onErased(); }} />`}</div></section>`;
}

/** @param {string} id @param {AbortSignal} signal */
async function load(id, signal) {
  const text = await api.text(`/events/${encodeURIComponent(id)}`, { signal });
  return { event: JSON.parse(text), data: slice(text, ["data"]) };
}

/** @param {{event: any, data: string | null, onClose: () => void, onErased: () => void}} props */
function Content({ event, data, onClose, onErased }) {
  const erase = async () => {
    const text = "Its data, and what was sent and answered for it, are removed for ever. Deliveries that wait are cancelled. Receivers keep what they have.";
    if (!(await confirm({ title: "Erase the content of this event?", text, action: "Erase for ever", danger: true, type: "erase" }))) return;
    const { attempted } = await api.delete(`/events/${event.engine_id}`);
    toast(attempted > 0 ? `Erased. Receivers of ${attempted} deliveries may have the content.` : "Erased.");
    onErased();
  };
  return html`<header class="detail-head"><div class="title"><h1>${event.type}</h1>${event.erased_at && html`<${Tag} tone="bad">erased</${Tag}>`}<${Button} kind="quiet" icon="close" label="Close" onClick=${onClose} /></div>
      <${Id} value=${event.id} />
      <div class="actions">
        ${may("plugins:read") && !event.erased_at && html`<a class="button primary" href=${href(["playground"], { event: event.engine_id })}>Open in the playground</a>`}
        ${may("deliveries:read") && html`<a class="button" href=${href(["deliveries"], { event: event.engine_id })}>Its deliveries</a>`}
        ${may("events:write") && !event.erased_at && html`<${Button} kind="danger" icon="trash" onClick=${erase}>Erase</${Button}>`}</div></header>
    <${Facts} items=${[
      ["Engine’s id", event.engine_id !== event.id && html`<code>${event.engine_id}</code>`],
      ["Occurred", html`<${Time} value=${event.occurred_at} absolute />`],
      ["Accepted", html`<${Time} value=${event.accepted_at} absolute />`],
      ["Project", event.project != null && String(event.project)],
      ["Ordering key", event.ordering_key && html`<code>${event.ordering_key}</code>`],
    ]} />
    ${may("hooks:read") && may("deliveries:read") && html`<${Matches} event=${event} />`}
    <section class="section"><h2>Data</h2>${event.erased_at
      ? html`<${Notice}>The content was erased at <${Time} value=${event.erased_at} absolute />.</${Notice}>`
      : html`<${Code} text=${data ?? ""} label="Data of the event" />`}</section>`;
}

/** @param {{event: any}} props */
function Matches({ event }) {
  const { value, error, reload } = useLoad(async (signal) => /** @type {Match[]} */ ((await api.get(`/events/${event.engine_id}/matches`, { query: { limit: 250 }, signal })).data), [event.engine_id]);
  const [all, setAll] = useState(false);
  if (error) return html`<${Failure} error=${error} retry=${reload} />`;
  if (!value) return html`<${Loading} />`;
  const order = [...value].sort((a, b) => rank(a) - rank(b));
  const concerned = order.filter((match) => match.delivery || match.matches || !match.why.includes("type"));
  const shown = all ? order : concerned;
  const got = value.filter((match) => match.delivery).length;
  return html`<section class="section"><h2>Hooks <span class="muted">${got} of ${value.length} got it</span></h2>
    ${shown.length > 0 && html`<ul class="matches">${shown.map((match) => html`<${MatchItem} key=${match.hook} event=${event} match=${match} reload=${reload} />`)}</ul>`}
    ${value.length === 0 && html`<p class="muted">There are no hooks. <a href=${href(["hooks", "new"])}>Create one</a>, then send this event to it.</p>`}
    ${order.length > concerned.length && html`<${Button} kind="quiet" small onClick=${() => setAll(!all)}>${all ? "Hide" : "Show"} ${order.length - concerned.length} that ${order.length - concerned.length === 1 ? "does" : "do"} not subscribe to this type</${Button}>`}</section>`;
}

/** @param {Match} match */
const rank = (match) => (match.delivery ? 0 : match.matches ? 1 : match.why.includes("type") ? 3 : 2);

/** @param {{event: any, match: Match, reload: () => void}} props */
function MatchItem({ event, match, reload }) {
  const send = async () => {
    const name = nameOfHook(match.hook);
    if (match.delivery) {
      const text = `${name} has a delivery of this event. It gets a new one with the same webhook-id, through its pipeline as it is now.`;
      if (!(await confirm({ title: "Send it again?", text, action: "Send again" }))) return;
    }
    try {
      await api.post(`/events/${event.engine_id}/deliveries`, { body: { hook: match.hook } });
      toast(`Sent to ${name}.`, "good", { href: href(["deliveries"], { event: event.engine_id }), label: "Show it" });
      reload();
    } catch (error) {
      toast(messageOf(error), "bad");
    }
  };
  return html`<li><div class="match-main"><a href=${href(["hooks", match.hook])}><strong>${nameOfHook(match.hook)}</strong></a><span class="muted">${whyOfMatch(match)}</span></div>
    ${match.delivery ? html`<a href=${href(["deliveries", match.delivery.id])}><${State} value=${match.delivery.state} /></a>` : html`<${Tag}>no delivery</${Tag}>`}
    ${may("deliveries:write") && html`<${Button} small onClick=${send} disabled=${Boolean(event.erased_at)}>${match.delivery ? "Send again" : "Send"}</${Button}>`}</li>`;
}
