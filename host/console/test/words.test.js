import assert from "node:assert/strict";
import test from "node:test";
import { conditionsInWords } from "../src/lib/filter.js";
import { diffLines } from "../src/lib/diff.js";
import { at, bytes, duration, parseSpan, percent, relative, span } from "../src/lib/format.js";
import { outcomeOf, whyOfAttempt, whyOfDelivery, whyOfHook, whyOfMatch } from "../src/lib/why.js";

const NOW = Date.parse("2026-11-30T12:00:00Z");
/** @param {Partial<import("../src/lib/types.js").Attempt>} given @returns {import("../src/lib/types.js").Attempt} */
const attempt = (given) => ({ id: "atp_1", number: 1, started_at: "2026-11-30T11:59:00Z", duration_ms: 42, outcome: "response", request: null, response: null, error: null, step: null, fault: null, steps: [], truncated: false, ...given });
/** @param {Partial<import("../src/lib/types.js").Step>} given @returns {import("../src/lib/types.js").Step} */
const step = (given) => ({ plugin: "event-filter", version: 1, digest: null, role: "filter", roles: ["filter"], fuel: 1, fuel_granted: 2, duration_us: 1, memory_bytes: 1, logs: [], fault: null, ...given });

test("an attempt says why it ended as it did", () => {
  const response = { status: 503, headers: {}, body: "", body_truncated: false };
  assert.equal(whyOfAttempt(attempt({ response })), "The receiver answered 503: it is unavailable.");
  const dropped = attempt({ outcome: "dropped", step: 0, steps: [step({ logs: [{ level: "info", message: "`/total` is 12, must be greater than 100" }] })] });
  assert.equal(whyOfAttempt(dropped), "Dropped by `event-filter` in step 1: `/total` is 12, must be greater than 100.");
  const fault = { kind: "failure", message: "no such member", code: "script", retryable: false, backtrace: [] };
  assert.equal(whyOfAttempt(attempt({ outcome: "faulted", step: 0, fault, steps: [step({ plugin: "javascript", fault })] })), "`javascript` in step 1 failed (script): no such member.");
  assert.equal(outcomeOf(attempt({ outcome: "unreachable", error: { kind: "dns", message: "x" } })), "unreachable (dns)");
});

test("a delivery that waits says for what", () => {
  const delivery = { id: "dlv_1", hook: "hook_1", event: "evt_1", event_id: "evt_1", type: "a.b", trigger: /** @type {const} */ ("event"), state: /** @type {const} */ ("waiting"), attempt_count: 1, interrupted: 0, next_attempt_at: "2026-11-30T12:05:00Z", created_at: "2026-11-30T11:00:00Z", attempts: [] };
  assert.equal(whyOfDelivery(delivery, null, NOW).title, "Next attempt in 5 min");
  const hook = /** @type {any} */ ({ state: { name: "circuit_open", until: "2026-11-30T12:03:00Z", reason: "status 500" } });
  assert.match(whyOfDelivery({ ...delivery, next_attempt_at: null }, hook, NOW).text, /Nearly everything failed/);
  assert.match(whyOfDelivery({ ...delivery, next_attempt_at: null }, null, NOW).text, /earlier delivery/);
});

test("hooks and matches are put in words", () => {
  assert.match(whyOfHook({ name: "disabled", why: "gone" }), /410 Gone/);
  assert.equal(whyOfMatch({ hook: "h", matches: false, why: ["type", "disabled"], delivery: null }), "It does not subscribe to this type, and it is disabled.");
});

test("figures are short and honest", () => {
  assert.deepEqual([0, 0.5, 0.9996, 1, null].map(percent), ["0 %", "50 %", "99.96 %", "100 %", "–"]);
  assert.deepEqual([0.5, 3.14, 250, 12_345, 7_200_000].map(duration), ["500 µs", "3.1 ms", "250 ms", "12.35 s", "2 h"]);
  assert.deepEqual([5, 300, 5400, 90_000].map(span), ["5 s", "5 min", "1 h 30 min", "1 d 1 h"]);
  assert.deepEqual(["5s", "5m", "2h", "1d", "300", "x"].map(parseSpan), [5, 300, 7200, 86_400, 300, null]);
  assert.equal(bytes(360_088), "352 KiB");
  assert.equal(relative("2026-11-30T11:57:00Z", NOW), "3 min ago");
  assert.equal(at("nonsense"), "nonsense");
});

test("a difference keeps common lines", () => {
  assert.deepEqual(diffLines("a\nb\nc", "a\nx\nc").map(({ kind, text }) => `${kind} ${text}`), ["same a", "removed b", "added x", "same c"]);
  assert.deepEqual(diffLines("a", "a"), [{ kind: "same", text: "a" }]);
});

test("a filter's conditions are put beside the event's values, digits and all", () => {
  const settings = '{"all":[{"pointer":"/total","greater_than":100},{"pointer":"/id","not_equals":12345678901234567890},{"not":{"pointer":"/kind","in":["a"]}}]}';
  assert.deepEqual(conditionsInWords(settings, '{"total":12.50,"id":12345678901234567890}'), [
    "`/total` is `12.50`, and must be greater than `100`",
    "`/id` is `12345678901234567890`, and must not be equal to `12345678901234567890`",
    "not: `/kind` is missing, and must be one of `[\"a\"]`",
  ]);
  assert.deepEqual(conditionsInWords('{"of":"type","equals":"x"}', "{}"), []);
});
