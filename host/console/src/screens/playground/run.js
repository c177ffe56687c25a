// Dry runs while somebody types: the last text counts, and runs that it overtakes are aborted.
import { useEffect, useRef, useState } from "../../lib/html.js";
import { api, isAborted } from "../../lib/api.js";
import { Raw } from "../../lib/json.js";
import { settingsOf, toBody } from "./pipeline.js";

/** @typedef {import("./pipeline.js").EditedStep} EditedStep */
/** @typedef {import("../../lib/types.js").DryRun} DryRun */

/**
 * @typedef {object} Result
 * @property {DryRun | null} run
 * @property {DryRun | null} today what the hook's own pipeline does with the event, if the hook has been edited
 * @property {unknown} error
 * @property {boolean} busy
 * @property {number} ms how long the answer took
 */

/** For how long nobody has typed when a run starts. */
const QUIET_MS = 250;

/**
 * @typedef {object} Wanted
 * @property {string | null} hook
 * @property {unknown} event
 * @property {EditedStep[]} steps
 * @property {string} source changes with the hook and the event
 * @property {boolean} changed whether the steps are not those of the hook
 * @property {boolean} ready whether it makes sense to run
 */

/** What the hook's own pipeline did last: it changes only with the event or the hook. @typedef {{key: string, run: DryRun | null}} Today */

/** @param {Wanted} wanted @param {Today} known @param {AbortSignal} signal @returns {Promise<{run: DryRun, today: DryRun | null}>} */
async function dryRun({ hook, event, steps, changed, source }, known, signal) {
  if (hook === null) {
    const [first] = steps;
    // Without a hook, the API runs a single plugin.
    const run = await api.post(`/plugins/${encodeURIComponent(first.plugin.split("@")[0])}/run`, { body: ofPlugin(first, event), signal });
    return { run, today: null };
  }
  const preview = (/** @type {object} */ more) => api.post(`/hooks/${hook}/preview`, { body: { event, ...more }, signal });
  // Without changes the hook's own pipeline runs, which a key that cannot change hooks may do as well.
  if (!changed) return { run: await preview({}), today: null };
  const isKnown = known.run !== null && known.key === source;
  const [run, today] = await Promise.all([preview({ pipeline: toBody(steps) }), isKnown ? known.run : preview({})]);
  Object.assign(known, { key: source, run: today });
  return { run, today };
}

/** @param {EditedStep} step @param {unknown} event */
function ofPlugin(step, event) {
  const version = Number(step.plugin.split("@")[1]);
  return { event, settings: new Raw(settingsOf(step)), ...(version > 0 ? { version } : {}) };
}

/**
 * @param {Wanted} wanted @param {string} key changes with everything that is wanted
 * @returns {Result & {again: () => void}}
 */
export function useDryRun(wanted, key) {
  const [result, setResult] = useState(/** @type {Result} */ ({ run: null, today: null, error: null, busy: false, ms: 0 }));
  const [round, setRound] = useState(0);
  const lastRound = useRef(0);
  const today = useRef(/** @type {Today} */ ({ key: "", run: null }));
  useEffect(() => {
    if (!wanted.ready) {
      setResult((before) => ({ ...before, busy: false }));
      return undefined;
    }
    const aborter = new AbortController();
    // The first run, and one that somebody asks for, begin at once.
    const isAsked = (result.run === null && result.error === null) || lastRound.current !== round;
    lastRound.current = round;
    const timer = setTimeout(async () => {
      const began = performance.now();
      setResult((before) => ({ ...before, busy: true }));
      try {
        const done = await dryRun(wanted, today.current, aborter.signal);
        if (!aborter.signal.aborted) setResult({ ...done, error: null, busy: false, ms: performance.now() - began });
      } catch (error) {
        if (!isAborted(error) && !aborter.signal.aborted) setResult((before) => ({ ...before, run: null, error, busy: false }));
      }
    }, isAsked ? 0 : QUIET_MS);
    return () => {
      clearTimeout(timer);
      aborter.abort();
    };
  }, [key, round]);
  return { ...result, again: () => setRound((round) => round + 1) };
}
