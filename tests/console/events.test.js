import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import { BIG, heading, isSound, newPage, openBrowser, seed, signIn, start } from "./support.js";

let engine, sample, browser, page;
before(async () => {
  engine = await start();
  sample = await seed(engine);
  browser = await openBrowser();
  page = await newPage(browser);
  await signIn(page, engine.url, sample.key, "#/events");
  await heading(page, "Events");
});
after(async () => {
  await browser?.close();
  await engine?.stop();
});

test("an event shows its data with every digit, and what each hook made of it", async () => {
  await page.getByRole("link", { name: "order.paid" }).first().click();
  await page.locator(".detail .t-number", { hasText: BIG }).waitFor();
  await page.getByText("2 of 4 got it").waitFor();
  await page.getByRole("button", { name: "Show 2 that do not subscribe to this type" }).click();
  await page.getByText("It does not subscribe to this type.").first().waitFor();
  await page.getByRole("button", { name: "Copy: Data of the event" }).click();
  assert.ok((await page.evaluate(() => navigator.clipboard.readText())).includes(BIG));
  await isSound(page, "event");
});

test("by keyboard alone: search by type and by id, open, close", async () => {
  await page.keyboard.press("Escape");
  await page.keyboard.press("Escape");
  await page.keyboard.press("/");
  await page.keyboard.type("invoice.*");
  await page.keyboard.press("Enter");
  await page.waitForURL(/type=invoice/);
  await page.keyboard.press("Escape");
  await page.getByRole("link", { name: "invoice.created" }).waitFor();
  await page.keyboard.press("j");
  await page.keyboard.press("Enter");
  await page.getByRole("region", { name: "Event", exact: true }).waitFor();
  await page.keyboard.press("Escape");
  await page.keyboard.press("/");
  await page.keyboard.type(sample.events[0]);
  await page.keyboard.press("Enter");
  await page.waitForURL(/id=evt_/);
});

test("an event is sent to a hook that did not get it", async () => {
  await page.evaluate((id) => { location.hash = `#/events/${id}`; }, sample.events[3]);
  await page.getByRole("button", { name: /^Show 2 that/ }).click();
  await page.locator(".matches li", { hasText: "Orders" }).getByRole("button", { name: "Send" }).click();
  await page.getByText("Sent to Orders.").waitFor();
  await page.getByText("3 of 4 got it").waitFor();
});

test("erasing asks first, and wants a word typed", async () => {
  await page.evaluate((id) => { location.hash = `#/events/${id}`; }, sample.events[2]);
  await page.getByRole("button", { name: "Erase" }).click();
  const dialog = page.getByRole("dialog");
  const erase = dialog.getByRole("button", { name: "Erase for ever" });
  assert.equal(await erase.isDisabled(), true);
  await isSound(page, "question");
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Erase" }).click();
  await dialog.getByLabel(/Type/).fill("erase");
  await erase.click();
  await page.getByText(/The content was erased/).waitFor();
});

test("an empty list says what to do next", async () => {
  await engine.call("POST", "/tenants", { name: "empty.example" });
  const { key } = await engine.call("POST", "/keys", { name: "console" }, { tenant: "empty.example" });
  const empty = await newPage(browser);
  await signIn(empty, engine.url, key);
  await heading(empty, "No hooks yet");
  await empty.getByRole("link", { name: "Create a hook" }).waitFor();
  await isSound(empty, "no deliveries");
  await empty.getByRole("link", { name: "Events" }).click();
  await heading(empty, "No events yet");
  await isSound(empty, "no events");
});
