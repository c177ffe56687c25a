import assert from "node:assert/strict";
import { test } from "node:test";
import { isIdentifier, membersAt } from "../src/editor/shape.js";
import { errorOf, isChanged, marksOf, moved, newStep, settingsOf, step, stepsOf, usage } from "../src/screens/playground/pipeline.js";
import { Raw, stringify } from "../src/lib/json.js";

const scope = {
  event: {
    id: "evt_1",
    data: { number: "A1", total: 120.5, customer: { name: "Ada", "e-mail": "a@b" }, items: [{ sku: "tea", tags: ["hot"] }], empty: null },
  },
  request: { method: "POST", headers: { "content-type": "application/json" } },
};
/** @param {string} script */
const names = (script) => membersAt(script, scope)?.members.map((member) => member.name) ?? null;

test("names follow the example behind dots and brackets", () => {
  assert.deepEqual(names("return event."), ["id", "data"]);
  assert.deepEqual(names("event.data.customer.na"), ["name", "e-mail"]);
  assert.equal(membersAt("event.data.customer.na", scope)?.typed, 2);
  assert.deepEqual(names("event.data?.customer?."), ["name", "e-mail"]);
  assert.deepEqual(names('event["data"].items[0].'), ["sku", "tags"]);
  assert.deepEqual(names("request.headers."), ["content-type"]);
});

test("names follow variables, loops, callbacks and destructuring", () => {
  assert.deepEqual(names("const order = event.data;\norder.customer."), ["name", "e-mail"]);
  assert.deepEqual(names("for (const item of event.data.items) { item."), ["sku", "tags"]);
  assert.deepEqual(names("event.data.items.map((item) => item."), ["sku", "tags"]);
  assert.deepEqual(names("event.data.items.filter(function (it) { return it."), ["sku", "tags"]);
  assert.deepEqual(names("const {customer: who} = event.data; who."), ["name", "e-mail"]);
  assert.deepEqual(names("const { items = [] } = event.data\nitems[0]."), ["sku", "tags"]);
  assert.deepEqual(names("const list = event.data.items || [];\nlist.find(x => x."), ["sku", "tags"]);
});

test("there is nothing where the example has nothing", () => {
  for (const script of ["", "event", "other.", "event.data.empty.", "event.data.nothing.x.", "let a = a.b; a.", "1."]) {
    assert.equal(names(script), null, script);
  }
  assert.deepEqual(names("event.data.number."), []);
  assert.equal(membersAt("event.data.items.", scope)?.value, scope.event.data.items);
  assert.equal(isIdentifier("e-mail"), false);
});

const HOOK = `{"id":"hook_1","pipeline":[
  {"plugin":"event-filter","settings":{"pointer":"/id", "greater_than":9007199254740993}},
  {"plugin":"javascript@1","settings":{"script":"return null;"}},
  {"plugin":"javascript","settings":{"script":"x","odd":1}}]}`;

test("a pipeline that is not edited is sent as it is stored, digits and white space and all", () => {
  const steps = stepsOf(HOOK);
  assert.deepEqual(steps.map((it) => it.kind), ["settings", "script", "settings"]);
  assert.equal(settingsOf(steps[0]), '{"pointer":"/id", "greater_than":9007199254740993}');
  assert.equal(steps[0].text, '{\n  "pointer": "/id",\n  "greater_than": 9007199254740993\n}');
  assert.equal(isChanged(steps, stepsOf(HOOK)), false);
  const edited = [{ ...steps[0], text: steps[0].text.replace("id", "no") }, ...steps.slice(1)];
  assert.equal(isChanged(edited, steps), true);
  assert.match(stringify(edited.map((it) => new Raw(settingsOf(it)))), /"\/no",\n {2}"greater_than": 9007199254740993/);
  assert.equal(isChanged(moved(steps, 0, 1), steps), true);
  assert.equal(moved(steps, 0, -1), steps);
});

test("settings are checked before they are sent", () => {
  assert.equal(errorOf(newStep("javascript")), null);
  assert.equal(errorOf({ ...newStep("field-map"), text: "{" }), "This is not JSON.");
  assert.equal(errorOf({ ...newStep("field-map"), text: "[]" }), "Settings are an object: { … }.");
});

test("errors are underlined at their line or their pointer", () => {
  const fault = { kind: "failure", message: "no", code: null, retryable: false, backtrace: [] };
  assert.deepEqual(marksOf(newStep("javascript"), { ...fault, line: 2, column: 3 }), [{ message: "no", line: 2, column: 3 }]);
  assert.deepEqual(marksOf(step("field-map", "{}"), { ...fault, settings_pointer: "/a" }), [{ message: "no", pointer: "/a" }]);
  assert.deepEqual(marksOf(newStep("javascript"), null), []);
});

test("a limit that ended a step is shown as reached", () => {
  const run = {
    plugin: "p", version: 1, digest: null, role: null, roles: [], duration_us: 1, logs: [],
    fuel: 90, fuel_granted: 100, memory_bytes: 1, memory_granted: 10, output_bytes: 0, output_granted: 5,
    fault: { kind: "out-of-fuel", message: "", code: null, retryable: false, backtrace: [] },
  };
  assert.deepEqual(usage(run).map(({ name, share }) => [name, share]), [["Fuel", 1], ["Memory", 0.1], ["Output", 0]]);
  assert.equal(usage({ ...run, fault: null })[0].share, 0.9);
});
