// The plugins of a tenant, and those that come with the engine.
import { html, useState } from "../../lib/html.js";
import { may } from "../../lib/api.js";
import { bytes, plural } from "../../lib/format.js";
import { href, route } from "../../lib/router.js";
import { Failure, Loading, Tag, Time, useLoad } from "../../ui/basics.js";
import { Plugin } from "./plugin.js";
import { STANDARD, loadPlugins, usesOf } from "./plugins.js";
import { DropZone, UploadDialog } from "./upload.js";

/** @typedef {import("./plugins.js").Version} Version */

export default function Plugins() {
  const [, name] = route.value.path;
  const { value, error, loading, reload } = useLoad(loadPlugins, []);
  const [file, setFile] = useState(/** @type {File | null} */ (null));
  if (error && !value) return html`<div class="page"><${Failure} error=${error} retry=${reload} /></div>`;
  if (!value && loading) return html`<${Loading} />`;
  const { plugins = [], hooks = [] } = value ?? {};
  const mayUpload = may("plugins:write");
  const dialog = file && html`<${UploadDialog} file=${file} name=${name} onDone=${reload} onClose=${() => setFile(null)} />`;
  if (name) {
    const found = plugins.find((plugin) => plugin.name === name);
    return html`<${Plugin} key=${name} name=${name} known=${found} hooks=${hooks} onFile=${setFile} onChange=${reload} />${dialog}`;
  }
  const own = plugins.filter((plugin) => !plugin.standard);
  const standard = plugins.filter((plugin) => plugin.standard);
  return html`<div class="page"><header class="page-head"><h1>Plugins</h1>
      <a class="button" href=${href(["playground"])}>Open the playground</a></header>
    <section class="section" aria-labelledby="own-plugins"><h2 id="own-plugins">Yours</h2>
      ${own.length > 0 && html`<${Table} label="Your plugins" plugins=${own} hooks=${hooks} />`}
      ${mayUpload ? html`<${DropZone} onFile=${setFile} isFirst=${own.length === 0} />` : own.length === 0 && html`<p class="muted">There are none, and your key may not upload any.</p>`}
    </section>
    <section class="section" aria-labelledby="standard-plugins"><h2 id="standard-plugins">Part of the engine</h2>
      <${Table} label="Standard plugins" plugins=${standard} hooks=${hooks} /></section>
    ${dialog}</div>`;
}

/** @param {{label: string, plugins: Version[], hooks: import("./plugins.js").Hook[]}} props */
function Table({ label, plugins, hooks }) {
  const isOwn = !plugins[0]?.standard;
  return html`<div class="scroll-x" tabindex="0" role="region" aria-label=${label}><table class="grid-table plugins-table"><thead><tr>
      <th scope="col">Name</th><th scope="col" class="less">Roles</th><th scope="col">Used by</th>${isOwn && html`<th scope="col" class="num">Version</th>`}
      <th scope="col" class="num less">Size</th>${isOwn && html`<th scope="col">Uploaded</th>`}</tr></thead>
    <tbody>${plugins.map((plugin) => html`<${Row} key=${plugin.name} plugin=${plugin} uses=${usesOf(hooks, plugin, "any").length} />`)}</tbody></table></div>`;
}

/** @param {{plugin: Version, uses: number}} props */
function Row({ plugin, uses }) {
  const to = href(["plugins", plugin.name]);
  return html`<tr data-open=${to}><td><a href=${to}><code>${plugin.name}</code></a>${plugin.standard && STANDARD[plugin.name] && html`<p class="muted">${STANDARD[plugin.name]}</p>`}</td>
    <td class="less"><span class="chips">${plugin.roles.map((role) => html`<${Tag} key=${role}>${role}</${Tag}>`)}</span></td>
    <td class="nowrap">${uses === 0 ? html`<span class="muted">no hook</span>` : plural(uses, "hook")}</td>
    ${!plugin.standard && html`<td class="num">${plugin.version}</td>`}<td class="num nowrap less">${bytes(plugin.size_bytes)}</td>
    ${!plugin.standard && html`<td class="nowrap"><${Time} value=${plugin.created_at} /></td>`}</tr>`;
}
