import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import { heading, isSound, newPage, openBrowser, OPERATOR_KEY, seed, signIn, start, until } from "./support.js";

let engine, browser, page;
before(async () => {
  engine = await start();
  await seed(engine);
  browser = await openBrowser();
  page = await newPage(browser);
  await signIn(page, engine.url, OPERATOR_KEY, "#/operator");
  await heading(page, "Operator");
});
after(async () => {
  await browser?.close();
  await engine?.stop();
});

test("a tenant is created by keyboard alone, and gets a key that is shown once", async () => {
  await page.getByRole("button", { name: "Create a tenant" }).focus();
  await page.keyboard.press("Enter");
  await page.keyboard.type("new.example");
  await page.keyboard.press("Enter");
  await heading(page, "new.example");
  await page.getByRole("button", { name: "Create a key" }).click();
  await page.keyboard.type("first");
  await page.keyboard.press("Enter");
  const key = await page.locator("dialog code", { hasText: "hwk_" }).textContent();
  await page.getByRole("button", { name: "I have it" }).click();
  assert.equal((await engine.call("GET", "/tenants", undefined, { key })).data[0].name, "new.example");
  await isSound(page, "tenant");
});

test("limits are changed, and a refusal is told at its field", async () => {
  page.expected.push(/400/);
  await page.getByRole("button", { name: "Change limits" }).click();
  await page.getByLabel("Hooks", { exact: true }).fill("0.5");
  await page.getByRole("button", { name: "Save" }).click();
  await until(() => page.getByLabel("Hooks", { exact: true }).getAttribute("aria-invalid"), "the field says what is wrong");
  await page.getByLabel("Hooks", { exact: true }).fill("5");
  await isSound(page, "limits");
  await page.getByRole("button", { name: "Save" }).click();
  await page.locator("tr", { hasText: "its own" }).waitFor();
});

test("a tenant is suspended and resumed, and deleted only by its name", async () => {
  await page.getByRole("button", { name: "Suspend" }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Suspend" }).click();
  await page.getByRole("button", { name: "End the suspension" }).click();
  await page.getByText("The tenant is active again.").waitFor();
  await page.getByRole("button", { name: "Delete the tenant" }).click();
  await page.getByRole("dialog").getByLabel(/Type/).fill("new.example");
  await page.getByRole("button", { name: "Delete for ever" }).click();
  await page.getByText("The tenant is being deleted.").waitFor();
});

test("failing hooks of all tenants, nodes, the audit log and operators' keys are shown", async () => {
  await page.getByRole("tab", { name: "Failing hooks" }).click();
  await page.getByText(/hooks of \d+ tenants? are not in order/).waitFor();
  await isSound(page, "failing hooks");
  await page.keyboard.press("ArrowRight");
  await page.getByText("Nodes alive").waitFor();
  await isSound(page, "nodes");
  await page.getByRole("tab", { name: "Audit log" }).click();
  await page.getByLabel("What: hook, or hook.updated").fill("tenant");
  await page.keyboard.press("Enter");
  await page.waitForURL(/action=tenant/);
  await page.getByText("tenant.created").first().waitFor();
  await isSound(page, "audit log");
  await page.getByRole("tab", { name: "Operators’ keys" }).click();
  await page.getByRole("button", { name: "Create a key" }).click();
  await page.keyboard.type("ada");
  await page.keyboard.press("Enter");
  await page.getByRole("button", { name: "I have it" }).click();
  await page.getByRole("button", { name: "Delete the key ada" }).waitFor();
  await isSound(page, "operators' keys");
});

test("the engine is paused after a question", async () => {
  await page.getByRole("button", { name: "Pause the engine" }).click();
  await page.getByRole("button", { name: "Pause everything" }).click();
  await page.getByText(/everything is paused/).waitFor();
  await page.getByRole("button", { name: "Resume the engine" }).click();
  await page.getByText("The engine sends again.").waitFor();
});
