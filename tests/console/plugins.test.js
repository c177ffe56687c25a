import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import test, { after, before } from "node:test";
import { heading, isSound, newPage, openBrowser, seed, shoot, signIn, start } from "./support.js";

/** Components of the repository, which the test uploads under another name. */
const WASM = process.env.HOOKWRIGHT_PLUGINS;
let engine, sample, browser, page;
before(async () => {
  engine = await start();
  sample = await seed(engine);
  browser = await openBrowser();
  page = await newPage(browser);
  await signIn(page, engine.url, sample.key, "#/plugins");
  await heading(page, "Plugins");
});
after(async () => {
  await browser?.close();
  await engine?.stop();
});

const wasm = async (name) => ({ name: `${name}.wasm`, mimeType: "application/wasm", buffer: await readFile(`${WASM}/${name}.wasm`) });
const choose = (file) => page.locator("input[type=file]").setInputFiles(file);
const upload = () => page.getByRole("button", { name: "Check and upload" }).click();
const done = async () => {
  await heading(page, "Uploaded");
  await page.getByRole("button", { name: "Done" }).click();
};

test("plugins are listed with who uses them", async () => {
  const row = page.getByRole("row", { name: /event-filter/ });
  await row.getByText("1 hook").waitFor();
  await isSound(page, "plugins");
  await page.getByRole("link", { name: "javascript" }).click();
  await page.getByText("Runs looked at").waitFor();
  await page.getByText(/Last failure: TypeError/).waitFor();
  await page.getByRole("link", { name: /Chat/ }).waitFor();
  await isSound(page, "plugin");
  await page.getByRole("link", { name: "Plugins" }).first().click();
});

test("a file that is no plugin is refused with the reason", async () => {
  page.expected.push(/400 .*\/plugins\/broken/);
  await choose({ name: "broken.wasm", mimeType: "application/wasm", buffer: Buffer.from("not wasm") });
  await upload();
  await page.getByText("Invalid plugin").waitFor();
  await page.getByText(/is not WebAssembly/).waitFor();
  await isSound(page, "refused");
  await page.getByRole("button", { name: "Cancel" }).click();
});

test("a file is dropped, checked and uploaded", async () => {
  const bytes = [...(await wasm("field-map")).buffer];
  const drop = await page.evaluateHandle((bytes) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([new Uint8Array(bytes)], "My_Map.wasm", { type: "application/wasm" }));
    return transfer;
  }, bytes);
  await page.locator(".drop").dispatchEvent("drop", { dataTransfer: drop });
  assert.equal(await page.getByLabel(/^Name/).inputValue(), "my-map");
  await shoot(page, "plugins-upload");
  await upload();
  await page.getByText("Version 1 passed the check").waitFor();
  await isSound(page, "uploaded");
  await done();
  await page.getByRole("link", { name: "my-map" }).waitFor();
});

test("an older version is made current again", async () => {
  await page.getByRole("link", { name: "my-map" }).click();
  await heading(page, "Versions");
  await choose(await wasm("cloudevents"));
  await upload();
  await page.getByText("Version 2 passed the check").waitFor();
  await done();
  await page.getByRole("row", { name: /^2 current/ }).waitFor();
  await page.getByRole("button", { name: "Make current" }).click();
  await page.getByRole("button", { name: "Make it current" }).click();
  await page.getByText("Version 3 is current.").waitFor();
  const { data } = await engine.call("GET", "/plugins/my-map/versions", undefined, { tenant: sample.tenant });
  assert.equal(data[2].digest, data[0].digest);
  await page.getByRole("row", { name: /^3 current/ }).waitFor();
  await shoot(page, "plugins-versions");
  await isSound(page, "versions");
});

test("by keyboard alone: try it, and delete it after a question", async () => {
  await page.getByRole("link", { name: "Try it" }).focus();
  await page.keyboard.press("Enter");
  await page.getByRole("article", { name: "Step 1, my-map" }).waitFor();
  await page.goBack();
  await heading(page, "Versions");
  await page.getByRole("button", { name: "Delete", exact: true }).focus();
  await page.keyboard.press("Enter");
  const dialog = page.getByRole("dialog");
  await dialog.getByLabel(/Type/).fill("my-map");
  await page.keyboard.press("Enter");
  await heading(page, "Plugins");
  await page.getByText("my-map is deleted.").waitFor();
  assert.equal(await page.getByRole("link", { name: "my-map" }).count(), 0);
});
