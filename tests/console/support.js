// What the tests share: an engine with data, receivers that misbehave, and a browser that tolerates no errors.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import http from "node:http";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

export const OPERATOR_KEY = "operator-key-of-the-console-tests";
export const BIG = "12345678901234567890123";
const AXE = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Waits until `check` returns something. */
export async function until(check, what, ms = 20_000) {
  const end = Date.now() + ms;
  for (;;) {
    const found = await check();
    if (found) return found;
    assert.ok(Date.now() < end, `did not happen in ${ms} ms: ${what}`);
    await new Promise((done) => setTimeout(done, 50));
  }
}

/** A receiver whose path says how it answers: `/500`, `/410`, `/ok`. */
async function receiver() {
  const server = http.createServer((request, response) => {
    request.resume().on("end", () => {
      const status = Number(/\/(\d{3})/.exec(request.url)?.[1] ?? 200);
      response.writeHead(status, { "content-type": "application/json" }).end(`{"status":${status},"serial":${BIG}}`);
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { url: `http://127.0.0.1:${server.address().port}`, close: () => server.close() };
}

/** An engine in a temporary directory, with a receiver. */
export async function start() {
  const data = await mkdtemp(join(tmpdir(), "hookwright-console-"));
  const env = { ...process.env, HOOKWRIGHT_ADMIN_KEY: OPERATOR_KEY, HOOKWRIGHT_EGRESS_ALLOW: "127.0.0.0/8", HOOKWRIGHT_LOG: "warn" };
  for (const name of ["HOOKWRIGHT_BINARY", "HOOKWRIGHT_CONSOLE_SHOTS", "HOOKWRIGHT_TEST_POSTGRES", "HOOKWRIGHT_TEST_REQUIRE_POSTGRES", "HOOKWRIGHT_TEST_ENGINES_ON"]) delete env[name];
  const child = spawn(process.env.HOOKWRIGHT_BINARY, ["serve", "--listen", "127.0.0.1:0", "--admin-listen", "off", "--data-dir", data], { env, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (part) => { said += part; });
  const url = await until(() => {
    assert.equal(child.exitCode, null, said);
    return /http:\/\/127\.0\.0\.1:\d+/.exec(said)?.[0];
  }, "the engine serves", 60_000);
  const target = await receiver();
  const engine = {
    url, receiver: target.url,
    stop: async () => {
      child.kill();
      await once(child, "exit");
      target.close();
      await rm(data, { recursive: true, force: true });
    },
    /** Calls the API; `body` is JSON or its text. */
    call: async (method, path, body, { tenant, key = OPERATOR_KEY, type } = {}) => {
      const headers = { authorization: `Bearer ${key}`, ...(tenant && { "hookwright-tenant": tenant }) };
      if (body !== undefined) headers["content-type"] = type ?? (method === "PATCH" ? "application/merge-patch+json" : "application/json");
      const response = await fetch(`${url}/api/v3${path}`, { method, headers, body: body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body) });
      const text = await response.text();
      assert.ok(response.ok, `${method} ${path}: ${response.status} ${text}`);
      return text ? JSON.parse(text) : null;
    },
  };
  return engine;
}

/** A tenant with hooks of each kind, and events whose deliveries are final. */
export async function seed(engine, tenant = "shop.example") {
  await engine.call("POST", "/tenants", { name: tenant });
  const { key } = await engine.call("POST", "/keys", { name: "console" }, { tenant });
  const hook = (body) => engine.call("POST", "/hooks", { retry: { schedule_s: [] }, ...body }, { tenant });
  const ok = await hook({ url: `${engine.receiver}/ok`, types: ["order.*"], description: "Orders", retain_bodies_s: 3600 });
  const bad = await hook({ url: `${engine.receiver}/500`, types: ["invoice.*"], description: "Billing" });
  const waiting = await hook({ url: `${engine.receiver}/503`, types: ["invoice.*"], description: "Accounting", retry: { schedule_s: [3600] } });
  const settings = `{"pointer":"/total","greater_than":100,"not_equals":${BIG}}`;
  const script = "console.log(`order ${event.data.number}`);\nreturn { body: { text: `Order ${event.data.number} by ${event.data.customer.name}` } };";
  const chat = await engine.call("POST", "/hooks", `{"url":"${engine.receiver}/chat","types":["order.*"],"description":"Chat","retain_bodies_s":3600,"retry":{"schedule_s":[]},"pipeline":[{"plugin":"event-filter","settings":${settings}},{"plugin":"javascript","settings":{"script":${JSON.stringify(script)}}}]}`, { tenant });
  const events = [];
  for (const [type, data] of [
    ["order.paid", `{"number":"A1","total":120.50,"serial":${BIG},"customer":{"name":"Ada"}}`],
    ["order.paid", `{"number":"A2","total":12,"serial":${BIG},"customer":{"name":"Ada"}}`],
    ["order.paid", `{"number":"A3","total":300,"serial":${BIG}}`],
    ["invoice.created", `{"number":"I1","serial":${BIG}}`],
  ]) events.push((await engine.call("POST", "/events", `{"type":"${type}","data":${data}}`, { tenant })).engine_id);
  await until(async () => (await engine.call("GET", "/deliveries?state=pending,delivering", undefined, { tenant })).data.length === 0, "the deliveries of the sample are attempted");
  return { tenant, key, events, hooks: { ok, bad, waiting, chat } };
}

/** The cookie of a session with a key, as a browser keeps it. */
export async function sessionCookie({ url }, key) {
  const answer = await fetch(`${url}/console/session`, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify({ key }) });
  const [name, value] = answer.headers.get("set-cookie").split(";")[0].split(/=(.*)/);
  return { name, value, url };
}

export const openBrowser = () => chromium.launch({ executablePath: process.env.CHROMIUM, args: ["--no-sandbox"] });

/** A page that records what goes wrong; `page.problems` must stay empty. */
export async function newPage(browser, { theme = "light", width = 1440, height = width < 500 ? 760 : 900 } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, colorScheme: theme, permissions: ["clipboard-read", "clipboard-write"] });
  const page = await context.newPage();
  page.problems = [];
  page.expected = [];
  page.on("pageerror", (error) => page.problems.push(error.stack));
  page.on("console", (message) => {
    const text = `${message.text()} ${message.location().url}`;
    if (["error", "warning"].includes(message.type()) && !page.expected.some((pattern) => pattern.test(text))) page.problems.push(text);
  });
  return page;
}

/** Signs in on the page with a key, as a person does. */
export async function signIn(page, url, key, hash = "") {
  // Before there is a session, the browser reports the 401 that says so.
  page.expected.push(/401 .*\/console\/session/);
  await page.goto(`${url}/${hash}`);
  await page.getByLabel("Key", { exact: true }).fill(key);
  await page.keyboard.press("Enter");
  await page.locator("nav").waitFor({ state: "attached" });
}

export const heading = (page, name) => page.getByRole("heading", { name, exact: true }).first().waitFor();

/** No error in the console (such as the CSP's), nothing that is wider than the page, and nothing that axe finds. */
export async function isSound(page, name) {
  assert.deepEqual(page.problems, [], `${name}: console`);
  const wide = await page.evaluate(() => document.documentElement.scrollWidth > window.innerWidth);
  assert.equal(wide, false, `${name}: wider than the page`);
  await page.evaluate(`${AXE};0`);
  const { violations } = await page.evaluate(() => window.axe.run(document));
  const found = violations.map((one) => `${one.id}: ${one.nodes.slice(0, 3).map((node) => `${node.html.slice(0, 160)} ${node.failureSummary}`).join("\n")}`);
  assert.deepEqual(found, [], `${name}: axe`);
}

/** Keeps a screenshot to be looked at. */
export const shoot = (page, name) => page.screenshot({ path: join(process.env.HOOKWRIGHT_CONSOLE_SHOTS, `${name}.png`) });
