import assert from "node:assert/strict";
import { createHmac, randomBytes } from "node:crypto";
import test, { after, before } from "node:test";
import { heading, isSound, newPage, openBrowser, seed, signIn, start } from "./support.js";

let engine, sample, browser, page;
before(async () => {
  engine = await start();
  sample = await seed(engine);
  browser = await openBrowser();
  page = await newPage(browser);
  await signIn(page, engine.url, sample.key, "#/doctor");
  await heading(page, "Signature doctor");
});
after(async () => {
  await browser?.close();
  await engine?.stop();
});

test("by keyboard alone, it says which cause it is, and sends nothing", async () => {
  const requests = [];
  page.on("request", (request) => requests.push(`${request.url()} ${request.postData() ?? ""}`));
  const key = randomBytes(24);
  const timestamp = Math.floor(Date.now() / 1000);
  const signature = createHmac("sha256", key).update(`evt_1.${timestamp}.{"a":1}`).digest("base64");
  await page.getByLabel("Headers").focus();
  await page.keyboard.insertText(`webhook-id: evt_1\nwebhook-timestamp: ${timestamp}\nwebhook-signature: v1,${signature}`);
  await page.keyboard.press("Tab");
  await page.keyboard.type('{"a": 1}');
  await page.keyboard.press("Tab");
  const secret = `whsec_${key.toString("base64")}`;
  await page.keyboard.insertText(secret);
  await page.getByRole("heading", { name: "The body was changed before it was verified" }).waitFor();
  await isSound(page, "doctor");
  await page.getByLabel(/^Body/).fill('{"a":1}');
  await page.getByRole("heading", { name: "The signature is valid" }).waitFor();
  await page.getByLabel("Secret").fill(`whsec_${randomBytes(24).toString("base64")}`);
  await page.getByRole("heading", { name: "Wrong secret, or another body" }).waitFor();
  assert.deepEqual(requests.filter((request) => request.includes("whsec") || request.includes("evt_1")), []);
});

test("the request of a real delivery is found valid with the hook's own secret", async () => {
  const { secret } = await engine.call("GET", `/hooks/${sample.hooks.ok.id}/secret`, undefined, { tenant: sample.tenant });
  const { data } = await engine.call("GET", `/deliveries?hook=${sample.hooks.ok.id}`, undefined, { tenant: sample.tenant });
  const path = `/deliveries/${data[0].id}`;
  const [attempt] = (await engine.call("GET", path, undefined, { tenant: sample.tenant })).attempts;
  const { body } = await engine.call("GET", `${path}/attempts/${attempt.id}/body`, undefined, { tenant: sample.tenant });
  await page.getByLabel("Headers").fill(Object.entries(attempt.request.headers).map(([name, value]) => `${name}: ${value}`).join("\n"));
  await page.getByLabel(/^Body/).fill(body);
  await page.getByLabel("Secret").fill(secret);
  await page.getByRole("heading", { name: "The signature is valid" }).waitFor();
});
