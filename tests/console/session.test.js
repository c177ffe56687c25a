import assert from "node:assert/strict";
import test, { after, before } from "node:test";
import { heading, isSound, newPage, openBrowser, OPERATOR_KEY, seed, sessionCookie, shoot, signIn, start, until } from "./support.js";

let engine, sample, browser;
before(async () => {
  engine = await start();
  sample = await seed(engine);
  browser = await openBrowser();
});
after(async () => {
  await browser?.close();
  await engine?.stop();
});

test("a wrong key is refused at its field", async () => {
  const page = await newPage(browser);
  page.expected.push(/401/);
  await page.goto(engine.url);
  await page.locator("#key").waitFor();
  await heading(page, "Sign in");
  await isSound(page, "sign in");
  await page.getByLabel("Key", { exact: true }).fill("hwk_wrong");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByText("This key is unknown, or it has expired.").waitFor();
  assert.equal(await page.getByLabel("Key", { exact: true }).getAttribute("aria-invalid"), "true");
});

test("a session outlives a reload, ends by signing out, and leaves nothing in the browser's storage", async () => {
  const page = await newPage(browser);
  await signIn(page, engine.url, sample.key);
  await heading(page, "Deliveries");
  await page.reload();
  await heading(page, "Deliveries");
  const stored = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]));
  assert.equal(stored, '[{},{},""]');
  await page.getByRole("button", { name: "Sign out" }).click();
  await heading(page, "Sign in");
  await page.reload();
  await heading(page, "Sign in");
  assert.deepEqual(page.problems, []);
});

test("a key that is deleted ends the session, with a reason", async () => {
  const { id, key } = await engine.call("POST", "/keys", { name: "short" }, { tenant: sample.tenant });
  const page = await newPage(browser);
  await signIn(page, engine.url, key);
  await heading(page, "Deliveries");
  page.expected.push(/401/);
  await engine.call("DELETE", `/keys/${id}`, undefined, { tenant: sample.tenant });
  await page.getByRole("link", { name: "Events" }).click();
  await page.getByText("Your session has ended. Sign in again.").waitFor();
});

test("a key that may only read is offered nothing that changes", async () => {
  const scopes = ["deliveries:read", "events:read", "hooks:read"];
  const { key } = await engine.call("POST", "/keys", { name: "reader", scopes }, { tenant: sample.tenant });
  const page = await newPage(browser);
  await signIn(page, engine.url, key, `#/hooks/${sample.hooks.ok.id}`);
  await heading(page, "Orders");
  for (const name of ["Send a test", "Edit", "Pause", "Replay", "Delete the hook"]) {
    assert.equal(await page.getByRole("button", { name, exact: true }).count(), 0, name);
  }
  assert.equal(await page.getByRole("link", { name: "Operator" }).count(), 0);
  assert.equal(await page.getByRole("link", { name: "Plugins" }).count(), 0);
});

test("a platform's link signs in with less scopes and its own colors, and does not stay in the address", async () => {
  const theme = { name: "Shop hooks", accent: "#ffd400" };
  const { url } = await engine.call("POST", "/console-links", { scopes: ["deliveries:read", "hooks:read"], theme }, { tenant: sample.tenant });
  const page = await newPage(browser);
  page.expected.push(/401/);
  await page.goto(new URL(new URL(url).hash, engine.url).href);
  await heading(page, "Deliveries");
  assert.ok(!page.url().includes("link"), page.url());
  await page.locator("nav").getByText("Shop hooks").waitFor();
  assert.equal(await page.getByRole("link", { name: "Events" }).count(), 0);
  assert.equal(await page.getByRole("button", { name: "Retry many" }).count(), 0);
  await isSound(page, "with a theme");
});

test("a link replaces a session only if the user wants it", async () => {
  const { url } = await engine.call("POST", "/console-links", { scopes: ["deliveries:read"] }, { tenant: sample.tenant });
  const page = await newPage(browser);
  await signIn(page, engine.url, sample.key);
  await heading(page, "Deliveries");
  const link = new URL(new URL(url).hash, engine.url).href;
  for (const [answer, events] of [["dismiss", 1], ["accept", 0]]) {
    const asked = page.waitForEvent("dialog").then(async (dialog) => {
      assert.match(dialog.message(), /You are signed in to shop\.example/);
      await dialog[answer]();
    });
    await page.goto("about:blank");
    await page.goto(link);
    await asked;
    await heading(page, "Deliveries");
    assert.equal(await page.getByRole("link", { name: "Events" }).count(), events, answer);
  }
});

test("an operator chooses the tenant", async () => {
  const page = await newPage(browser);
  await signIn(page, engine.url, OPERATOR_KEY);
  await heading(page, "Which tenant?");
  await page.getByRole("button", { name: /shop\.example/ }).click();
  await page.getByRole("link", { name: "order.paid" }).first().waitFor();
  await isSound(page, "deliveries of a tenant, for an operator");
});

test("the first page takes four files, and asks once who is signed in", async () => {
  const page = await newPage(browser);
  await signIn(page, engine.url, sample.key);
  await heading(page, "Deliveries");
  await page.reload();
  await heading(page, "Deliveries");
  const names = await page.evaluate(() => performance.getEntriesByType("resource").map(({ name }) => new URL(name).pathname));
  const files = names.filter((name) => /\.(js|css)$/.test(name)).map((name) => name.replace(/-[^-]*\./, ".")).sort();
  assert.deepEqual(files, ["/console/chunk.js", "/console/console.css", "/console/console.js", "/console/main.js"]);
  assert.equal(names.filter((name) => name === "/console/session").length, 1);
});

/** Where the first seen element of each selector is. */
const places = (page, selectors) => page.evaluate((wanted) => wanted.map((selector) => {
  const seen = [...document.querySelectorAll(`#root ${selector}`)].find((one) => one.getClientRects().length > 0);
  const { x, y, width, height } = seen.getBoundingClientRect();
  return [selector, x, y, width, height];
}), selectors);

for (const [theme, width] of [["light", 1440], ["dark", 1440], ["light", 360], ["dark", 360]]) {
  test(`an outline is painted before the script is there, and nothing moves then: ${theme}, ${width} pixels`, async () => {
    const selectors = [".brand", "main", ...(width > 360 ? [".side"] : [".bar"])];
    const page = await newPage(browser, { theme, width });
    await page.context().addCookies([await sessionCookie(engine, sample.key)]);
    let release;
    const held = new Promise((done) => { release = done; });
    await page.route("**/console/main-*.js", async (route) => {
      await held;
      await route.continue();
    });
    await page.goto(engine.url, { waitUntil: "commit" });
    await until(() => page.evaluate(() => performance.getEntriesByName("first-contentful-paint").length > 0), "the outline is painted");
    await page.locator('#first[data-view="frame"]').waitFor();
    await isSound(page, "outline");
    await shoot(page, `outline-${theme}-${width}`);
    const outlined = await places(page, selectors);
    release();
    await page.locator("#first").waitFor({ state: "detached" });
    assert.deepEqual(await places(page, selectors), outlined);
    await page.context().close();
  });
}
