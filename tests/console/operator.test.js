import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import { heading, isSound, newPage, openBrowser, OPERATOR_KEY, seed, signIn, start, until } from "./support.js";

let engine, sample, browser, page;
before(async () => {
  engine = await start();
  sample = await seed(engine);
  browser = await openBrowser();
  page = await newPage(browser);
  await signIn(page, engine.url, OPERATOR_KEY, "#/operator");
  await heading(page, "Operator");
});
after(async () => {
  await browser?.close();
  await engine?.stop();
});

test("the overview says what waits, how long things take and what is stored", async () => {
  await page.getByText("Oldest delivery that is late").waitFor();
  await page.getByText("none", { exact: true }).waitFor();
  for (const label of ["Commit, median", "Commit, 99 %", "Acceptance to arrival, 99 %", "Free on the volume of data_dir"]) {
    const figure = await page.locator(".card", { has: page.getByText(label, { exact: true }) }).locator(".figure").textContent();
    assert.match(figure, /^\d/, label);
  }
  await isSound(page, "overview");
});

test("hooks that fail are listed over all tenants, and lead to the hook", async () => {
  await engine.call("PATCH", `/hooks/${sample.hooks.bad.id}`, { enabled: false }, { tenant: sample.tenant });
  await engine.call("POST", "/tenants", { name: "other.example" });
  const other = await engine.call("POST", "/hooks", { url: `${engine.receiver}/ok`, types: ["*"], description: "Elsewhere", paused: true }, { tenant: "other.example" });
  await page.getByRole("tab", { name: "Failing hooks" }).click();
  const rows = page.getByRole("table", { name: "Hooks that are not in order" }).locator("tbody tr");
  await rows.nth(1).waitFor();
  assert.deepEqual(await rows.locator("td:nth-child(2)").allTextContents(), ["other.example", "shop.example"], "the latest change first");
  await isSound(page, "failing hooks");
  await page.getByRole("button", { name: "disabled" }).click();
  await rows.first().getByRole("link", { name: "Billing" }).waitFor();
  assert.equal(await rows.count(), 1);
  await page.getByRole("button", { name: "disabled" }).click();
  await rows.getByRole("link", { name: "Elsewhere" }).click();
  await heading(page, "Elsewhere");
  assert.ok(page.url().endsWith(`#/hooks/${other.id}`), page.url());
  await page.locator(".who").getByText("other.example").waitFor();
  await page.getByRole("button", { name: "Change tenant" }).click();
  await page.evaluate(() => { location.hash = "#/operator/tenants"; });
  await heading(page, "Operator");
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

test("nodes, the audit log and operators' keys are shown", async () => {
  await page.getByRole("tab", { name: "Failing hooks" }).click();
  await page.getByRole("tab", { name: "Failing hooks", selected: true }).waitFor();
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
