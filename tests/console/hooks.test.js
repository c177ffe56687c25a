import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import { BIG, heading, isSound, newPage, openBrowser, seed, signIn, start, until } from "./support.js";

let engine, sample, browser, page;
before(async () => {
  engine = await start();
  sample = await seed(engine);
  browser = await openBrowser();
  page = await newPage(browser);
  await signIn(page, engine.url, sample.key, "#/hooks");
});
after(async () => {
  await browser?.close();
  await engine?.stop();
});

const go = (hash) => page.evaluate((to) => { location.hash = to; }, hash);

test("a hook is created by keyboard alone, with the API's refusals at their fields", async () => {
  await heading(page, "Hooks");
  await page.keyboard.press("n");
  await heading(page, "Create a hook");
  page.expected.push(/400/);
  await page.getByLabel("URL").focus();
  await page.keyboard.type("not a url");
  await page.keyboard.press("Tab");
  await page.keyboard.type("order.*");
  await page.keyboard.press("Enter");
  await until(() => page.getByLabel("URL").getAttribute("aria-invalid"), "the field says what is wrong");
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("name")), "url");
  await isSound(page, "form with an error");
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.type(`${engine.receiver}/new`);
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "Send a test" }).waitFor();
});

test("wrong settings of a plugin are told at their step", async () => {
  await go("#/hooks/new");
  await page.getByLabel("URL").fill(`${engine.receiver}/filtered`);
  await page.getByLabel(/Event types/).fill("*");
  await page.getByRole("button", { name: "Add a step" }).click();
  await page.getByLabel("Settings (JSON)").fill('{"pointr": "/total"}');
  await page.getByRole("button", { name: "Create the hook" }).click();
  await page.locator(".step .error", { hasText: "pointr" }).waitFor();
});

test("a test is sent, and the page says what became of it", async () => {
  await go(`#/hooks/${sample.hooks.bad.id}`);
  await heading(page, "Billing");
  await page.getByRole("button", { name: "Send a test" }).click();
  await page.getByLabel("Data (JSON)").fill(`{"serial": ${BIG}}`);
  await page.getByRole("dialog").getByRole("button", { name: "Send", exact: true }).click();
  await page.getByRole("dialog").getByText("The receiver answered 500").waitFor();
  await isSound(page, "test dialog");
  await page.getByRole("link", { name: "Show the delivery" }).click();
  await page.getByText("a test").first().waitFor();
});

test("a hook is paused, resumed, edited, and its settings keep every digit", async () => {
  await go(`#/hooks/${sample.hooks.chat.id}`);
  await page.getByRole("button", { name: "Pause" }).click();
  await page.getByRole("heading", { name: "Paused" }).waitFor();
  await page.getByRole("button", { name: "Resume" }).click();
  await page.getByText("The hook sends again.").waitFor();
  await page.locator(".t-number", { hasText: BIG }).first().waitFor();
  await page.getByRole("link", { name: "Edit" }).click();
  await heading(page, "Edit the hook");
  const settings = page.getByLabel("Settings (JSON)");
  await settings.fill((await settings.inputValue()).replace("100", "50"));
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("Saved.").waitFor();
  const response = await fetch(`${engine.url}/api/v3/hooks/${sample.hooks.chat.id}`, { headers: { authorization: `Bearer ${sample.key}` } });
  const text = await response.text();
  assert.ok(text.includes(`"greater_than":50,"not_equals":${BIG}`), text);
});

test("the secret is shown only when asked for, and rotated after a question", async () => {
  await go(`#/hooks/${sample.hooks.ok.id}`);
  await heading(page, "Orders");
  assert.equal(await page.getByText(/whsec_/).count(), 0);
  await page.getByRole("button", { name: "Show", exact: true }).click();
  const first = await page.getByText(/whsec_/).first().textContent();
  await page.getByRole("button", { name: "Rotate the secret" }).click();
  await page.getByRole("button", { name: "Make a new one" }).click();
  await until(async () => (await page.getByText(/whsec_/).first().textContent()) !== first, "there is a new secret");
  assert.equal(await page.getByText(/whsec_/).count(), 2);
  await isSound(page, "hook");
});

test("what was missed is counted and recovered, and a replay looks first", async () => {
  await engine.call("POST", "/events", { type: "late.one", data: 1 }, { tenant: sample.tenant });
  const late = await engine.call("POST", "/hooks", { url: `${engine.receiver}/late`, types: ["late.*"], description: "Late" }, { tenant: sample.tenant });
  await go(`#/hooks/${late.id}`);
  await page.getByRole("button", { name: "Recover missed" }).click();
  await page.getByRole("button", { name: "Count them first" }).click();
  await page.getByText("1 missed events.").waitFor();
  await page.getByRole("button", { name: "Recover", exact: true }).click();
  await page.getByText("1 deliveries made.").waitFor();
  await page.keyboard.press("Escape");
  await until(async () => (await engine.call("GET", `/deliveries?hook=${late.id}&state=succeeded`, undefined, { tenant: sample.tenant })).data.length === 1, "it is delivered");
  await page.getByRole("button", { name: "Replay" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "exhausted" }).click();
  await page.getByRole("button", { name: "Look first" }).click();
  await page.getByText("1 events would be sent").waitFor();
  await isSound(page, "replay dialog");
  await page.getByRole("button", { name: "Start the replay" }).click();
  await page.locator(".job", { hasText: "completed" }).waitFor();
});

test("a hook is deleted only after its name is typed", async () => {
  await go(`#/hooks/${sample.hooks.waiting.id}`);
  await page.getByRole("button", { name: "Delete the hook" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel(/Type/).fill("Accounting");
  await dialog.getByRole("button", { name: "Delete the hook" }).click();
  await page.getByText("The hook is deleted.").waitFor();
  await heading(page, "Hooks");
});
