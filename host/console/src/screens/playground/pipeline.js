// A pipeline as it is edited: settings are text, so that nothing in them changes unless somebody changes it.
import { Raw, isJson, pretty, slice } from "../../lib/json.js";

/**
 * @typedef {object} EditedStep
 * @property {number} key tells steps apart while they are moved
 * @property {string} plugin as in the API: `name`, `name@3` or `sha256:…`
 * @property {"script" | "settings"} kind what `text` is: the script of `javascript`, or settings in JSON
 * @property {string} text
 * @property {{plugin: string, settings: string, text: string} | null} original as the hook has it
 */

/** The plugin whose settings are a script. */
const SCRIPT = "javascript";

export const FIRST_SCRIPT = `// \`event\` is what was published, \`request\` what would be sent.
// Return what to send, or null to send nothing.
return { body: event.data };
`;

let lastKey = 0;
const newKey = () => (lastKey += 1);

/** @param {string} plugin */
export const nameOf = (plugin) => plugin.split("@")[0];

/** @param {string} plugin @param {string} settings JSON text @param {boolean} [isStored] @returns {EditedStep} */
export function step(plugin, settings, isStored = false) {
  const script = nameOf(plugin) === SCRIPT ? scriptOf(settings) : null;
  const text = script ?? pretty(settings);
  const original = isStored ? { plugin, settings, text } : null;
  return { key: newKey(), plugin, kind: script === null ? "settings" : "script", text, original };
}

/** @param {string} plugin @returns {EditedStep} a new step */
export const newStep = (plugin) => step(plugin, nameOf(plugin) === SCRIPT ? JSON.stringify({ script: FIRST_SCRIPT }) : "{}");

/** @param {string} settings @returns {string | null} the script, if the settings are nothing else */
function scriptOf(settings) {
  try {
    const given = JSON.parse(settings);
    const names = Object.keys(given);
    if (names.length === 0) return "";
    return names.length === 1 && typeof given.script === "string" ? given.script : null;
  } catch {
    return null;
  }
}

/** @param {string} hook the text of a hook's JSON @returns {EditedStep[]} */
export function stepsOf(hook) {
  /** @type {EditedStep[]} */
  const steps = [];
  for (let index = 0; ; index += 1) {
    const name = slice(hook, ["pipeline", index, "plugin"]);
    if (name === null) return steps;
    steps.push(step(JSON.parse(name), slice(hook, ["pipeline", index, "settings"]) ?? "{}", true));
  }
}

/** @param {EditedStep} step @returns {string} the text of its settings */
export function settingsOf({ kind, text, original }) {
  if (original && text === original.text) return original.settings;
  return kind === "script" ? JSON.stringify({ script: text }) : text;
}

/** @param {EditedStep} step @returns {string | null} what is wrong with the text itself */
export function errorOf({ kind, text }) {
  if (kind === "script") return null;
  if (!isJson(text)) return "This is not JSON.";
  return text.trimStart().startsWith("{") ? null : "Settings are an object: { … }.";
}

/** @param {EditedStep[]} steps @returns {{plugin: string, settings: Raw}[]} for the API */
export const toBody = (steps) => steps.map((step) => ({ plugin: step.plugin, settings: new Raw(settingsOf(step)) }));

/** @param {EditedStep[]} steps @param {EditedStep[]} stored @returns {boolean} whether something was edited */
export function isChanged(steps, stored) {
  const same = (/** @type {EditedStep} */ one, /** @type {EditedStep} */ other) =>
    one.plugin === other.plugin && settingsOf(one) === settingsOf(other);
  return steps.length !== stored.length || steps.some((one, index) => !same(one, stored[index]));
}

/**
 * Moves a step.
 * @param {EditedStep[]} steps @param {number} from @param {number} by
 */
export function moved(steps, from, by) {
  const to = from + by;
  if (to < 0 || to >= steps.length) return steps;
  const next = [...steps];
  [next[from], next[to]] = [next[to], next[from]];
  return next;
}

/** @typedef {import("../../lib/types.js").Step & {memory_granted?: number, output_bytes?: number, output_granted?: number}} StepRun */
/** @typedef {import("../../lib/types.js").Fault & {line?: number, column?: number, settings_pointer?: string}} PlacedFault */

/**
 * What a step used of what it was granted. Over: the limit ended it.
 * @param {StepRun} run
 * @returns {{name: string, used: number, granted: number, share: number}[]}
 */
export function usage(run) {
  const over = run.fault?.kind ?? "";
  /** @type {[string, number | null | undefined, number | null | undefined, string][]} */
  const all = [
    ["Fuel", run.fuel, run.fuel_granted, "out-of-fuel"],
    ["Memory", run.memory_bytes, run.memory_granted, "out-of-memory"],
    ["Output", run.output_bytes, run.output_granted, "output-too-large"],
  ];
  return all.flatMap(([name, used, granted, fault]) => {
    if (used == null || !granted) return [];
    return [{ name, used, granted, share: over === fault ? Math.max(1, used / granted) : Math.min(used / granted, 0.999) }];
  });
}

/**
 * The errors to underline in a step's text.
 * @param {EditedStep} step @param {PlacedFault | null | undefined} fault
 * @returns {import("../../editor/places.js").Mark[]}
 */
export function marksOf(step, fault) {
  if (!fault) return [];
  const { message, line, column, settings_pointer: pointer } = fault;
  if (step.kind === "script") return [{ message, line, column }];
  // A script within settings has lines of its own, which the settings do not have.
  return [{ message, pointer: pointer ?? "" }];
}
