// The playground: an event, the pipeline of a hook, and the request that comes of it, while somebody types.
import { effect, html, useMemo, useRef, useState } from "../../lib/html.js";
import { api, may, session, tenant } from "../../lib/api.js";
import { shortUrl } from "../../lib/format.js";
import { slice } from "../../lib/json.js";
import { href, route, setQuery } from "../../lib/router.js";
import { Button, Failure, Loading, Notice, useLoad } from "../../ui/basics.js";
import { confirm } from "../../ui/dialog.js";
import { Field } from "../../ui/forms.js";
import { toast } from "../../ui/toast.js";
import { EventPane } from "./event_pane.js";
import { errorOf, isChanged, newStep, settingsOf, stepsOf } from "./pipeline.js";
import { PipelinePane } from "./pipeline_pane.js";
import { RequestPane } from "./request_pane.js";
import { useDryRun } from "./run.js";
import { SaveDialog } from "./save.js";
import { FIRST_SAMPLE, dataOf, errorOfSample, exampleOf, loadEvent, toEvent } from "./source.js";

/** @typedef {import("./pipeline.js").EditedStep} EditedStep */
/** @typedef {{text: string, id: string, name: string, surface: string, updatedAt: string, isBatch: boolean, types: string[]}} LoadedHook */

/** What was edited and not saved, by tenant and hook: it survives a look at another screen, not a sign-out. */
const drafts = /** @type {Map<string, EditedStep[]>} */ (new Map());
/** @type {import("./source.js").Sample} */
let lastSample = { type: "order.paid", data: FIRST_SAMPLE };
effect(() => {
  if (session.value === null) drafts.clear();
});

export default function Playground() {
  const { query } = route.value;
  const hooks = useLoad(hookNames, []);
  const delivery = query.get("delivery");
  const given = useLoad((signal) => (delivery && !query.get("hook") ? ofDelivery(delivery, signal) : Promise.resolve(null)), [delivery]);
  const hook = query.get("hook") ?? "";
  const [saved, setSaved] = useState("");
  const loaded = useLoad((signal) => (hook ? loadHook(hook, signal) : Promise.resolve(null)), [hook]);
  const error = hooks.error ?? given.error ?? loaded.error;
  const isStale = (loaded.value?.id ?? "") !== hook;
  if (error && isStale) return html`<div class="page"><${Failure} error=${error} retry=${loaded.reload} /></div>`;
  if (!hooks.value || given.loading || isStale) return html`<${Loading} />`;
  return html`<${Bench} key=${`${hook} ${loaded.value?.updatedAt}`} hooks=${hooks.value} hook=${loaded.value ?? null} isSaved=${saved === hook} onSaved=${() => { setSaved(hook); loaded.reload(); }} onEdit=${() => setSaved("")} />`;
}

/** @param {AbortSignal} signal @returns {Promise<[string, string][]>} */
async function hookNames(signal) {
  if (!may("hooks:read")) return [];
  const { data } = await api.get("/hooks", { query: { limit: 250 }, signal });
  return data.map((/** @type {import("../../lib/types.js").Hook} */ hook) => [hook.id, hook.description || shortUrl(hook.url)]);
}

/** Adds the hook and the event of a delivery to the address. @param {string} id @param {AbortSignal} signal */
async function ofDelivery(id, signal) {
  const { hook, event } = await api.get(`/deliveries/${id}`, { signal });
  setQuery({ hook, event });
}

/** @param {string} id @param {AbortSignal} signal @returns {Promise<LoadedHook>} */
async function loadHook(id, signal) {
  const text = await api.text(`/hooks/${encodeURIComponent(id)}`, { signal });
  const read = (/** @type {string} */ name) => JSON.parse(slice(text, [name]) ?? "null");
  return { text, id: read("id"), name: read("description") || shortUrl(read("url")), surface: read("surface"), updatedAt: read("updated_at"), isBatch: read("batch") !== null, types: read("types") };
}

/** @param {AbortSignal} signal @returns {Promise<import("./pipeline_pane.js").PluginName[]>} */
async function pluginNames(signal) {
  const { data } = await api.get("/plugins", { query: { limit: 250 }, signal });
  return data;
}

