// The standard plugin `javascript`: QuickJS in a component, running the script in its settings.
// README.md is for those who write scripts; this file is what runs around one.
//
// The component is initialised when it is built: all below but `transform` has run before an instance
// exists, and every call begins with the same memory.

import { get as settingsText } from "hookwright:plugin/config@1.0.0";
import { write as writeLog } from "hookwright:plugin/log@1.0.0";

// The script is the body of a function, and may also declare one named `handle`. The head of the wrapper is on the
// script's first line, so that lines count as the tenant's; the tail is on a line of its own, for a
// script that ends in a comment.
const HEAD = "(function (event, request) {";
const TAIL = "\n})";
const CALL_HANDLE = "\n;if (typeof handle === 'function') return handle(event, request);";
// A name that the script can't reach: evaluated outside of this module's scope.
const evaluate = globalThis.eval;

export const transformer = {
  transform(event, draft) {
    const script = readScript();
    installClock(event);
    const run = compile(script);
    const request = requestForScript(draft);
    const result = call(run, eventForScript(event), request, script);
    if (result === null || result === false) {
      return undefined;
    }
    if (result === undefined) {
      return requestFromScript(request, draft);
    }
    if (typeof result !== "object") {
      fail("bad-result", `the script returned ${describe(result)}; return an object to send, null to drop, or nothing`);
    }
    if (typeof result.then === "function") {
      fail("bad-result", "the script returned a promise; it runs once and to its end, without async or await");
    }
    return requestFromScript(result, draft);
  },
};

// A failure of the contract: what is thrown with a payload is the error case of the result.
class Refusal extends Error {
  constructor(failure) {
    super(failure.message);
    this.payload = failure;
  }
}

function fail(code, message) {
  throw new Refusal({ code, message, retryable: false });
}

function readScript() {
  const settings = JSON.parse(settingsText());
  for (const name of Object.keys(settings)) {
    if (name !== "script") {
      fail("bad-settings", `settings at \`${name}\`: unknown field \`${name}\`, expected \`script\``);
    }
  }
  if (typeof settings.script !== "string") {
    fail("bad-settings", "settings at `script`: a string with JavaScript is needed");
  }
  return settings.script;
}

function compile(script) {
  try {
    return evaluate(HEAD + script + (script.includes("handle") ? CALL_HANDLE : "") + TAIL);
  } catch (error) {
    return fail("syntax-error", `${error.message}${place(error, script)}`);
  }
}

function call(run, event, request, script) {
  try {
    return run(event, request);
  } catch (error) {
    if (error instanceof Error) {
      return fail("script-error", `${error.name}: ${error.message}${place(error, script)}`);
    }
    return fail("script-error", `the script threw ${describe(error)}`);
  }
}

// Where in the script an error came about: the first place in its stack that is of evaluated text.
function place(error, script) {
  const found = /<input>:(\d+)(?::(\d+))?/.exec(String(error.stack));
  if (!found) {
    return "";
  }
  const lines = script.split("\n");
  const line = Number(found[1]);
  if (line > lines.length) {
    // In the tail: something that was opened is not closed.
    return ` at the end, line ${lines.length}`;
  }
  const column = Number(found[2] ?? 1) - (line === 1 ? HEAD.length : 0);
  return ` at line ${line}, column ${Math.max(column, 1)}`;
}

function eventForScript(event) {
  let data;
  try {
    data = JSON.parse(event.data);
  } catch (error) {
    fail("bad-data", `data isn't JSON: ${error.message}`);
  }
  return {
    id: event.id,
    type: event.type,
    occurredAt: Number(event.occurredAt),
    attributes: Object.fromEntries(event.attributes),
    data,
  };
}

function requestForScript(draft) {
  const headers = {};
  for (const [name, value] of draft.headers) {
    const key = name.toLowerCase();
    headers[key] = key in headers ? `${headers[key]}, ${value}` : value;
  }
  const body = draft.body.tag === "none" ? null : draft.body.val;
  return { method: draft.method, url: draft.url, headers, body };
}

// What a returned object leaves out is as in the draft.
function requestFromScript(result, draft) {
  const { method = draft.method, url = draft.url, headers: given, body } = result;
  if (typeof method !== "string" || typeof url !== "string") {
    fail("bad-result", "`method` and `url` of a request are strings");
  }
  const headers = given === undefined ? [...draft.headers] : headersFrom(given);
  if (!("body" in result)) {
    return { method, url, headers, body: draft.body };
  }
  const isJson = body !== null && body !== undefined && typeof body !== "string" && !isBytes(body);
  if (isJson && !headers.some(([name]) => name.toLowerCase() === "content-type")) {
    headers.push(["content-type", "application/json"]);
  }
  return { method, url, headers, body: bodyFrom(body) };
}

