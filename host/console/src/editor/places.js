// Where in an editor's text something is: a line and column of a script, or a JSON pointer.
import { ensureSyntaxTree, syntaxTree } from "@codemirror/language";

/** @typedef {import("@codemirror/state").EditorState} EditorState */
/** @typedef {import("@lezer/common").SyntaxNode} SyntaxNode */

/**
 * @typedef {object} Mark an error to underline
 * @property {string} message
 * @property {"error" | "warning"} [severity]
 * @property {number} [line] counted from 1
 * @property {number} [column] counted from 1, in code points
 * @property {string} [pointer] a JSON pointer
 */

/** @typedef {{from: number, to: number}} Range */

/** @param {EditorState} state @param {Mark} mark @returns {Range} the whole first line if it has no place */
export function rangeOf(state, mark) {
  if (mark.line !== undefined) return rangeAt(state, mark.line, mark.column);
  if (mark.pointer !== undefined) return pointerRange(state, mark.pointer);
  return { from: 0, to: state.doc.line(1).to };
}

/** @param {EditorState} state @param {number} number @param {number} [column] */
function rangeAt(state, number, column) {
  const line = state.doc.line(Math.max(1, Math.min(number, state.doc.lines)));
  const indent = line.text.length - line.text.trimStart().length;
  if (column === undefined) return { from: line.from + indent, to: line.to };
  // The engine counts characters, and a text of JavaScript has two units for some of them.
  const units = [...line.text].slice(0, column - 1).join("").length;
  const from = Math.min(line.from + units, line.to);
  const rest = line.text.slice(from - line.from);
  const word = /^[\w$]+/.exec(rest)?.[0].length ?? Math.min(1, rest.length);
  return word > 0 ? { from, to: from + word } : { from: line.from + indent, to: line.to };
}

/** @param {EditorState} state @param {string} pointer RFC 6901; the nearest value above it if there is none */
export function pointerRange(state, pointer) {
  const tree = ensureSyntaxTree(state, state.doc.length, 200) ?? syntaxTree(state);
  let here = valueOf(tree.topNode);
  /** @type {Range} */
  let range = here ? { from: here.from, to: here.to } : { from: 0, to: state.doc.line(1).to };
  for (const part of pointer.split("/").slice(1).map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"))) {
    const next = here && child(state, here, part);
    if (!next) break;
    here = next.value;
    range = next.range;
  }
  return range;
}

const VALUES = new Set(["Object", "Array", "String", "Number", "True", "False", "Null"]);

/** @param {SyntaxNode} node @returns {SyntaxNode | null} the first value below it */
function valueOf(node) {
  for (let it = node.firstChild; it; it = it.nextSibling) if (VALUES.has(it.name)) return it;
  return null;
}

/**
 * @param {EditorState} state @param {SyntaxNode} parent @param {string} part
 * @returns {{value: SyntaxNode | null, range: Range} | null}
 */
function child(state, parent, part) {
  if (parent.name === "Array") {
    let index = 0;
    for (let it = parent.firstChild; it; it = it.nextSibling) {
      if (!VALUES.has(it.name)) continue;
      if (String(index) === part) return { value: it, range: { from: it.from, to: it.to } };
      index += 1;
    }
    return null;
  }
  for (let it = parent.firstChild; it; it = it.nextSibling) {
    const name = it.name === "Property" ? it.getChild("PropertyName") : null;
    if (name && nameOf(state.sliceDoc(name.from, name.to)) === part) {
      const value = valueOf(it);
      // An unknown member is underlined at its name, a wrong value at the value.
      return { value, range: value && !["Object", "Array"].includes(value.name) ? { from: name.from, to: value.to } : { from: name.from, to: name.to } };
    }
  }
  return null;
}

/** @param {string} text a JSON string */
function nameOf(text) {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
