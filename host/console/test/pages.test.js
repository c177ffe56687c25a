import assert from "node:assert/strict";
import test from "node:test";
import { Pages } from "../src/lib/pages.js";

/** @typedef {{id: string, state: string}} Item */

/** @param {string} text such as `c:sent b:sent` @returns {Item[]} */
const items = (text) => text.split(" ").filter(Boolean).map((one) => ({ id: one.split(":")[0], state: one.split(":")[1] }));
/** @param {Item[]} all */
const written = (all) => all.map(({ id, state }) => `${id}:${state}`).join(" ");

/**
 * A list that shows `shown`, is loaded again, and is told `told` before the answer `listed` is there.
 * @param {string} shown @param {string} told @param {string} listed
 */
async function refreshed(shown, told, listed) {
  const pages = new Pages("/deliveries", {}, (/** @type {Item} */ item) => item.id);
  pages.items.value = items(shown);
  pages.next = "next";
  pages.get = async () => {
    const news = new Map(items(told).map((item) => [item.id, item]));
    const former = pages.items.peek();
    const cameIn = [...news.values()].filter(({ id }) => !former.some((item) => item.id === id));
    pages.items.value = [...cameIn, ...former.map((item) => news.get(item.id) ?? item)];
    return { data: items(listed), next: "other" };
  };
  await pages.refresh((_, now) => now);
  return { shown: written(pages.items.value), next: pages.next };
}

test("a list that is loaded again keeps what it was told meanwhile", async () => {
  for (const [shown, told, listed, expected, next] of [
    ["b:sent a:sent", "", "c:sent b:sent", "c:sent b:sent a:sent", "next"],
    ["b:due a:due", "", "b:sent a:due", "b:sent a:due", "next"],
    ["b:due a:due", "b:sent", "b:due a:due", "b:sent a:due", "next"],
    ["a:sent", "c:due", "b:due a:sent", "c:due b:due a:sent", "next"],
    ["", "c:due", "", "c:due", "other"],
    ["b:sent a:sent", "", "z:due y:due", "z:due y:due", "other"],
  ]) assert.deepEqual(await refreshed(shown, told, listed), { shown: expected, next }, `${shown} | ${told} | ${listed}`);
});

test("a page that is fetched while the list is loaded again follows what was there", async () => {
  const pages = new Pages("/deliveries", {}, (/** @type {Item} */ item) => item.id);
  pages.items.value = items("d:sent c:sent");
  pages.next = "c";
  pages.get = async ({ cursor }) => {
    // The first page takes longer.
    for (let round = 0; !cursor && round < 5; round += 1) await Promise.resolve();
    return cursor ? { data: items("b:sent a:sent"), next: null } : { data: items("e:sent d:sent"), next: "d" };
  };
  await Promise.all([pages.refresh(), pages.more()]);
  assert.equal(written(pages.items.value), "e:sent d:sent c:sent b:sent a:sent");
  assert.equal(pages.next, null);
});
