// Events: search, and for each which hooks matched, which did not, and why.
import { html, useEffect, useMemo, useState } from "../../lib/html.js";
import { messageOf } from "../../lib/api.js";
import { needHooks } from "../../lib/hooks.js";
import { useKey } from "../../lib/keys.js";
import { href, navigate, route, setQuery } from "../../lib/router.js";
import { listen } from "../../lib/stream.js";
import { Button, Empty, Time } from "../../ui/basics.js";
import { Icon } from "../../ui/icons.js";
import { Pages } from "../../lib/pages.js";
import { List } from "../../ui/list.js";
import { toast } from "../../ui/toast.js";
import { TIMES } from "../deliveries/filters.js";
import { EventDetail } from "./detail.js";

/** @typedef {import("../../lib/types.js").EventSummary} EventSummary */

const COLUMNS = [
  { name: "Type" }, { name: "Event" , class: "medium" }, { name: "Deliveries", class: "c-deliveries" }, { name: "Accepted", class: "num c-time" },
];
const NAMES = ["id", "type", "project", "last", "since", "until"];

/** @param {EventSummary} event */
const idOf = (event) => event.engine_id;
const open = (/** @type {EventSummary} */ event) => href(["events", event.engine_id], route.value.query);

/** @returns {Record<string, string>} */
const filtersOf = () => Object.fromEntries(NAMES.flatMap((name) => (route.value.query.get(name) ? [[name, route.value.query.get(name) ?? ""]] : [])));

/** @param {Record<string, string>} filters @returns {Record<string, string>} */
function parametersOf({ last, ...filters }) {
  const seconds = TIMES.find(([name]) => name === last)?.[2];
  return seconds ? { ...filters, since: new Date(Date.now() - seconds * 1000).toISOString() } : filters;
}

export default function Events() {
  const filters = filtersOf();
  const opened = route.value.path[1] ?? null;
  const [round, setRound] = useState(0);
  const [newer, setNewer] = useState(0);
  useEffect(needHooks, []);
  const pages = useMemo(() => new Pages("/events", parametersOf(filters), idOf), [JSON.stringify(filters), round]);
  useEffect(() => {
    setNewer(0);
    const known = new Set();
    const end = listen({
      change: ({ change, delivery }) => {
        if (change === "created" && !known.has(delivery.event) && known.size < 1000) {
          known.add(delivery.event);
          setNewer(known.size);
        }
      },
      lagged: () => {},
    });
    return () => {
      end();
      pages.close();
    };
  }, [pages]);
  const back = () => navigate(href(["events"], route.value.query));
  useKey("Escape", "Close", opened ? back : null);
  const refresh = () => pages.refresh().then(() => setNewer(0), (error) => toast(messageOf(error), "bad"));
  return html`<div class=${opened ? "split open" : "split"}>
    <header class="toolbar"><div class="page-head"><h1>Events</h1><${Button} small icon="retry" onClick=${refresh}>${newer > 0 ? `${newer} new` : "Refresh"}</${Button}></div><${Filters} filters=${filters} /></header>
    <div class="panes"><section class="list-box" aria-label="List of events">
        <${List} pages=${pages} columns=${COLUMNS} row=${Row} open=${open} current=${opened} label="Events"
          empty=${html`<${Nothing} filters=${filters} />`} /></section>
      ${opened && html`<${EventDetail} key=${opened} id=${opened} onClose=${back} onErased=${() => setRound(round + 1)} />`}</div></div>`;
}

/** @param {EventSummary} event */
function Row(event) {
  return html`<td><a class="truncate" href=${open(event)}>${event.type}</a><span class="second"><code>${event.id}</code></span></td>
    <td class="medium muted"><code>${event.id}</code></td>
    <td><${DeliveryCounts} event=${event} /></td>
    <td class="num muted"><${Time} value=${event.accepted_at} /></td>`;
}

/** @type {Record<string, string>} */
const TONES = { exhausted: "bad", waiting: "warn", pending: "busy", delivering: "busy", succeeded: "good", dropped: "quiet", cancelled: "quiet" };

/** @param {{event: EventSummary}} props */
function DeliveryCounts({ event }) {
  const counts = Object.entries(TONES).flatMap(([state, tone]) => {
    const count = event.deliveries[/** @type {import("../../lib/types.js").DeliveryState} */ (state)];
    return count ? [{ state, tone, count }] : [];
  });
  if (event.erased_at) return html`<span class="muted">erased</span>`;
  if (counts.length === 0) return html`<span class="muted">no hook</span>`;
  return html`<span class="counts">${counts.map(({ state, tone, count }) => html`<span key=${state} class=${`state ${tone}`} title=${`${count} ${state}`}><i aria-hidden="true"></i>${count}<span class="sr"> ${state}</span></span>`)}</span>`;
}

/** @param {{filters: Record<string, string>}} props */
function Filters({ filters }) {
  const [text, setText] = useState("");
  const search = (/** @type {Event} */ event) => {
    event.preventDefault();
    const given = text.trim();
    if (given === "") return;
    setText("");
    const isType = given.endsWith("*") || /^[a-z_]+(\.[a-z_]+)+$/i.test(given);
    setQuery(isType ? { type: given } : { id: given }, { replace: false, path: ["events"] });
  };
  const others = ["id", "type", "project", "since", "until"].filter((name) => filters[name]);
  return html`<div class="filters"><form role="search" onSubmit=${search}><input type="search" data-search="" aria-label="Search by id or type" aria-keyshortcuts="/" placeholder="Event id, yours or the engine’s, or a type such as order.*"
        value=${text} onInput=${(/** @type {any} */ event) => setText(event.target.value)} /></form>
      <select aria-label="Time" value=${filters.last ?? ""} onChange=${(/** @type {any} */ event) => setQuery({ last: event.target.value, since: null, until: null })}>
        <option value="">Any time</option>${TIMES.map(([name, label]) => html`<option key=${name} value=${name} selected=${name === filters.last}>${label}</option>`)}</select></div>
    ${others.length > 0 && html`<div class="chips">${others.map((name) => html`<button key=${name} type="button" class="chip" onClick=${() => setQuery({ [name]: null })}>${name}: <strong>${filters[name]}</strong><${Icon} name="close" label="Remove this filter" /></button>`)}</div>`}`;
}

/** @param {{filters: Record<string, string>}} props */
function Nothing({ filters }) {
  if (Object.keys(filters).length > 0) {
    return html`<${Empty} title="No event matches" action=${html`<a class="button" href=${href(["events"])}>Remove all filters</a>`}>Search by the id that you sent, by the engine’s id, by a type or a prefix such as <code>order.*</code>.</${Empty}>`;
  }
  return html`<${Empty} title="No events yet">Publish one with <code>POST /api/v3/events</code>, or send a test from a hook’s page. Events are kept for 30 days, unless the operator has set another time.</${Empty}>`;
}
