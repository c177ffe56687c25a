import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import { BIG, heading, isSound, newPage, openBrowser, seed, signIn, start, until } from "./support.js";

let engine, sample, browser, page;
before(async () => {
  engine = await start();
  sample = await seed(engine);
  browser = await openBrowser();
  page = await newPage(browser);
  await signIn(page, engine.url, sample.key);
});
after(async () => {
  await browser?.close();
  await engine?.stop();
});

const rows = () => page.locator("[data-list] tr[data-id]");
const go = async (hash) => {
  await page.evaluate((to) => { location.hash = to; }, hash);
};

test("filters are in the address, and a failed delivery says why", async () => {
  await go("#/deliveries");
  await page.getByRole("button", { name: /^exhausted/ }).click();
  await page.waitForURL(/state=exhausted/);
  await page.getByRole("link", { name: "invoice.created" }).click();
  await page.getByText("The receiver answered 500: it failed internally.").first().waitFor();
  assert.match(page.url(), /deliveries\/dlv_.*state=exhausted/);
  await page.getByLabel("Response body", { exact: true }).getByText(BIG).waitFor();
  await page.getByText(/^Body, /).click();
  await page.getByText("The hook has no pipeline: the body is the event’s data.").waitFor();
  await page.getByLabel("Request body", { exact: true }).getByText(BIG).waitFor();
  await page.keyboard.press("Escape");
  await page.waitForURL((url) => !url.hash.includes("dlv_"));
  await isSound(page, "deliveries");
});

test("a dropped delivery and a fault say which step it was", async () => {
  await go("#/deliveries?state=dropped");
  await page.getByRole("link", { name: "order.paid" }).click();
  await page.getByText(/Dropped by/).first().waitFor();
  await go(`#/deliveries?hook=${sample.hooks.chat.id}&state=exhausted`);
  await page.getByRole("link", { name: "order.paid" }).click();
  await page.getByText(/in step 2 failed/).first().waitFor();
  await page.getByText("order A3").waitFor();
});

test("by keyboard alone: search, next row, open, retry, close, help", async () => {
  await go("#/deliveries");
  await page.keyboard.press("/");
  await page.keyboard.type("type:invoice.*");
  await page.keyboard.press("Enter");
  await page.waitForURL(/type=invoice/);
  await page.keyboard.press("Escape");
  await until(async () => (await rows().count()) === 2, "two deliveries of invoices");
  await page.keyboard.press("j");
  await page.keyboard.press("j");
  await page.keyboard.press("k");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Retry now" }).waitFor();
  const before = await page.locator(".timeline .attempt").count();
  await page.keyboard.press("r");
  await until(async () => (await page.locator(".timeline .attempt").count()) > before, "a new attempt is in the timeline");
  await page.keyboard.press("?");
  await page.getByRole("dialog", { name: "Keyboard" }).waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  await page.waitForURL((url) => !url.hash.includes("dlv_"));
});

test("the request is copied as a curl command with its body", async () => {
  await go(`#/deliveries?hook=${sample.hooks.ok.id}`);
  await rows().last().getByRole("link").click();
  await page.getByRole("button", { name: "curl" }).click();
  const text = await until(() => page.evaluate(() => navigator.clipboard.readText()), "something is copied");
  assert.match(text, /^curl -i 'http/);
  assert.ok(text.includes(BIG), text);
});

test("today's pipeline is compared with what was sent, and sends again", async () => {
  await go(`#/deliveries?hook=${sample.hooks.ok.id}`);
  await rows().last().getByRole("link").click();
  await page.getByRole("button", { name: /Compare with today/ }).click();
  await page.getByText("The same request").waitFor();
  await engine.call("PATCH", `/hooks/${sample.hooks.ok.id}`, { headers: { "x-new": "1" } }, { tenant: sample.tenant });
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: /Compare with today/ }).click();
  await page.locator(".diff .added", { hasText: "x-new" }).waitFor();
  await page.getByRole("button", { name: "Send again" }).click();
  await page.getByText("A new delivery is on its way").waitFor();
});

