// Uploading a plugin: drop a file, see what the engine's check says.
import { html, useEffect, useId, useRef, useState } from "../../lib/html.js";
import { ApiError, isAborted, messageOf } from "../../lib/api.js";
import { bytes, plural } from "../../lib/format.js";
import { href } from "../../lib/router.js";
import { Button, Facts, Notice } from "../../ui/basics.js";
import { Dialog } from "../../ui/dialog.js";
import { Field } from "../../ui/forms.js";
import { nameOfFile, upload } from "./plugins.js";

/** The engine's limit. */
const MAX_BYTES = 32 * 1024 * 1024;

/** @param {{onFile: (file: File) => void, isFirst?: boolean, label?: string, hint?: string}} props */
export function DropZone({ onFile, isFirst = false, label = "Upload a plugin", hint = "A new name makes a new plugin, a known one a new version." }) {
  const [isOver, setOver] = useState(false);
  const input = useRef(/** @type {HTMLInputElement | null} */ (null));
  const id = useId();
  const take = (/** @type {FileList | null | undefined} */ files) => {
    if (files?.[0]) onFile(files[0]);
    if (input.current) input.current.value = "";
  };
  const over = (/** @type {DragEvent} */ event) => {
    event.preventDefault();
    setOver(true);
  };
  const drop = (/** @type {DragEvent} */ event) => {
    event.preventDefault();
    setOver(false);
    take(event.dataTransfer?.files);
  };
  return html`<div class=${isOver ? "drop over" : "drop"} onDragOver=${over} onDragLeave=${() => setOver(false)} onDrop=${drop}>
    <p>${isFirst ? "A plugin is a WebAssembly component that filters, maps or writes requests, in a sandbox. For most things a script in the playground is enough." : hint}</p>
    <label class="button" for=${id}>${label}</label><input class="sr" id=${id} type="file" accept=".wasm,application/wasm" ref=${input} onChange=${() => take(input.current?.files)} />
    <span class="muted">or drop a <code>.wasm</code> file here</span></div>`;
}

/** @typedef {Awaited<ReturnType<typeof upload>>} Uploaded */

/** @param {{file: File, name?: string, onDone: () => void, onClose: () => void}} props */
export function UploadDialog({ file, name: given, onDone, onClose }) {
  const [name, setName] = useState(given ?? nameOfFile(file.name));
  const [done, setDone] = useState(/** @type {Uploaded | null} */ (null));
  const [error, setError] = useState(/** @type {unknown} */ (null));
  const [busy, setBusy] = useState(false);
  const aborter = useRef(/** @type {AbortController | null} */ (null));
  useEffect(() => () => aborter.current?.abort(), []);
  const send = async (/** @type {boolean} */ force) => {
    aborter.current = new AbortController();
    setBusy(true);
    setError(null);
    try {
      setDone(await upload(name, file, { force, signal: aborter.current.signal }));
      onDone();
    } catch (failure) {
      if (!isAborted(failure)) setError(failure);
    } finally {
      setBusy(false);
    }
  };
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    send(false);
  };
  const atName = error instanceof ApiError && error.parameter === "name" ? messageOf(error) : null;
  const tooLarge = file.size > MAX_BYTES ? `The file has ${bytes(file.size)}; a plugin has at most 32 MiB.` : null;
  if (done) return html`<${Dialog} title="Uploaded" onClose=${onClose}><${Verdict} uploaded=${done} /><footer><${Button} kind="primary" onClick=${onClose}>Done</${Button}></footer></${Dialog}>`;
  return html`<${Dialog} title=${given ? `New version of ${given}` : "Upload a plugin"} onClose=${onClose}><form onSubmit=${submit}>
    <div class="body"><${Facts} items=${[["File", file.name], ["Size", bytes(file.size)]]} />
      ${!given && html`<${Field} label="Name" name="name" value=${name} onInput=${setName} error=${atName} mono required hint="1 to 64 of a–z, 0–9, -, _ and . Hooks name the plugin by it." />`}
      ${tooLarge && html`<p class="error">${tooLarge}</p>`}
      ${busy && html`<p role="status">Checking and compiling …</p><progress aria-label="Upload"></progress>`}
      ${error && !atName && html`<${Refusal} error=${error} onForce=${() => send(true)} />`}</div>
    <footer><${Button} onClick=${onClose}>${busy ? "Stop" : "Cancel"}</${Button}><${Button} type="submit" kind="primary" disabled=${busy || tooLarge !== null || name === ""}>Check and upload</${Button}></footer>
  </form></${Dialog}>`;
}

/** @param {{uploaded: Uploaded}} props */
function Verdict({ uploaded: { name, version, digest, roles, isNew, hooks, warnings } }) {
  return html`<div class="body">
    <${Notice} tone="good" title=${isNew ? `Version ${version} passed the check` : `Version ${version} has these bytes already`}>${isNew ? "" : "Nothing was changed."}</${Notice}>
    ${warnings.map((warning) => html`<${Notice} key=${warning} tone="warn">${warning}</${Notice}>`)}
    <${Facts} items=${[["Name", html`<code>${name}</code>`], ["Roles", roles.join(", ")], ["Digest", html`<code>${digest}</code>`]]} />
    <p>${hooks.count === 0 ? "No hook runs it yet: add it to the pipeline of one." : `${plural(hooks.count, "hook")} that ${hooks.count === 1 ? "names" : "name"} it without a version ${hooks.count === 1 ? "runs" : "run"} it from now on.`}
    ${" "}<a href=${href(["playground"], { plugin: name })}>Try it in the playground</a></p></div>`;
}

/** @param {{error: unknown, onForce: () => void}} props */
function Refusal({ error, onForce }) {
  const problem = error instanceof ApiError ? error : null;
  const isAboutSettings = problem?.status === 409 && /settings/.test(problem.message);
  return html`<${Notice} tone="bad" title=${problem?.problem.title ?? "Not uploaded"}>${messageOf(error)}</${Notice}>
    ${isAboutSettings && html`<p>Deliveries of these hooks would fail until their settings are changed. <${Button} small kind="danger" onClick=${onForce}>Upload it anyway</${Button}></p>`}`;
}
