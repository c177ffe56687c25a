// Completion of scripts: the example's data behind a dot, the script's own names, and a few beginnings.
import { snippetCompletion } from "@codemirror/autocomplete";
import { localCompletionSource } from "@codemirror/lang-javascript";
import { syntaxTree } from "@codemirror/language";
import { METHODS, isIdentifier, membersAt } from "./shape.js";

/** @typedef {import("@codemirror/autocomplete").Completion} Completion */
/** @typedef {import("@codemirror/autocomplete").CompletionContext} CompletionContext */
/** @typedef {import("@codemirror/autocomplete").CompletionResult} CompletionResult */

/**
 * @typedef {object} Example
 * @property {Record<string, unknown>} scope
 * @property {(path: (string | number)[]) => string | null} textAt the JSON text at a place of the scope
 */

/** Longer values are cut in the list. */
const MAX_SHOWN = 200;

const BEGINNINGS = [
  snippetCompletion("return null;${}", { label: "return null", detail: "drop the delivery", type: "keyword" }),
  snippetCompletion("return { body: ${} };", { label: "return { body }", detail: "send another body", type: "keyword" }),
  snippetCompletion("request.headers['x-${name}'] = ${};", { label: "request.headers[…]", detail: "set a header", type: "keyword" }),
  snippetCompletion("console.log(${});", { label: "console.log", detail: "write to the log", type: "function" }),
  snippetCompletion("if (event.type !== '${type}') return null;${}", { label: "if (event.type …)", detail: "drop other types", type: "keyword" }),
];

const NAMES = [
  { label: "event", detail: "id, type, occurredAt, attributes, data", type: "variable", boost: 2 },
  { label: "request", detail: "method, url, headers, body", type: "variable", boost: 1 },
];

/** @param {() => Example} example @returns {(context: CompletionContext) => CompletionResult | null} */
export const ofExample = (example) => (context) => {
  const inside = syntaxTree(context.state).resolveInner(context.pos, -1).name;
  if (/Comment|^String$|RegExp/.test(inside)) return null;
  const before = context.state.sliceDoc(0, context.pos);
  const { scope, textAt } = example();
  const found = membersAt(before, scope);
  if (!found) return atBeginning(context);
  const kind = Array.isArray(found.value) ? "array" : typeof found.value;
  const methods = METHODS[/** @type {keyof typeof METHODS} */ (kind)] ?? [];
  /** @type {Completion[]} */
  const options = found.members.map(({ name, type, path }, index) => ({
    // In the order of the data.
    label: name, detail: type, type: "property", boost: Math.max(10, 99 - index),
    info: () => infoOf(textAt(path)),
    apply: isIdentifier(name) ? undefined : byBrackets(name),
  }));
  for (const label of methods) options.push({ label, type: label === "length" ? "property" : "method" });
  return { from: context.pos - found.typed, options, validFor: /^[\w$-]*$/ };
};

/** @param {CompletionContext} context @returns {CompletionResult | null} */
function atBeginning(context) {
  const word = context.matchBefore(/[\w$]+$/);
  if (!word && !context.explicit) return null;
  if (word && /\.\s*$/.test(context.state.sliceDoc(0, word.from))) return null;
  const line = context.state.doc.lineAt(context.pos);
  const isFirst = line.text.slice(0, (word?.from ?? context.pos) - line.from).trim() === "";
  return { from: word?.from ?? context.pos, options: [...NAMES, ...(isFirst ? BEGINNINGS : [])], validFor: /^[\w$]*$/ };
}

/** @param {string} name @returns {Completion["apply"]} `.` becomes `["name"]` */
const byBrackets = (name) => (view, _completion, from, to) => {
  const start = from > 0 && view.state.sliceDoc(from - 1, from) === "." ? from - 1 : from;
  const insert = `[${JSON.stringify(name)}]`;
  view.dispatch({ changes: { from: start, to, insert }, selection: { anchor: start + insert.length } });
};

/** @param {string | null} text */
function infoOf(text) {
  if (text === null) return null;
  const shown = document.createElement("code");
  shown.textContent = text.length > MAX_SHOWN ? `${text.slice(0, MAX_SHOWN)}…` : text;
  return shown;
}

/** @param {CompletionContext} context */
export const ofScript = (context) => (/\.[\w$]*$/.test(context.state.sliceDoc(0, context.pos)) ? null : localCompletionSource(context));