/** @param {{hooks: [string, string][], hook: LoadedHook | null, isSaved: boolean, onSaved: () => void, onEdit: () => void}} props */
function Bench({ hooks, hook, isSaved, onSaved, onEdit }) {
  const { query } = route.value;
  const [eventId, delivery] = [query.get("event"), query.get("delivery")];
  const key = `${tenant.value?.id} ${hook?.id ?? ""}`;
  const stored = useMemo(() => (hook ? stepsOf(hook.text) : []), [hook]);
  const [steps, setSteps] = useState(() => firstSteps(key, hook, stored, query.get("plugin")));
  const [sample, setSample] = useState(lastSample);
  const [isSaving, setSaving] = useState(false);
  const event = useLoad((signal) => (eventId ? loadEvent(eventId, signal) : Promise.resolve(null)), [eventId]);
  const plugins = useLoad(pluginNames, []);
  const isLoaded = !event.loading && (event.value?.engineId ?? null) !== null === (eventId !== null);
  const source = (isLoaded && event.value) || null;
  const changed = isChanged(steps, stored);
  const change = (/** @type {EditedStep[]} */ next) => {
    drafts.set(key, next);
    onEdit();
    setSteps(next);
  };
  const waiting = whyNothingRuns({ steps, hook, sample: source ? null : sample, isLoaded: isLoaded || event.error !== undefined, data: source?.data });
  const isMine = hook === null || hook.surface === "v3";
  const mayEdit = hook === null || may("hooks:write");
  const given = JSON.stringify([hook?.updatedAt, source?.engineId ?? sample]);
  const wanted = { hook: hook?.id ?? null, event: waiting ? null : toEvent(source, sample), steps, source: given, changed, ready: waiting === null };
  const result = useDryRun(wanted, JSON.stringify([given, steps.map((step) => [step.plugin, settingsOf(step)]), waiting]));
  const example = useRef(() => exampleOf(source, sample));
  example.current = () => exampleOf(source, sample);
  const reset = async () => {
    const question = { title: "Discard the changes?", text: "The pipeline becomes what the hook has now.", action: "Discard", danger: true };
    if (!(await confirm(question))) return;
    drafts.delete(key);
    // With new keys, so that the editors begin anew.
    setSteps(hook ? stepsOf(hook.text) : []);
  };
  const saved = () => {
    drafts.delete(key);
    setSaving(false);
    toast("Saved. New deliveries run this pipeline.");
    onSaved();
  };
  return html`<div class="playground">
    <header class="toolbar"><h1>Playground</h1>
      <${Field} label="Hook" name="hook" value=${hook?.id ?? ""} options=${/** @type {[string, string][]} */ ([["", "No hook: try a plugin"], ...hooks])} onInput=${(/** @type {string} */ id) => setQuery({ hook: id, event: null, delivery: null }, { replace: false })} />
      <span class="grow"></span>
      ${hook && changed && html`<${Button} onClick=${reset}>Discard changes</${Button}>`}
      ${hook && html`<${Button} kind="primary" disabled=${!changed || !mayEdit || !isMine || steps.some((step) => errorOf(step) !== null)} onClick=${() => setSaving(true)}>Save to the hook …</${Button}>`}
    </header>
    <${Hints} hook=${hook} isMine=${isMine} mayEdit=${mayEdit} delivery=${isSaved && !changed ? delivery : null} />
    <div class="bench">
      <${EventPane} hook=${hook?.id ?? null} stored=${source} error=${event.error} sample=${sample} delivery=${delivery}
        onChoose=${(/** @type {string | null} */ event, /** @type {string | null} */ delivery) => setQuery({ event, delivery })}
        onSample=${(/** @type {import("./source.js").Sample} */ next) => { lastSample = next; setSample(next); }} />
      <${PipelinePane} steps=${steps} run=${waiting ? null : result.run} plugins=${plugins.value ?? [{ name: "javascript", description: "" }]} single=${hook === null} mayEdit=${mayEdit}
        onChange=${change} onRun=${result.again} example=${() => example.current()} />
      <${RequestPane} result=${result} input=${dataOf(source, sample)} waiting=${waiting} onRun=${result.again} />
    </div>
    ${isSaving && hook && html`<${SaveDialog} hook=${hook} steps=${steps} mayCompare=${may("events:read")} onSaved=${saved} onClose=${() => setSaving(false)} />`}
  </div>`;
}

/** @param {string} key @param {LoadedHook | null} hook @param {EditedStep[]} stored @param {string | null} plugin */
function firstSteps(key, hook, stored, plugin) {
  const draft = drafts.get(key);
  if (hook) return draft ?? stored;
  return draft && (!plugin || draft[0]?.plugin === plugin) ? draft : [newStep(plugin ?? "javascript")];
}

/**
 * @param {{steps: EditedStep[], hook: LoadedHook | null, sample: import("./source.js").Sample | null, isLoaded: boolean, data?: string}} given
 * @returns {string | null} null if it runs
 */
function whyNothingRuns({ steps, hook, sample, isLoaded, data }) {
  if (!isLoaded) return "Loading the event …";
  if (sample && errorOfSample(sample)) return errorOfSample(sample);
  if (data === "null") return "The event has no data: its content may have been erased.";
  if (steps.length === 0 && hook === null) return "Add a step to run.";
  const bad = steps.findIndex((step) => errorOf(step) !== null);
  return bad < 0 ? null : `Step ${bad + 1}: ${errorOf(steps[bad])}`;
}

/** @param {{hook: LoadedHook | null, isMine: boolean, mayEdit: boolean, delivery: string | null}} props */
function Hints({ hook, isMine, mayEdit, delivery }) {
  if (!hook) return null;
  const notes = [];
  if (!isMine) notes.push(html`<${Notice} tone="warn">This hook was made through the API <code>${hook.surface}</code>, and is changed there. You can try things here, but not save them.</${Notice}>`);
  if (!mayEdit) notes.push(html`<${Notice}>Your key may read hooks, and not change them: the pipeline is shown as it is.</${Notice}>`);
  if (hook.isBatch) notes.push(html`<${Notice}>This hook sends several events in one request. Here you see one event in a request of its own.</${Notice}>`);
  if (delivery && may("deliveries:write")) notes.push(html`<${RetryNotice} id=${delivery} />`);
  return notes.length > 0 && html`<div class="hints">${notes}</div>`;
}

/** Sends the delivery again, once the hook is mended. @param {{id: string}} props */
function RetryNotice({ id }) {
  const retry = async () => {
    await api.post(`/deliveries/${id}/retry`);
    toast("It is being sent again.", "good", { href: href(["deliveries", id]), label: "Look at the delivery" });
  };
  return html`<div class="notice quiet"><p>The hook has this pipeline. Send the delivery again?</p><${Button} small icon="retry" onClick=${retry}>Retry the delivery</${Button}></div>`;
}
