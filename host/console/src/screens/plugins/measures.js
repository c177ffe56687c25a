// What a plugin used in the newest deliveries of its hooks, and how often it failed.
import { html } from "../../lib/html.js";
import { api, may } from "../../lib/api.js";
import { bytes, compact, duration, plural } from "../../lib/format.js";
import { href } from "../../lib/router.js";
import { Facts, Loading, useLoad } from "../../ui/basics.js";

/** @typedef {import("../../lib/types.js").Step} Step */
/** @typedef {import("../../lib/types.js").FullDelivery} FullDelivery */

/** How many hooks, and how many deliveries in all, are looked at. */
const HOOKS = 4;
const DELIVERIES = 20;

/** @param {string} name @param {string[]} hooks @param {AbortSignal} signal @returns {Promise<FullDelivery[]>} */
async function newest(name, hooks, signal) {
  const lists = await Promise.all(hooks.slice(0, HOOKS).map((hook) => api.get("/deliveries", { query: { hook, limit: Math.ceil(DELIVERIES / Math.min(hooks.length, HOOKS)) }, signal })));
  const ids = lists.flatMap((list) => list.data.map((/** @type {{id: string}} */ delivery) => delivery.id));
  const found = await Promise.all(ids.map((id) => api.get(`/deliveries/${id}`, { signal }).catch(() => null)));
  return found.filter((delivery) => delivery !== null);
}

/** @param {number[]} values @returns {number} the middle one */
export const median = (values) => [...values].sort((one, other) => one - other)[Math.floor(values.length / 2)] ?? 0;

/** @param {FullDelivery[]} deliveries @param {string} name @returns {{step: Step, delivery: string}[]} */
export function runsOf(deliveries, name) {
  return deliveries.flatMap((delivery) => delivery.attempts.flatMap((attempt) =>
    attempt.steps.filter((step) => step.plugin.split("@")[0] === name).map((step) => ({ step, delivery: delivery.id }))));
}

/** @param {{name: string, hooks: string[]}} props */
export function Measures({ name, hooks }) {
  const isAllowed = may("deliveries:read");
  const { value, loading } = useLoad((signal) => (isAllowed ? newest(name, hooks, signal) : Promise.resolve([])), [name, hooks.join(" ")]);
  if (!isAllowed) return null;
  const runs = runsOf(value ?? [], name);
  const failed = runs.filter(({ step }) => step.fault !== null);
  const last = failed[0];
  return html`<section class="section" aria-labelledby="plugin-measures"><h2 id="plugin-measures">In its newest deliveries</h2>
    ${loading && !value ? html`<${Loading} />` : runs.length === 0 ? html`<p class="muted">It has not run yet.</p>` : html`
      <${Facts} items=${[
        ["Runs looked at", String(runs.length)],
        ["Failed", failed.length === 0 ? "none" : html`<strong class="text-bad">${failed.length}</strong>`],
        ["Fuel, median", compact(median(runs.map(({ step }) => step.fuel)))],
        ["Memory, most", bytes(Math.max(...runs.map(({ step }) => step.memory_bytes)))],
        ["Time, median", duration(median(runs.map(({ step }) => step.duration_us)) / 1000)],
      ]} />
      ${last && html`<p>Last failure: <a href=${href(["deliveries", last.delivery])}>${last.step.fault?.message}</a></p>`}
      <p class="muted">Of ${plural(value?.length ?? 0, "delivery", "deliveries")} of ${plural(Math.min(hooks.length, HOOKS), "hook")}.</p>`}</section>`;
}
