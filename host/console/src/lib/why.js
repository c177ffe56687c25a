// Why something is as it is, in words. Pure functions of what the API answers.
import { at, duration, plural, relative, span } from "./format.js";

/** @typedef {import("./types.js").Attempt} Attempt */
/** @typedef {import("./types.js").Delivery} Delivery */
/** @typedef {import("./types.js").Hook} Hook */
/** @typedef {import("./types.js").LastAttempt} LastAttempt */

/** @type {Record<string, string>} */
const STATUS_WORDS = {
  301: "it redirects, and redirects are not followed",
  302: "it redirects, and redirects are not followed",
  307: "it redirects, and redirects are not followed",
  308: "it redirects, and redirects are not followed",
  400: "it refused the request as malformed",
  401: "it did not accept the credentials or the signature",
  403: "it refused access",
  404: "there is nothing at this URL",
  405: "it does not accept this method",
  408: "it gave up waiting for the request",
  410: "Gone: it wants no more webhooks, and the hook was disabled",
  413: "the body is too large for it",
  415: "it does not accept this content type",
  422: "it could not process the content",
  429: "it is overloaded and asks for a pause",
  500: "it failed internally",
  502: "its proxy could not reach it",
  503: "it is unavailable",
  504: "its proxy waited in vain",
};

/** @type {Record<string, string>} */
const ERROR_WORDS = {
  dns: "The host name cannot be resolved",
  "egress-refused": "The engine may not send to this address",
  connect: "No connection could be made",
  tls: "TLS failed",
  protocol: "The receiver broke the HTTP protocol",
  preflight: "The preflight request failed",
  token: "No access token could be obtained",
  timeout: "No answer in time",
};

/** @type {Record<string, string>} */
const FAULT_WORDS = {
  trap: "crashed",
  "out-of-fuel": "used up its fuel",
  deadline: "took too long",
  "out-of-memory": "needed more memory than it may have",
  "output-too-large": "wrote more than it may",
  "invalid-output": "returned something that is no valid request",
  failure: "failed",
  unavailable: "could not be loaded",
};

/** @param {string} text */
const sentence = (text) => (/[.!?…]$/.test(text) ? text : `${text}.`);

/** @param {Attempt} attempt @returns {string} how an attempt ended, in a few words */
export function outcomeOf(attempt) {
  switch (attempt.outcome) {
    case "response":
      return `${attempt.response?.status ?? "response"}`;
    case "timed-out":
      return "timed out";
    case "unreachable":
      return attempt.error?.kind === "egress-refused" ? "refused by egress policy" : `unreachable (${attempt.error?.kind ?? "?"})`;
    case "faulted":
      return `plugin ${FAULT_WORDS[attempt.fault?.kind ?? "failure"] ?? "failed"}`;
    default:
      return "dropped";
  }
}

/** @param {LastAttempt | undefined} last @returns {string} a status or an error, for a row; empty if the state says it all */
export function shortOutcomeOf(last) {
  if (!last || last.outcome === "dropped") return "";
  return last.status != null ? String(last.status) : last.error || last.outcome.replace("-", " ");
}

/** @param {Attempt} attempt @returns {"good" | "bad" | "quiet"} */
export function toneOf(attempt) {
  if (attempt.outcome === "dropped") return "quiet";
  const status = attempt.response?.status ?? 0;
  return attempt.outcome === "response" && status >= 200 && status < 300 ? "good" : "bad";
}

/** @param {Attempt} attempt @returns {string} why an attempt ended as it did */
export function whyOfAttempt(attempt) {
  switch (attempt.outcome) {
    case "response": {
      const status = attempt.response?.status ?? 0;
      if (status >= 200 && status < 300) return `The receiver answered ${status} after ${duration(attempt.duration_ms)}.`;
      const words = STATUS_WORDS[status];
      return `The receiver answered ${status}${words ? `: ${words}` : ""}.`;
    }
    case "timed-out":
      return sentence(`The receiver did not answer in time: ${attempt.error?.message ?? duration(attempt.duration_ms)}`);
    case "unreachable": {
      const { kind = "", message = "" } = attempt.error ?? {};
      return sentence(`${ERROR_WORDS[kind] ?? "The receiver could not be reached"}: ${message}`);
    }
    case "faulted": {
      const words = FAULT_WORDS[attempt.fault?.kind ?? ""] ?? "failed";
      const code = attempt.fault?.code ? ` (${attempt.fault.code})` : "";
      return sentence(`${stepOf(attempt)} ${words}${code}: ${attempt.fault?.message ?? ""}`);
    }
    default: {
      const log = lastLog(attempt);
      return `Dropped by ${stepOf(attempt)}${log ? `: ${sentence(log)}` : ". It decided that this event is not sent."}`;
    }
  }
}

/** @param {Attempt} attempt */
function stepOf(attempt) {
  const step = attempt.step == null ? undefined : attempt.steps[attempt.step];
  return step ? `\`${step.plugin}\` in step ${(attempt.step ?? 0) + 1}` : "the pipeline";
}

