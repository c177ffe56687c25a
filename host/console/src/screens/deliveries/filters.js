// The filters of the list of deliveries. They are members of the address.
import { html, useEffect, useState } from "../../lib/html.js";
import { api, may } from "../../lib/api.js";
import { compact } from "../../lib/format.js";
import { hooks, nameOfHook } from "../../lib/hooks.js";
import { href, navigate, route, setQuery } from "../../lib/router.js";
import { Icon } from "../../ui/icons.js";

/** @typedef {import("../../lib/types.js").DeliveryState} DeliveryState */

/** @type {[DeliveryState, string][]} */
export const STATES = [
  ["exhausted", "bad"], ["waiting", "warn"], ["pending", "busy"], ["delivering", "busy"], ["succeeded", "good"], ["dropped", "quiet"], ["cancelled", "quiet"],
];

/** Times back from now, by their name in the address, in seconds. @type {[string, string, number][]} */
export const TIMES = [
  ["15m", "Last 15 minutes", 900], ["1h", "Last hour", 3600], ["24h", "Last 24 hours", 86_400], ["7d", "Last 7 days", 604_800],
];

/** The names of filters in the address. */
const NAMES = ["hook", "state", "type", "event", "job", "interrupted", "last", "since", "until"];

/** @param {URLSearchParams} query @returns {Record<string, string>} the filters as they are in the address */
export function filtersOf(query) {
  return Object.fromEntries(NAMES.flatMap((name) => (query.get(name) ? [[name, query.get(name) ?? ""]] : [])));
}

/** @param {Record<string, string>} filters @param {number} [now] @returns {Record<string, string>} parameters of the API */
export function parametersOf({ last, ...filters }, now = Date.now()) {
  const seconds = TIMES.find(([name]) => name === last)?.[2];
  return seconds ? { ...filters, since: new Date(now - seconds * 1000).toISOString() } : filters;
}

/**
 * Whether a delivery that the stream tells of belongs to the list.
 * @param {Record<string, string>} filters @param {import("../../lib/types.js").Delivery} delivery
 */
export function isWanted({ hook, state, type, event, job, interrupted, until }, delivery) {
  if (hook && delivery.hook !== hook) return false;
  if (state && !state.split(",").includes(delivery.state)) return false;
  if (event && delivery.event !== event && delivery.event_id !== event) return false;
  if (type && !matchesType(type, delivery.type)) return false;
  return !job && !interrupted && !until;
}

/** @param {string} pattern @param {string} type */
const matchesType = (pattern, type) =>
  pattern === "*" || pattern === type || (pattern.endsWith("*") && (type ?? "").startsWith(pattern.slice(0, -1)));

/**
 * What a text in the search field means.
 * @param {string} text @returns {{open: string} | Record<string, string>}
 */
export function meaningOf(text) {
  const given = /^(type|event|hook|job):(.+)$/.exec(text);
  if (given) return { [given[1]]: given[2].trim() };
  if (text.startsWith("dlv_")) return { open: text };
  if (text.startsWith("hook_")) return { hook: text };
  if (text.startsWith("job_")) return { job: text };
  if (text.endsWith("*") || /^[a-z_]+(\.[a-z_]+)+$/i.test(text)) return { type: text };
  return { event: text };
}

/** @param {{counts: any}} props */
export function Filters({ counts }) {
  const filters = filtersOf(route.value.query);
  const [text, setText] = useState("");
  const search = (/** @type {Event} */ event) => {
    event.preventDefault();
    if (text.trim() === "") return;
    const meaning = meaningOf(text.trim());
    setText("");
    if ("open" in meaning) navigate(href(["deliveries", meaning.open], route.value.query));
    else setQuery(meaning, { replace: false, path: ["deliveries"] });
  };
  const chosen = filters.state?.split(",") ?? [];
  const toggle = (/** @type {string} */ state) => {
    const next = chosen.includes(state) ? chosen.filter((other) => other !== state) : [...chosen, state];
    setQuery({ state: next.join(",") });
  };
  const all = [...(hooks.value?.values() ?? [])];
  return html`<div class="filters">
      <form role="search" onSubmit=${search}><input type="search" data-search="" aria-label="Search by id or type" placeholder="Event id, delivery id or type, such as order.*" value=${text}
        onInput=${(/** @type {any} */ event) => setText(event.target.value)} aria-keyshortcuts="/" /></form>
      ${all.length > 0 && html`<select aria-label="Hook" value=${filters.hook ?? ""} onChange=${(/** @type {any} */ event) => setQuery({ hook: event.target.value })}>
        <option value="">All hooks</option>${all.map((hook) => html`<option key=${hook.id} value=${hook.id} selected=${hook.id === filters.hook}>${nameOfHook(hook.id)}</option>`)}</select>`}
      <select aria-label="Time" value=${filters.last ?? ""} onChange=${(/** @type {any} */ event) => setQuery({ last: event.target.value, since: null, until: null })}>
        <option value="">Any time</option>${TIMES.map(([name, label]) => html`<option key=${name} value=${name} selected=${name === filters.last}>${label}</option>`)}</select>
    </div>
    <div class="chips" role="group" aria-label="States">
      ${STATES.map(([state, tone]) => html`<button key=${state} type="button" class=${`chip ${tone}`} aria-pressed=${String(chosen.includes(state))} onClick=${() => toggle(state)}><i aria-hidden="true"></i>${state}${counts && html` <span>${compact(counts.counts[state])}${counts.at_least && counts.counts[state] > 0 ? "+" : ""}</span>`}</button>`)}
    </div>
    <${Others} filters=${filters} />`;
}

/** Filters that have no control of their own, each with a way to remove it. @param {{filters: Record<string, string>}} props */
function Others({ filters }) {
  const names = ["type", "event", "job", "interrupted", "since", "until"].filter((name) => filters[name]);
  if (filters.hook && !hooks.value?.has(filters.hook)) names.unshift("hook");
  if (names.length === 0) return null;
  return html`<div class="chips">${names.map((name) => html`<button key=${name} type="button" class="chip" onClick=${() => setQuery({ [name]: null })}>${name}: <strong>${filters[name]}</strong><${Icon} name="close" label="Remove this filter" /></button>`)}</div>`;
}

/**
 * Counts by state of what the filters but `state` select; null while they are not known.
 * @param {Record<string, string>} filters @param {number} round loads again if it changes
 */
export function useCounts(filters, round) {
  const [counts, setCounts] = useState(/** @type {any} */ (null));
  const { state: _, job, interrupted, ...rest } = filters;
  const isCountable = !job && !interrupted && may("deliveries:read");
  const key = JSON.stringify(rest);
  useEffect(() => {
    if (!isCountable) {
      setCounts(null);
      return;
    }
    const aborter = new AbortController();
    api.get("/deliveries/counts", { query: parametersOf(rest), signal: aborter.signal }).then(setCounts, () => {});
    return () => aborter.abort();
  }, [key, isCountable, round]);
  return counts;
}
