import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import { BIG, isSound, newPage, openBrowser, seed, shoot, signIn, start, until } from "./support.js";

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

const go = (hash) => page.evaluate((to) => { location.hash = to; }, hash);
const script = (step) => page.getByRole("textbox", { name: `Script of step ${step}` });
const verdict = (text) => page.getByText(text, { exact: true }).waitFor();
const body = () => page.getByRole("region", { name: "Body of the request" }).textContent();

/** Replaces an editor's text. */
async function write(editor, text) {
  await editor.click();
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.insertText(text);
}

test("from a failed delivery: see why, mend the script on that event, save, retry", async () => {
  const { data } = await engine.call("GET", `/deliveries?hook=${sample.hooks.chat.id}&state=exhausted`, undefined, { tenant: sample.tenant });
  await go(`#/deliveries/${data[0].id}`);
  await page.getByRole("link", { name: "Open in the playground" }).click();
  await page.getByText("Given up after 1 attempt").waitFor();
  await verdict("fails: retried later");
  await page.locator(".fault", { hasText: "TypeError" }).waitFor();
  await page.locator(".cm-lintRange-error").waitFor();
  await page.getByRole("button", { name: "Show the place" }).click();
  assert.equal(await page.evaluate(() => document.activeElement?.getAttribute("aria-label")), "Script of step 2");
  await shoot(page, "playground-fault");

  await write(script(2), "return { body: { text: `Order ${event.data.number} by ${event.data.customer?.name ?? 'a guest'}` } };");
  await verdict("would be sent");
  assert.match(await body(), /Order A3 by a guest/);
  await page.getByRole("tab", { name: "Against today" }).click();
  await page.locator(".diff .removed", { hasText: "failed" }).waitFor();
  await isSound(page, "playground");

  await page.getByRole("button", { name: "Save to the hook …" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("heading", { name: "2 the same, 1 differs" }).waitFor();
  await dialog.getByText("failed → sent").waitFor();
  await shoot(page, "playground-save");
  await isSound(page, "save to the hook");
  await dialog.getByRole("button", { name: "Save", exact: true }).click();
  await page.getByRole("button", { name: "Retry the delivery" }).click();
  await until(async () => (await engine.call("GET", `/deliveries/${data[0].id}`, undefined, { tenant: sample.tenant })).state === "succeeded", "the delivery arrives");
  const { pipeline } = await engine.call("GET", `/hooks/${sample.hooks.chat.id}`, undefined, { tenant: sample.tenant });
  assert.match(pipeline[1].settings.script, /a guest/);
});

test("digits of large numbers stay, in the event, in settings and when they are saved", async () => {
  await go(`#/playground?hook=${sample.hooks.ok.id}&event=${sample.events[0]}`);
  await page.locator(".pane .t-number", { hasText: BIG }).first().waitFor();
  await verdict("would be sent");
  assert.ok((await body()).includes(BIG), "nothing changes the data");
  await go(`#/playground?hook=${sample.hooks.chat.id}&event=${sample.events[0]}`);
  await page.getByRole("textbox", { name: "Settings of step 1" }).getByText(BIG).waitFor();
  await write(script(2), "return { body: 'one' };");
  await page.getByRole("button", { name: "Save to the hook …" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Save", exact: true }).click();
  await page.getByRole("dialog").waitFor({ state: "detached" });
  const stored = await fetch(`${engine.url}/api/v3/hooks/${sample.hooks.chat.id}`, { headers: { authorization: `Bearer ${sample.key}` } });
  assert.ok((await stored.text()).includes(`"not_equals":${BIG}`));
});

test("runs while somebody types; the last text counts", async () => {
  const runs = [];
  const count = (request) => request.url().endsWith("/preview") && runs.push(request);
  page.on("request", count);
  await script(2).click();
  await page.keyboard.press("ControlOrMeta+a");
  await page.keyboard.type("return { body: String(event.data.number) + '!' };", { delay: 10 });
  await page.getByRole("region", { name: "Body of the request" }).getByText("A1!").waitFor();
  page.off("request", count);
  assert.ok(runs.length < 10, `${runs.length} requests for 48 letters`);
});

test("completion knows the data of the event", async () => {
  await write(script(2), "const who = event.data.customer;\n");
  await page.keyboard.type("who.");
  await page.getByRole("option", { name: /name/ }).click();
  await until(async () => (await script(2).textContent()).includes("who.name"), "the name is completed");
});

test("logs, limits and drops are shown", async () => {
  await write(script(2), "console.warn('slow', event.data.number);\nfor (;;) {}");
  await page.locator(".fault", { hasText: "used up" }).waitFor();
  await page.getByText(/^over /).waitFor();
  await page.locator("meter.bad").waitFor();
  await page.getByRole("log").getByText("slow A1").waitFor();
  await shoot(page, "playground-fuel");
  await write(script(2), "return null;");
  await verdict("dropped: nothing is sent");
  await isSound(page, "dropped");
});

test("wrong settings are underlined where they are", async () => {
  const settings = page.getByRole("textbox", { name: "Settings of step 1" });
  await write(settings, '{"pointer": "/total", "greater": 3}');
  await page.locator(".fault", { hasText: "unknown field" }).waitFor();
  assert.equal(await page.locator(".cm-lintRange-error").allTextContents().then((parts) => parts.join("")), '"greater": 3');
  await write(settings, "{");
  await page.getByText("This is not JSON.", { exact: true }).waitFor();
  await page.locator('[data-language="json"] .cm-lintRange-error, [data-language="json"] .cm-lintPoint-error').first().waitFor({ state: "attached" });
  assert.equal(await page.getByRole("button", { name: "Save to the hook …" }).isDisabled(), true);
  await page.getByRole("button", { name: "Discard changes" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Discard" }).click();
  await settings.getByText(BIG).waitFor();
});

test("by keyboard alone: Escape, then Tab leaves the editor; a step is added and moved", async () => {
  await script(2).focus();
  await page.keyboard.press("Escape");
  await page.keyboard.press("Tab");
  assert.equal(await page.evaluate(() => document.activeElement?.isContentEditable), false);
  await page.getByLabel("Plugin of the new step").focus();
  await page.keyboard.type("field");
  await page.keyboard.press("Tab");
  await page.keyboard.press("Enter");
  await page.getByRole("article", { name: "Step 3, field-map" }).waitFor();
  await page.getByRole("button", { name: "Move up: Step 3, field-map" }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("article", { name: "Step 2, field-map" }).waitFor();
  await page.getByRole("button", { name: "Remove: Step 2, field-map" }).focus();
  await page.keyboard.press("Enter");
  await page.getByText("2 steps", { exact: true }).waitFor();
});

test("a sample without a hook runs one plugin", async () => {
  await go("#/playground");
  await verdict("would be sent");
  await write(page.getByRole("textbox", { name: "Data of the sample, JSON" }), `{"serial": ${BIG}`);
  await page.getByText("The data is not JSON.").first().waitFor();
  await page.keyboard.type("}");
  await verdict("would be sent");
  await page.getByRole("button", { name: /^Remove/ }).click();
  await page.getByText("Add a step to run.").waitFor();
  await isSound(page, "without a hook");
});

test("a key that only reads sees the pipeline, and changes nothing", async () => {
  const scopes = ["hooks:read", "events:read", "plugins:read"];
  const { key } = await engine.call("POST", "/keys", { name: "reader", scopes }, { tenant: sample.tenant });
  const reader = await newPage(browser);
  await signIn(reader, engine.url, key, `#/playground?hook=${sample.hooks.chat.id}&event=${sample.events[0]}`);
  await reader.getByText("Your key may read hooks, and not change them").waitFor();
  await reader.getByText("would be sent", { exact: true }).waitFor();
  assert.equal(await reader.getByRole("button", { name: /Remove/ }).count(), 0);
  await isSound(reader, "reading only");
});