/** @param {Attempt} attempt */
function lastLog(attempt) {
  const step = attempt.step == null ? undefined : attempt.steps[attempt.step];
  return step?.logs.at(-1)?.message;
}

/**
 * Why a delivery is in its state, and what comes next.
 * @param {Delivery & {attempts: Attempt[]}} delivery @param {Hook | null | undefined} hook @param {number} [now]
 * @returns {{tone: "good" | "bad" | "warn" | "quiet" | "busy", title: string, text: string}}
 */
export function whyOfDelivery(delivery, hook, now = Date.now()) {
  const last = delivery.attempts.at(-1);
  const because = last ? whyOfAttempt(last) : "";
  const times = plural(delivery.attempt_count, "attempt");
  switch (delivery.state) {
    case "succeeded":
      return { tone: "good", title: "Delivered", text: because || "The receiver accepted it." };
    case "exhausted":
      return { tone: "bad", title: `Given up after ${times}`, text: `${because} It is not attempted again unless you retry it.` };
    case "dropped":
      return { tone: "quiet", title: "Not sent", text: because };
    case "cancelled":
      return { tone: "quiet", title: "Cancelled", text: `By hand, or because its hook was deleted.${because ? ` The last attempt: ${because}` : ""}` };
    case "delivering":
      return { tone: "busy", title: "Being sent", text: because ? `The attempt before failed. ${because}` : "The first attempt is under way." };
    default: {
      const held = whyHeld(hook, now);
      const title = delivery.next_attempt_at
        ? `Next attempt ${relative(delivery.next_attempt_at, now)}`
        : held ? "Held" : "Waiting for others before it";
      const order = !delivery.next_attempt_at && !held ? " The hook keeps an order, and an earlier delivery is not final yet." : "";
      const text = [because || "Not attempted yet.", held].filter(Boolean).join(" ");
      return { tone: "warn", title, text: `${text}${order}` };
    }
  }
}

/** @param {Hook | null | undefined} hook @param {number} now @returns {string} why the hook sends nothing; empty if it does */
function whyHeld(hook, now) {
  if (!hook) return "";
  const { state } = hook;
  return ["circuit_open", "paused", "disabled", "awaiting_permission"].includes(state.name) ? whyOfHook(state, now) : "";
}

/** @type {Record<string, string>} */
export const HOOK_STATE_WORDS = {
  ok: "ok",
  failing: "failing",
  circuit_open: "circuit open",
  awaiting_permission: "awaiting permission",
  paused: "paused",
  disabled: "disabled",
};

/** @param {import("./types.js").HookState} state @param {number} [now] @returns {string} the state of a hook, in a sentence */
export function whyOfHook(state, now = Date.now()) {
  const since = state.since ? ` since ${at(state.since, now)}` : "";
  switch (state.name) {
    case "ok":
      return "Everything is in order.";
    case "failing":
      return sentence(`${state.failed} of the last ${plural(state.attempts ?? 0, "attempt")} failed${since}: ${state.reason ?? ""}`);
    case "circuit_open":
      return sentence(`Nearly everything failed, so deliveries wait, and one tries ${state.until ? `at ${at(state.until, now)}` : "soon"}: ${state.reason ?? ""}`);
    case "awaiting_permission":
      return sentence(`The receiver has not allowed deliveries yet${state.reason ? `: ${state.reason}` : since}`);
    case "paused": {
      const what = { hook: "The hook is", tenant: "The whole tenant is", engine: "The whole engine is" }[state.paused ?? "hook"];
      return `${what} paused${since}. Events are accepted, deliveries wait.`;
    }
    default: {
      const why = { by_hand: "by hand", gone: "because the receiver answered 410 Gone", failing: "because nothing succeeded for too long" };
      return `Disabled ${why[state.why ?? "by_hand"]}${since}. New events make no deliveries.`;
    }
  }
}

/** @type {Record<string, string>} */
const MATCH_WORDS = {
  type: "it does not subscribe to this type",
  project: "it is for another project",
  disabled: "it is disabled",
  paused: "it is paused, so deliveries wait",
  created_later: "it was created after the event",
  changed_later: "it was changed after the event",
  test_of_another: "the event is a test of another hook",
  dropped: "its pipeline dropped the event",
};

/** @param {import("./types.js").Match} match @returns {string} why a hook gets an event or not */
export function whyOfMatch(match) {
  const words = match.why.map((why) => MATCH_WORDS[why] ?? why);
  if (words.length === 0) return match.delivery ? "Matched." : "It matches, and has no delivery.";
  const text = words.join(", and ");
  return `${text[0].toUpperCase()}${text.slice(1)}.`;
}

/** @param {number[]} schedule seconds @returns {string} */
export const scheduleInWords = (schedule) => (schedule.length === 0 ? "no retries" : schedule.map(span).join(", "));