// Names come as an object has them. Arrays are several headers of one name; null and undefined, none.
function headersFrom(given) {
  if (given === null || typeof given !== "object" || Array.isArray(given)) {
    fail("bad-result", "`headers` of a request is an object of names and values");
  }
  const headers = [];
  for (const [name, values] of Object.entries(given)) {
    for (const value of Array.isArray(values) ? values : [values]) {
      if (value !== undefined && value !== null) {
        headers.push([name, String(value)]);
      }
    }
  }
  return headers;
}

function bodyFrom(body) {
  if (body === null || body === undefined) {
    return { tag: "none" };
  }
  if (typeof body === "string") {
    return { tag: "text", val: body };
  }
  if (isBytes(body)) {
    return { tag: "binary", val: body instanceof Uint8Array ? body : new Uint8Array(body) };
  }
  return { tag: "text", val: toJson(body) };
}

function isBytes(value) {
  return value instanceof Uint8Array || value instanceof ArrayBuffer;
}

function toJson(value) {
  let text;
  try {
    text = JSON.stringify(value);
  } catch (error) {
    fail("bad-result", `the body can't be written as JSON: ${error.message}`);
  }
  if (text === undefined) {
    fail("bad-result", `the body can't be written as JSON: it is ${describe(value)}`);
  }
  return text;
}

function describe(value) {
  if (value === null || value === undefined || typeof value === "number" || typeof value === "boolean") {
    return String(value);
  }
  if (typeof value === "string") {
    return JSON.stringify(value.length > 100 ? `${value.slice(0, 100)}…` : value);
  }
  return Array.isArray(value) ? "an array" : `a ${typeof value}`;
}

// The same event must come to the same request on every retry: the clock stands at the event's time, and random
// numbers follow from its id.
const SystemDate = Date;
let now = 0;

class EventDate extends SystemDate {
  constructor(...given) {
    super(...(given.length === 0 ? [now] : given));
  }
  static now() {
    return now;
  }
}

// `Date()` without `new` is a string; a class can't be called.
globalThis.Date = new Proxy(EventDate, {
  apply: () => new EventDate().toString(),
});
SystemDate.prototype.constructor = globalThis.Date;

// Four words from the id (FNV-1a, over each word's own start), then sfc32. Made when a script first asks for a
// random number: most never do.
let seed = null;
let a = 0x811c9dc5, b = 0x1b873593, c = 0xcc9e2d51, counter = 1;

function installClock(event) {
  now = Number(event.occurredAt);
  seed = event.id;
}

function mixed(word, id) {
  for (let index = 0; index < id.length; index++) {
    word = Math.imul(word ^ id.charCodeAt(index), 0x01000193);
  }
  return word;
}

function nextWord() {
  if (seed !== null) {
    [a, b, c] = [mixed(a, seed), mixed(b, seed), mixed(c, seed)];
    seed = null;
    for (let round = 0; round < 12; round++) {
      nextWord();
    }
  }
  const sum = (a + b + counter) | 0;
  a = b ^ (b >>> 9);
  b = (c + (c << 3)) | 0;
  c = (((c << 21) | (c >>> 11)) + sum) | 0;
  counter = (counter + 1) | 0;
  return sum >>> 0;
}

Math.random = () => ((nextWord() >>> 5) * 67108864 + (nextWord() >>> 6)) / 9007199254740992;

globalThis.performance = { now: () => 0 };

const LEVELS = { debug: "debug", log: "info", info: "info", warn: "warn", error: "error" };
globalThis.console = {};
for (const [method, level] of Object.entries(LEVELS)) {
  globalThis.console[method] = (...values) => writeLog(level, values.map(forLog).join(" "));
}

function forLog(value) {
  if (typeof value === "string") {
    return value;
  }
  if (value instanceof Error) {
    return `${value.name}: ${value.message}`;
  }
  try {
    return JSON.stringify(value) ?? String(value);
  } catch {
    return String(value);
  }
}

// The runtime's own names are no business of scripts.
for (const name of ["__cqjs", "wit"]) {
  try {
    Object.defineProperty(globalThis, name, { enumerable: false });
  } catch {
    // It is fixed, and stays as it is.
  }
}
