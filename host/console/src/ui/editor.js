// The editor as a component. Until its code is loaded, a text area takes its place.
import { html, useEffect, useRef, useState } from "../lib/html.js";

/** @typedef {import("../editor/places.js").Mark} Mark */
/** @typedef {ReturnType<typeof import("../editor/editor.js").createEditor>} EditorHandle */

/** @type {Promise<typeof import("../editor/editor.js")> | null} */
let loaded = null;

/** Loads the editor's code, once. A failed attempt is repeated by the next call. */
function load() {
  loaded ??= import("../editor/editor.js").catch((error) => {
    loaded = null;
    throw error;
  });
  return loaded;
}

/**
 * `text` is what it begins with: afterwards the editor's own text counts, so that nothing that is typed quickly is
 * overwritten. Another `key` makes it begin anew.
 * @param {{text: string, language: "javascript" | "json", label: string, hint?: string, readOnly?: boolean, marks?: Mark[], onChange: (text: string) => void, onRun?: () => void, example?: () => import("../editor/complete.js").Example, handle?: {current: EditorHandle | null}}} props
 */
export function Editor({ text, language, label, hint, readOnly = false, marks = [], onChange, onRun, example, handle }) {
  const place = useRef(/** @type {HTMLDivElement | null} */ (null));
  const editor = useRef(/** @type {EditorHandle | null} */ (null));
  const latest = useRef({ text, onChange, onRun, example, marks });
  latest.current = { text, onChange, onRun, example, marks };
  const [state, setState] = useState(/** @type {"loading" | "ready" | "failed"} */ ("loading"));
  useEffect(() => {
    let isGone = false;
    load().then(({ createEditor }) => {
      if (isGone || !place.current) return;
      const now = () => latest.current;
      editor.current = createEditor({
        parent: place.current, text: now().text, language, label, hint, readOnly,
        onChange: (text) => now().onChange(text),
        onRun: () => now().onRun?.(),
        example: example && (() => now().example?.() ?? { scope: {}, textAt: () => null }),
      });
      if (handle) handle.current = editor.current;
      editor.current.setMarks(now().marks);
      setState("ready");
    }, () => !isGone && setState("failed"));
    return () => {
      isGone = true;
      editor.current?.destroy();
      editor.current = null;
      if (handle) handle.current = null;
    };
  }, [language]);
  useEffect(() => editor.current?.setReadOnly(readOnly), [readOnly]);
  const markText = JSON.stringify(marks);
  useEffect(() => editor.current?.setMarks(marks), [markText, state, language === "json" ? text : ""]);
  return html`<div class="editor" ref=${place} data-language=${language} onKeyDown=${keepEscape}>
    ${state !== "ready" && html`<textarea class="mono" aria-label=${label} spellcheck=${false} readonly=${readOnly} rows=${Math.min(20, text.split("\n").length + 1)}
      value=${text} onInput=${(/** @type {any} */ event) => onChange(event.target.value)}></textarea>`}
    ${state === "failed" && html`<p class="muted">The editor could not be loaded; this is a plain text field.</p>`}</div>`;
}

/** Escape stays in the editor, which lets the next Tab go. @param {KeyboardEvent} event */
function keepEscape(event) {
  if (event.key === "Escape" && event.target instanceof HTMLElement && event.target.isContentEditable) event.stopPropagation();
}
