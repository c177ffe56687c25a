// Hooks: the list, and the pages of one hook.
import { html, useEffect, useMemo, useState } from "../../lib/html.js";
import { may } from "../../lib/api.js";
import { percent, plural, shortUrl } from "../../lib/format.js";
import { hooks, hooksError, loadHooks, needHooks } from "../../lib/hooks.js";
import { useKey } from "../../lib/keys.js";
import { href, navigate, route } from "../../lib/router.js";
import { needStats, statsByHook } from "../../lib/stats.js";
import { HOOK_STATE_WORDS } from "../../lib/why.js";
import { Empty, Failure, Loading, State, Tag } from "../../ui/basics.js";
import { Spark } from "../../ui/charts.js";
import { Icon } from "../../ui/icons.js";
import { Fixed } from "../../lib/pages.js";
import { List } from "../../ui/list.js";
import { EditHook, NewHook } from "./edit.js";
import { HookPage } from "./page.js";

/** @typedef {import("../../lib/types.js").Hook} Hook */

export default function Hooks() {
  useEffect(needHooks, []);
  const [, id, what] = route.value.path;
  if (id === "new") return html`<${NewHook} />`;
  if (id && what === "edit") return html`<${EditHook} key=${id} id=${id} />`;
  return id ? html`<${HookPage} key=${id} id=${id} />` : html`<${HookList} />`;
}

const COLUMNS = [
  { name: "State", class: "c-hook-state" }, { name: "Hook" }, { name: "Types", class: "medium c-medium" }, { name: "Pipeline", class: "wide c-medium" },
  { name: "Last 24 hours", class: "medium c-spark" }, { name: "Success", class: "num c-short" },
];
const open = (/** @type {Hook} */ hook) => href(["hooks", hook.id]);

function HookList() {
  const [text, setText] = useState("");
  const [state, setState] = useState("");
  const all = [...(hooks.value?.values() ?? [])];
  const words = text.toLowerCase();
  const found = all.filter((hook) => (!state || hook.state.name === state) && [hook.url, hook.description, hook.id, ...hook.types].some((part) => part?.toLowerCase().includes(words)));
  const pages = useMemo(() => new Fixed((/** @type {Hook} */ hook) => hook.id), []);
  pages.items.value = found;
  useEffect(() => {
    void loadHooks();
    const timer = setInterval(() => !document.hidden && loadHooks(), 5000);
    return () => clearInterval(timer);
  }, []);
  useKey("n", "Create a hook", may("hooks:write") ? () => navigate(href(["hooks", "new"])) : null);
  const states = Object.entries(HOOK_STATE_WORDS).map(([name, label]) => ({ name, label, count: all.filter((hook) => hook.state.name === name).length })).filter(({ count }) => count > 0);
  const create = may("hooks:write") && html`<a class="button primary" href=${href(["hooks", "new"])}><${Icon} name="plus" /><span>Create a hook</span></a>`;
  if (!hooks.value) return hooksError.value ? html`<${Failure} error=${hooksError.value} retry=${loadHooks} />` : html`<${Loading} />`;
  if (all.length === 0) {
    return html`<${Empty} title="No hooks yet" action=${create}>A hook says where events of some types are sent, and in what shape. Create one, then send it a test from its page.</${Empty}>`;
  }
  return html`<div class="split"><header class="toolbar"><div class="page-head"><h1>Hooks</h1>${create}</div>
      <div class="filters"><form role="search" onSubmit=${(/** @type {Event} */ event) => event.preventDefault()}><input type="search" data-search="" aria-label="Search hooks" aria-keyshortcuts="/" placeholder="URL, description, type or id" value=${text} onInput=${(/** @type {any} */ event) => setText(event.target.value)} /></form>
        <div class="chips" role="group" aria-label="States">${states.map(({ name, label, count }) => html`<button key=${name} type="button" class="chip" aria-pressed=${String(state === name)} onClick=${() => setState(state === name ? "" : name)}>${label} <span>${count}</span></button>`)}</div></div></header>
    <div class="panes"><section class="list-box" aria-label="List of hooks"><${List} pages=${pages} columns=${COLUMNS} row=${(/** @type {Hook} */ hook) => html`<${Row} hook=${hook} />`} open=${open} label="Hooks"
      empty=${html`<${Empty} title="No hook matches">Search for a part of its URL, description or types.</${Empty}>`} /></section></div></div>`;
}

/** @param {{hook: Hook}} props */
function Row({ hook }) {
  useEffect(() => needStats(hook.id), [hook.id]);
  const stats = statsByHook.value.get(hook.id);
  return html`<td><${State} value=${hook.state.name} label=${HOOK_STATE_WORDS[hook.state.name]} /></td>
    <td><a class="truncate" href=${open(hook)}>${hook.description || shortUrl(hook.url ?? hook.id)}</a>${hook.description && html`<span class="muted truncate below">${shortUrl(hook.url ?? "")}</span>`}</td>
    <td class="medium muted"><code>${hook.types.join(", ")}</code></td>
    <td class="wide">${hook.pipeline.length > 0 ? html`<${Tag}>${hook.pipeline.length === 1 ? hook.pipeline[0].plugin : plural(hook.pipeline.length, "step")}</${Tag}>` : html`<span class="muted">–</span>`}</td>
    <td class="medium">${stats && html`<${Spark} stats=${stats} />`}</td>
    <td class="num">${stats ? percent(stats.total.success_rate) : ""}</td>`;
}
