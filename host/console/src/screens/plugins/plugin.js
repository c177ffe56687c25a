// One plugin: its versions, who runs them, and what can be done with them.
import { html } from "../../lib/html.js";
import { api, may } from "../../lib/api.js";
import { bytes, plural } from "../../lib/format.js";
import { href, navigate } from "../../lib/router.js";
import { Button, Copy, Empty, Facts, Failure, Loading, Tag, Time, useLoad } from "../../ui/basics.js";
import { confirm } from "../../ui/dialog.js";
import { toast } from "../../ui/toast.js";
import { Measures } from "./measures.js";
import { STANDARD, download, loadVersions, upload, usesOf } from "./plugins.js";
import { DropZone } from "./upload.js";

/** @typedef {import("./plugins.js").Version} Version */
/** @typedef {import("./plugins.js").Hook} Hook */

/** @param {{name: string, known?: Version, hooks: Hook[], onFile: (file: File) => void, onChange: () => void}} props */
export function Plugin({ name, known, hooks, onFile, onChange }) {
  const { value: versions, error, loading, reload } = useLoad((signal) => loadVersions(name, signal), [known?.digest]);
  if (error && !versions) {
    return html`<${Empty} title="There is no such plugin" action=${html`<a class="button" href=${href(["plugins"])}>All plugins</a>`}>It may have been deleted.</${Empty}>`;
  }
  if (!versions && loading) return html`<${Loading} />`;
  const [newest] = versions ?? [];
  const mayChange = may("plugins:write") && !newest.standard;
  const uses = usesOf(hooks, newest, "any");
  const changed = () => {
    onChange();
    reload();
  };
  return html`<div class="page"><nav aria-label="Up"><a href=${href(["plugins"])}>Plugins</a></nav>
    <header class="page-head"><h1><code>${name}</code></h1>
      <a class="button" href=${href(["playground"], { plugin: name })}>Try it</a>
      ${mayChange && html`<${Button} kind="danger" icon="trash" onClick=${() => remove(name, uses, changed)}>Delete</${Button}>`}</header>
    ${error && html`<${Failure} error=${error} />`}
    ${newest.standard && html`<p>${STANDARD[name] ?? ""} It is part of the engine, and changes only with it.</p>`}
    <${Facts} items=${[["Roles", newest.roles.join(", ")], ["Newest version", newest.standard ? null : String(newest.version)], ["Size", bytes(newest.size_bytes)], ["Uploaded", newest.created_at && html`<${Time} value=${newest.created_at} />`]]} />
    <section class="section" aria-labelledby="plugin-versions"><h2 id="plugin-versions">${newest.standard ? "Digest" : "Versions"}</h2>
      <${Versions} versions=${versions ?? []} hooks=${hooks} mayChange=${mayChange} onChange=${changed} />
      ${mayChange && html`<${DropZone} onFile=${onFile} label="Upload a version" hint="Hooks that name the plugin without a version run the newest. The engine checks their settings first." />`}</section>
    <section class="section" aria-labelledby="plugin-uses"><h2 id="plugin-uses">Used by</h2><${Uses} uses=${uses} /></section>
    ${uses.length > 0 && html`<${Measures} name=${name} hooks=${uses.map((use) => use.id)} />`}
    <section class="section"><details><summary>What it imports</summary><ul>${newest.imports.map((it) => html`<li key=${it}><code>${it}</code></li>`)}</ul></details></section>
  </div>`;
}

/** @param {{versions: Version[], hooks: Hook[], mayChange: boolean, onChange: () => void}} props */
function Versions({ versions, hooks, mayChange, onChange }) {
  if (versions[0]?.standard) return html`<p><code>${versions[0].digest}</code><${Copy} text=${versions[0].digest} label="Copy the digest" /></p>`;
  return html`<div class="scroll-x" tabindex="0" role="region" aria-label="Table of versions"><table class="grid-table plugins-table"><thead><tr><th scope="col">Version</th><th scope="col">Digest</th><th scope="col">Used by</th><th scope="col" class="num less">Size</th><th scope="col" class="less">Uploaded</th><th scope="col"><span class="sr">Actions</span></th></tr></thead>
    <tbody>${versions.map((version, index) => {
      const isNewest = index === 0;
      const uses = usesOf(hooks, version, "this", isNewest);
      return html`<tr key=${version.version}><td class="nowrap">${version.version} ${isNewest && html`<${Tag} tone="good">current</${Tag}>`}</td>
        <td class="nowrap"><code title=${version.digest}>${version.digest.slice(7, 19)}…</code><${Copy} text=${version.digest} label=${`Copy the digest of version ${version.version}`} /></td>
        <td>${uses.length === 0 ? html`<span class="muted">no hook</span>` : plural(uses.length, "hook")}</td>
        <td class="num nowrap less">${bytes(version.size_bytes)}</td><td class="nowrap less"><${Time} value=${version.created_at} /></td>
        <td><div class="actions">${mayChange && !isNewest && html`<${Button} small icon="back" onClick=${() => makeCurrent(version, versions[0], onChange)}>Make current</${Button}>
          <${Button} small kind="quiet" icon="trash" label=${`Delete version ${version.version}`} onClick=${() => removeVersion(version, onChange)} />`}</div></td></tr>`;
    })}</tbody></table></div>`;
}

/** @param {{uses: import("./plugins.js").Use[]}} props */
function Uses({ uses }) {
  if (uses.length === 0) return html`<p class="muted">No hook runs it. Add it to a pipeline in the <a href=${href(["playground"])}>playground</a>.</p>`;
  return html`<ul class="choices">${uses.map((use) => html`<li key=${use.id}><a class="choice" href=${href(["hooks", use.id])}><strong>${use.name}</strong><code class="muted">${use.reference}</code></a></li>`)}</ul>`;
}

/** Uploads an old version's bytes again, which makes them the newest. @param {Version} version @param {Version} newest @param {() => void} onChange */
async function makeCurrent(version, newest, onChange) {
  const question = {
    title: `Make version ${version.version} current?`,
    text: `Its bytes are uploaded again, as version ${newest.version + 1}. Hooks that name the plugin without a version run them from then on. Version ${newest.version} stays, so you can go back to it.`,
    action: "Make it current",
  };
  if (!(await confirm(question))) return;
  const made = await upload(version.name, await download(version.name, version.version));
  toast(`Version ${made.version} is current.`);
  onChange();
}

/** @param {Version} version @param {() => void} onChange */
async function removeVersion({ name, version }, onChange) {
  const question = { title: `Delete version ${version}?`, text: "It cannot be undone. A version that a hook uses is not deleted.", action: "Delete", danger: true };
  if (!(await confirm(question))) return;
  await api.delete(`/plugins/${encodeURIComponent(name)}`, { query: { version } });
  toast(`Version ${version} is deleted.`);
  onChange();
}

/** @param {string} name @param {import("./plugins.js").Use[]} uses @param {() => void} onChange */
async function remove(name, uses, onChange) {
  const text = uses.length > 0
    ? `${plural(uses.length, "hook")} ${uses.length === 1 ? "uses" : "use"} it, so the engine refuses this until their pipelines are changed.`
    : "All its versions are deleted. It cannot be undone.";
  if (!(await confirm({ title: `Delete ${name}?`, text, action: "Delete", danger: true, type: name }))) return;
  await api.delete(`/plugins/${encodeURIComponent(name)}`);
  toast(`${name} is deleted.`);
  onChange();
  navigate(href(["plugins"]));
}
