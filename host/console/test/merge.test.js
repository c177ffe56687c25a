import assert from "node:assert/strict";
import test from "node:test";
import { shortOutcomeOf } from "../src/lib/why.js";
import { add, deliveryOf, merge } from "../src/screens/deliveries/merge.js";

/** @typedef {import("../src/lib/types.js").Delivery} Delivery */
/** @typedef {import("../src/lib/types.js").LastAttempt} LastAttempt */

/** @param {Partial<Delivery>} given @returns {Delivery} */
const delivery = (given) => ({ id: "dlv_1", hook: "hook_1", event: "evt_1", event_id: "evt_1", type: "a.b", trigger: "event", state: "waiting", attempt_count: 1, interrupted: 0, next_attempt_at: null, created_at: "2026-11-30T11:00:00Z", ...given });
/** @param {Partial<LastAttempt>} given @returns {LastAttempt} */
const last = (given) => ({ number: 1, outcome: "response", status: 503, error: null, ...given });
/** @param {Partial<LastAttempt> & {fault?: {kind: string, message: string}}} given */
const change = (given) => ({ delivery: delivery({}), attempt: { id: "atp_1", step: null, fault: null, ...last({}), ...given } });

test("a change of the stream has the last attempt as lists have it", () => {
  assert.deepEqual(deliveryOf(change({})).last_attempt, last({}));
  const fault = { kind: "trap", message: "at line 3" };
  assert.deepEqual(deliveryOf(change({ outcome: "faulted", status: null, fault })).last_attempt, last({ outcome: "faulted", status: null, error: "at line 3" }));
  assert.equal(deliveryOf({ delivery: delivery({}), attempt: null }).last_attempt, undefined);
});

test("a row keeps its last attempt until there is a later one", () => {
  const known = delivery({ last_attempt: last({}) });
  const second = last({ number: 2, status: 200 });
  for (const [told, expected] of /** @type {[Partial<Delivery>, LastAttempt | undefined][]} */ ([
    [{ state: "pending" }, last({})],
    [{ attempt_count: 2, last_attempt: second }, second],
    // Another node's attempt is told without its outcome.
    [{ attempt_count: 2 }, undefined],
    [{ attempt_count: 0 }, last({})],
  ])) assert.deepEqual(merge(known, delivery(told)).last_attempt, expected, JSON.stringify(told));
  assert.equal(add(known, delivery({ attempt_count: 2 })).last_attempt, undefined);
  assert.deepEqual(add(undefined, known), known);
});

test("an outcome is a status or an error", () => {
  for (const [given, expected] of /** @type {[LastAttempt | undefined, string][]} */ ([
    [last({}), "503"],
    [last({ outcome: "unreachable", status: null, error: "connection refused" }), "connection refused"],
    [last({ outcome: "timed-out", status: null }), "timed out"],
    [last({ outcome: "dropped", status: null }), ""],
    [undefined, ""],
  ])) assert.equal(shortOutcomeOf(given), expected);
});
