import assert from "node:assert/strict";
import test from "node:test";
import { pretty, Raw, slice, slicePointer, stringify } from "../src/lib/json.js";

test("numbers and strings keep their text", () => {
  const text = '{"id":12345678901234567890123,"rate":1.0,"e":1E400,"s":"\\u00e9\\/","empty":{},"list":[]}';
  assert.equal(pretty(text), '{\n  "id": 12345678901234567890123,\n  "rate": 1.0,\n  "e": 1E400,\n  "s": "\\u00e9\\/",\n  "empty": {},\n  "list": []\n}');
  assert.equal(pretty("not json"), "not json");
});

test("a part of a text is found as it is", () => {
  const text = '{"a": {"data": [1, {"x": 10000000000000000001}]}, "data": {"a":1} , "n/m": [0, 1.50]}';
  assert.equal(slice(text, ["data"]), '{"a":1}');
  assert.equal(slice(text, ["a", "data", 1]), '{"x": 10000000000000000001}');
  assert.equal(slice(text, ["missing"]), null);
  assert.equal(slice(text, ["a", 0]), null);
  assert.equal(slicePointer(text, "/n~1m/1"), "1.50");
  assert.equal(slicePointer(text, ""), text);
});

test("the last of equal names counts, as in JSON.parse", () => {
  assert.equal(slice('{"a":1,"a":2}', ["a"]), "2");
});

test("raw parts are sent as they are", () => {
  const body = { pipeline: [{ plugin: "x", settings: new Raw('{"id": 10000000000000000001}') }], left: undefined, none: null };
  assert.equal(stringify(body), '{"pipeline":[{"plugin":"x","settings":{"id": 10000000000000000001}}],"none":null}');
});
