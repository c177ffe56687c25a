// What can be written at the cursor of a script: names of an event's own data, found by following the script's
// expressions through an example. Pure functions of the script's text and the example.

/** @typedef {{name: string, type: string, path: (string | number)[]}} Member */
/** @typedef {Record<string, unknown>} Scope the names that a script begins with, and their example values */

const NAME = "[A-Za-z_$][\\w$]*";
const PATH = `${NAME}(?:\\??\\.${NAME}|\\??\\.?\\[\\s*(?:\\d+|"[^"\\n]*"|'[^'\\n]*')\\s*\\])*`;
const AT_CURSOR = new RegExp(`(${PATH})\\??\\.(${NAME})?$`);
const PARTS = new RegExp(`${NAME}|\\d+|"[^"\\n]*"|'[^'\\n]*'`, "g");
/** Methods of arrays that call a function with each element. */
const EACH = "map|filter|forEach|find|findIndex|some|every|flatMap";
/** How far names are followed to what they were assigned. */
const MAX_HOPS = 8;

/** @param {unknown} value @returns {string} its type, for people who read a list */
export function typeOf(value) {
  if (value === null) return "null";
  if (Array.isArray(value)) return `array of ${value.length}`;
  return typeof value;
}

/** @param {string} path such as `event.data["a b"][0]` @returns {(string | number)[]} */
function parts(path) {
  return [...path.matchAll(PARTS)].map(([part]) => {
    if (/^\d/.test(part)) return Number(part);
    return /^["']/.test(part) ? part.slice(1, -1) : part;
  });
}

/**
 * The place in the example that an expression means, such as `["event", "data", "items", 0]`.
 * @param {string} path @param {string} script what is before the cursor @param {number} [hops]
 * @returns {(string | number)[]}
 */
function follow(path, script, hops = 0) {
  const [first, ...rest] = parts(path);
  const name = String(first).replaceAll("$", "\\$");
  if (hops > MAX_HOPS) return [first, ...rest];
  /** @type {[RegExp, (found: RegExpMatchArray) => (string | number)[]][]} */
  const bindings = [
    // const order = event.data.order
    [new RegExp(`\\b(?:const|let|var)\\s+${name}\\s*=\\s*(${PATH})\\s*(?:[;\\n]|\\?\\?|\\|\\||$)`, "g"), (found) => follow(found[1], script, hops + 1)],
    // for (const item of event.data.items)
    [new RegExp(`\\b(?:const|let|var)\\s+${name}\\s+of\\s+(${PATH})`, "g"), (found) => [...follow(found[1], script, hops + 1), 0]],
    // event.data.items.map((item) => …
    [new RegExp(`(${PATH})\\.(?:${EACH})\\(\\s*(?:async\\s*)?(?:function\\s*)?\\(?\\s*${name}\\b\\s*(?:,[^)]*)?\\)?\\s*(?:=>|\\{)`, "g"), (found) => [...follow(found[1], script, hops + 1), 0]],
    // const {order, total: sum} = event.data
    [new RegExp(`\\b(?:const|let|var)\\s*\\{([^{}]*)\\}\\s*=\\s*(${PATH})`, "g"), (found) => {
      for (const entry of found[1].split(",")) {
        const [member, alias = member] = entry.split("=")[0].split(":").map((part) => part.trim());
        if (alias === String(first)) return [...follow(found[2], script, hops + 1), member];
      }
      return [];
    }],
  ];
  for (const [pattern, of] of bindings) {
    const found = [...script.matchAll(pattern)].at(-1);
    const target = found ? of(found) : [];
    if (target.length > 0 && target[0] !== first) return [...target, ...rest];
  }
  return [first, ...rest];
}

/** @param {unknown} value @param {(string | number)[]} path @returns {unknown} undefined if there is nothing */
function valueAt(value, path) {
  let here = value;
  for (const part of path) {
    if (here === null || typeof here !== "object" || !Object.hasOwn(here, part)) return undefined;
    here = /** @type {Record<string | number, unknown>} */ (here)[part];
  }
  return here;
}

/**
 * The members of the value before the dot at the end of `script`, and how long the name behind it is so far.
 * Null if the cursor is not behind a dot, or if the example has no such value.
 * @param {string} script what is before the cursor @param {Scope} scope
 * @returns {{typed: number, members: Member[], value: unknown} | null}
 */
export function membersAt(script, scope) {
  const found = AT_CURSOR.exec(script);
  if (!found) return null;
  const path = follow(found[1], script.slice(0, found.index));
  const value = valueAt(scope, path);
  if (value === undefined || value === null) return null;
  const isList = Array.isArray(value);
  const members = typeof value === "object" && !isList
    ? Object.entries(value).map(([name, member]) => ({ name, type: typeOf(member), path: [...path, name] }))
    : [];
  return { typed: found[2]?.length ?? 0, members, value };
}

/** @param {string} name @returns {boolean} whether it can stand behind a dot */
export const isIdentifier = (name) => /^[A-Za-z_$][\w$]*$/.test(name);

/** What arrays and strings can do, for the list behind a dot. */
export const METHODS = {
  array: ["length", "map", "filter", "find", "some", "every", "forEach", "flatMap", "reduce", "includes", "indexOf", "join", "slice", "concat", "at"],
  string: ["length", "toUpperCase", "toLowerCase", "trim", "split", "replace", "replaceAll", "startsWith", "endsWith", "includes", "slice", "padStart", "match", "at"],
  number: ["toFixed", "toString"],
};
