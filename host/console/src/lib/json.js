// JSON without loss: values are shown and sent as text, so that no digit of a large number is changed by
// a conversion to JavaScript's numbers.

/** JSON text that {@link stringify} writes as it is. */
export class Raw {
  /** @param {string} text valid JSON */
  constructor(text) {
    this.text = text;
  }
}

/**
 * As `JSON.stringify`, with {@link Raw} parts.
 * @param {unknown} value @returns {string}
 */
export function stringify(value) {
  if (value instanceof Raw) return value.text;
  if (Array.isArray(value)) return `[${value.map((item) => stringify(item === undefined ? null : item)).join(",")}]`;
  if (value !== null && typeof value === "object") {
    const members = Object.entries(value).filter(([, item]) => item !== undefined);
    return `{${members.map(([name, item]) => `${JSON.stringify(name)}:${stringify(item)}`).join(",")}}`;
  }
  return JSON.stringify(value);
}

/**
 * @typedef {object} Token
 * @property {"punctuation" | "string" | "number" | "word" | "space" | "other"} kind
 * @property {string} text
 * @property {number} at
 */

const TOKEN = /([{}[\],:])|("(?:[^"\\]|\\[\s\S])*"?)|(-?\d[\d.eE+-]*)|(true|false|null)|(\s+)|([\s\S])/g;
/** @type {Token["kind"][]} */
const KINDS = ["punctuation", "string", "number", "word", "space", "other"];

/** @param {string} text @returns {Generator<Token>} */
export function* tokens(text) {
  for (const match of text.matchAll(TOKEN)) {
    const group = match.slice(1).findIndex((part) => part !== undefined);
    yield { kind: KINDS[group], text: match[0], at: match.index };
  }
}

/** @param {string} text @returns {boolean} whether this is JSON */
export function isJson(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/**
 * The text with line breaks and indentation, and every number and string as it was. Text that is not JSON is
 * returned as it is.
 * @param {string} text
 */
export function pretty(text) {
  return isJson(text) ? prettyTokens(text).map((token) => token.text).join("") : text;
}

/** @param {string} text valid JSON @returns {Token[]} its tokens with new white space */
export function prettyTokens(text) {
  /** @type {Token[]} */
  const made = [];
  const given = [...tokens(text)].filter((token) => token.kind !== "space");
  let depth = 0;
  const space = (/** @type {string} */ text) => made.push({ kind: "space", text, at: -1 });
  const line = () => space(`\n${"  ".repeat(depth)}`);
  given.forEach((token, index) => {
    const next = given[index + 1]?.text;
    if (token.text === "}" || token.text === "]") {
      const isEmpty = ["{", "["].includes(given[index - 1]?.text);
      depth -= 1;
      if (!isEmpty) line();
      made.push(token);
    } else if (token.text === "{" || token.text === "[") {
      made.push(token);
      depth += 1;
      if (next !== "}" && next !== "]") line();
    } else {
      made.push(token);
      if (token.text === ",") line();
      if (token.text === ":") space(" ");
    }
  });
  return made;
}

/**
 * The text of the value at `path`, byte for byte as it is in `text`; null if there is none.
 * @param {string} text valid JSON @param {(string | number)[]} path names of members and indices
 * @returns {string | null}
 */
export function slice(text, path) {
  const given = [...tokens(text)].filter((token) => token.kind !== "space");
  let at = 0;
  /** @param {number} from @returns {number} the index after the value that begins there */
  const after = (from) => {
    let depth = 0;
    for (let index = from; index < given.length; index += 1) {
      const { text } = given[index];
      if (text === "{" || text === "[") depth += 1;
      if (text === "}" || text === "]") depth -= 1;
      if (depth === 0) return index + 1;
    }
    return given.length;
  };
  for (const part of path) {
    const opens = given[at]?.text;
    if (opens !== (typeof part === "number" ? "[" : "{")) return null;
    let found = -1;
    let count = 0;
    for (let index = at + 1; index < given.length && !["}", "]"].includes(given[index].text);) {
      const value = opens === "{" ? index + 2 : index;
      const isIt = opens === "{" ? JSON.parse(given[index].text) === part : count === part;
      // The last one of equal names counts, as in JSON.parse.
      if (isIt) found = value;
      count += 1;
      index = after(value);
      if (given[index]?.text === ",") index += 1;
    }
    if (found < 0) return null;
    at = found;
  }
  if (given[at] === undefined) return null;
  const last = given[after(at) - 1];
  return text.slice(given[at].at, last.at + last.text.length);
}

/**
 * The place of a JSON pointer's value in a text.
 * @param {string} text valid JSON @param {string} pointer RFC 6901
 */
export function slicePointer(text, pointer) {
  const parts = pointer.split("/").slice(1).map((part) => part.replaceAll("~1", "/").replaceAll("~0", "~"));
  /** @type {(string | number)[]} */
  const path = [];
  for (const part of parts) {
    const here = slice(text, path) ?? "";
    path.push(here.trimStart().startsWith("[") ? Number(part) : part);
  }
  return slice(text, path);
}