test("new deliveries come in live, and wait while it is paused", async () => {
  await go("#/deliveries?type=live.*");
  await engine.call("POST", "/hooks", { url: `${engine.receiver}/ok`, types: ["live.*"], description: "Live" }, { tenant: sample.tenant });
  await page.locator(".live.on").waitFor();
  await page.mouse.move(5, 5);
  const publish = () => engine.call("POST", "/events", { type: "live.one", data: {} }, { tenant: sample.tenant });
  await publish();
  await until(async () => (await rows().count()) === 1, "the first one is shown");
  await page.getByRole("button", { name: "Pause" }).click();
  await publish();
  await publish();
  await page.getByRole("button", { name: "2 new" }).waitFor();
  assert.equal(await rows().count(), 1);
  await page.getByRole("button", { name: "Resume" }).click();
  await until(async () => (await rows().count()) === 3, "the others are shown");
  await until(async () => (await page.locator(".list .state", { hasText: "succeeded" }).count()) === 3, "their states follow");
});

test("a row shows the status or the error of the last attempt, from the list and from the stream", async () => {
  const outcomes = rows().locator(".outcome");
  const shows = (text) => until(async () => (await outcomes.allTextContents()).includes(text), `a row shows ${text}`);
  await go(`#/deliveries?hook=${sample.hooks.bad.id}&state=exhausted`);
  await shows("500");
  await go(`#/deliveries?hook=${sample.hooks.chat.id}&state=exhausted`);
  const fault = rows().filter({ hasText: "order.paid" }).locator(".outcome").first();
  await fault.waitFor();
  assert.equal(await fault.getAttribute("title"), await fault.textContent());

  await go("#/deliveries?type=told.*");
  await page.locator(".live.on").waitFor();
  await page.mouse.move(5, 5);
  const refused = engine.receiver.replace(/:\d+$/, ":1");
  for (const [url, type] of [[`${engine.receiver}/503`, "told.status"], [refused, "told.error"]]) {
    await engine.call("POST", "/hooks", { url, types: [type], retry: { schedule_s: [] } }, { tenant: sample.tenant });
  }
  await page.getByText("No delivery matches").waitFor();
  const lists = [];
  const note = (request) => { if (request.url().includes("/deliveries?")) lists.push(request.url()); };
  page.on("request", note);
  for (const type of ["told.status", "told.error"]) await engine.call("POST", "/events", { type, data: {} }, { tenant: sample.tenant });
  await shows("503");
  await until(async () => (await outcomes.allTextContents()).filter((text) => text && text !== "503").length === 1, "the error is shown");
  page.off("request", note);
  assert.deepEqual(lists, [], "it came by the stream");
  await isSound(page, "deliveries with outcomes");
});

test("many deliveries are retried by a job with progress", async () => {
  await go(`#/deliveries?hook=${sample.hooks.bad.id}&state=exhausted`);
  await page.getByRole("button", { name: "Retry many" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Retry", exact: true }).click();
  await page.locator(".job", { hasText: "completed" }).waitFor();
  await page.locator(".job").getByRole("button", { name: "Dismiss" }).click();
  await isSound(page, "after a job");
});

test("10,000 deliveries scroll, with few rows in the document", async () => {
  const tenant = sample.tenant;
  await engine.call("POST", "/hooks", { url: `${engine.receiver}/ok`, types: ["many.*"], description: "Many", paused: true }, { tenant });
  for (let batch = 0; batch < 5; batch += 1) {
    const lines = Array.from({ length: 2000 }, (_, index) => `{"type":"many.one","data":${batch * 2000 + index}}`).join("\n");
    await engine.call("POST", "/events/batch", lines, { tenant, type: "application/x-ndjson" });
  }
  await go("#/deliveries?type=many.*");
  await until(async () => (await rows().count()) > 10, "the first page");
  const list = page.locator("[data-list]");
  let longest = 0;
  const lastIndex = () => list.evaluate((element) => [...element.querySelectorAll("tr[data-index]")].at(-1)?.getAttribute("data-index"));
  await until(async () => {
    longest = Math.max(longest, await list.evaluate(async (element) => {
      const began = performance.now();
      element.scrollTop += 2000;
      await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
      return performance.now() - began;
    }));
    return (await lastIndex()) === "9999";
  }, "the last one is reached", 120_000);
  const count = await rows().count();
  assert.ok(count < 120, `${count} rows in the document`);
  // Generous, for machines that are busy; here it is about 35.
  assert.ok(longest < 1000, `a step took ${longest} ms`);
  await list.evaluate((element) => { element.scrollTop = 0; });
  await until(async () => (await rows().first().getAttribute("data-index")) === "0", "back at the top");
});

test("a wrong delivery is a message, not a blank page", async () => {
  page.expected.push(/404 .*dlv_0000000000000/);
  await go("#/deliveries/dlv_0000000000000");
  await page.getByRole("alert").waitFor();
  await go("#/nowhere");
  await heading(page, "There is no such page");
});
