// The editor for scripts and JSON. It is a bundle of its own, which is loaded when a screen needs it.
import { autocompletion, closeBrackets, closeBracketsKeymap, completionKeymap } from "@codemirror/autocomplete";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import { javascript } from "@codemirror/lang-javascript";
import { json, jsonParseLinter } from "@codemirror/lang-json";
import { bracketMatching, indentOnInput } from "@codemirror/language";
import { lintKeymap, setDiagnostics } from "@codemirror/lint";
import { Compartment, EditorState } from "@codemirror/state";
import { EditorView, drawSelection, highlightActiveLine, highlightSpecialChars, keymap, lineNumbers, placeholder } from "@codemirror/view";
import { ofExample, ofScript } from "./complete.js";
import { rangeOf } from "./places.js";
import { look } from "./theme.js";

/** @typedef {import("./places.js").Mark} Mark */

/**
 * @typedef {object} EditorOptions
 * @property {Element} parent
 * @property {string} text
 * @property {"javascript" | "json"} language
 * @property {string} label what it is, for people who do not see it
 * @property {string} [hint] shown while it is empty
 * @property {boolean} [readOnly]
 * @property {(text: string) => void} onChange
 * @property {() => void} [onRun] Ctrl or Command and Enter
 * @property {() => import("./complete.js").Example} [example] for completion of scripts
 */

/** The nonce that allows the editor to add its styles. */
const nonce = () => document.querySelector('meta[name="csp-nonce"]')?.getAttribute("content") ?? "";

/**
 * Replaces a selection by what is typed. Left to itself, Chromium keeps the look of what it replaces by a style
 * attribute, which the content security policy refuses.
 */
const replaceSelection = EditorView.domEventHandlers({
  beforeinput(event, view) {
    const { main } = view.state.selection;
    if (event.inputType !== "insertText" || !event.data || main.empty || view.composing || view.state.readOnly) return false;
    const text = event.data;
    const insert = () => view.state.update(view.state.replaceSelection(text), { userEvent: "input.type", scrollIntoView: true });
    const isHandled = view.state.facet(EditorView.inputHandler).some((handle) => handle(view, main.from, main.to, text, insert));
    if (!isHandled) view.dispatch(insert());
    return true;
  },
});

/** @param {EditorOptions} options */
function extensions({ language, label, hint = "", readOnly = false, onChange, onRun, example }, /** @type {Compartment} */ writable) {
  const run = () => {
    onRun?.();
    return true;
  };
  const sources = example ? [ofExample(example), ofScript] : [];
  return [
    EditorView.cspNonce.of(nonce()),
    replaceSelection,
    look,
    lineNumbers(), highlightSpecialChars(), drawSelection(), highlightActiveLine(),
    history(), indentOnInput(), bracketMatching(), closeBrackets(),
    EditorView.lineWrapping,
    language === "json" ? json() : javascript(),
    autocompletion({ override: sources, activateOnTyping: language === "javascript" }),
    keymap.of([
      { key: "Mod-Enter", run, preventDefault: true },
      ...closeBracketsKeymap, ...completionKeymap, ...historyKeymap, ...lintKeymap, ...defaultKeymap,
      // Escape, then Tab leaves the editor: CodeMirror lets the first Tab after Escape go.
      indentWithTab,
    ]),
    placeholder(hint),
    writable.of(EditorState.readOnly.of(readOnly)),
    EditorState.tabSize.of(2),
    EditorView.contentAttributes.of({ "aria-label": label, "aria-description": "Escape, then Tab leaves the editor.", spellcheck: "false" }),
    EditorView.updateListener.of((update) => {
      if (update.docChanged) onChange(update.state.doc.toString());
    }),
  ];
}

/** @param {EditorOptions} options */
export function createEditor(options) {
  const writable = new Compartment();
  const state = EditorState.create({ doc: options.text, extensions: extensions(options, writable) });
  const view = new EditorView({ state, parent: options.parent });
  return {
    view,
    /** Underlines errors, and where the text is not JSON. @param {Mark[]} marks */
    setMarks(marks) {
      const syntax = options.language === "json" ? jsonParseLinter()(view) : [];
      const diagnostics = marks.map((mark) => ({ ...rangeOf(view.state, mark), severity: mark.severity ?? /** @type {const} */ ("error"), message: mark.message }));
      view.dispatch(setDiagnostics(view.state, [...syntax, ...diagnostics]));
    },
    /** @param {boolean} readOnly */
    setReadOnly(readOnly) {
      view.dispatch({ effects: writable.reconfigure(EditorState.readOnly.of(readOnly)) });
    },
    /** Shows a place, and puts the cursor there. @param {Mark} mark */
    reveal(mark) {
      const { from } = rangeOf(view.state, mark);
      view.dispatch({ selection: { anchor: from }, effects: EditorView.scrollIntoView(from, { y: "center" }) });
      view.focus();
    },
    destroy: () => view.destroy(),
  };
}
