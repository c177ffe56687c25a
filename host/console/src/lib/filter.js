// Which condition of the standard plugin `event-filter` an event does not meet. The plugin itself says only
// that it dropped the event; this reads its settings and the event's data the same way, for people.
import { isJson, slicePointer } from "./json.js";

/** @type {Record<string, string>} */
const TESTS = {
  equals: "be equal to", not_equals: "not be equal to", in: "be one of", not_in: "be none of",
  greater_than: "be greater than", greater_or_equal: "be at least", less_than: "be less than", less_or_equal: "be at most",
  prefix: "begin with", suffix: "end with", contains: "contain", matches: "match",
};

/** Longer values are cut. */
const SHOWN = 80;
/** @param {string} text */
const cut = (text) => (text.length > SHOWN ? `${text.slice(0, SHOWN)}…` : text);

/**
 * What a filter wants, beside what the event has; empty if the settings are not such conditions.
 * @param {string} settings JSON text @param {string} data JSON text
 * @returns {string[]} sentences, one for each condition on a member of the data
 */
export function conditionsInWords(settings, data) {
  if (!isJson(settings) || !isJson(data)) return [];
  /** @type {string[]} */
  const found = [];
  collect(JSON.parse(settings), settings, "", data, found);
  return found;
}

/** @param {any} condition @param {string} settings @param {string} at a pointer into the settings @param {string} data @param {string[]} found */
function collect(condition, settings, at, data, found) {
  if (condition === null || typeof condition !== "object") return;
  for (const list of ["all", "any"]) {
    if (Array.isArray(condition[list])) condition[list].forEach((one, index) => collect(one, settings, `${at}/${list}/${index}`, data, found));
  }
  if (condition.not) {
    /** @type {string[]} */
    const inner = [];
    collect(condition.not, settings, `${at}/not`, data, inner);
    found.push(...inner.map((text) => `not: ${text}`));
  }
  if (typeof condition.pointer !== "string") return;
  const value = slicePointer(data, condition.pointer);
  const is = value === null ? "is missing" : `is \`${cut(value)}\``;
  const wants = Object.keys(condition).flatMap((name) => {
    if (name === "exists") return condition.exists ? "be there" : "be missing";
    const wanted = slicePointer(settings, `${at}/${name}`);
    return TESTS[name] && wanted !== null ? [`${TESTS[name]} \`${cut(wanted)}\``] : [];
  });
  if (wants.length > 0) found.push(`\`${condition.pointer || "the data"}\` ${is}, and must ${wants.join(" and ")}`);
}
