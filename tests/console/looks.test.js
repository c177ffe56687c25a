// Each screen in light and dark, 360 and 1,440 pixels wide: sound, and kept as a screenshot to be looked at.
import test, { after, before } from "node:test";
import { heading, isSound, newPage, openBrowser, OPERATOR_KEY, seed, shoot, signIn, start } from "./support.js";

let engine, sample, browser;
before(async () => {
  engine = await start();
  sample = await seed(engine);
  await engine.call("PATCH", `/hooks/${sample.hooks.bad.id}`, { enabled: false }, { tenant: sample.tenant });
  browser = await openBrowser();
});
after(async () => {
  await browser?.close();
  await engine?.stop();
});

const tenantScreens = async () => {
  const { data } = await engine.call("GET", "/deliveries?state=exhausted", undefined, { tenant: sample.tenant });
  const one = data.find((delivery) => delivery.hook === sample.hooks.chat.id);
  return [
    ["deliveries", "#/deliveries", (page) => page.getByRole("link", { name: "order.paid" }).first().waitFor()],
    ["delivery", `#/deliveries/${one.id}`, (page) => page.getByText(/in step 2 failed/).first().waitFor()],
    ["events", "#/events", (page) => page.getByRole("link", { name: "order.paid" }).first().waitFor()],
    ["event", `#/events/${sample.events[0]}`, (page) => page.getByText("2 of 4 got it").waitFor()],
    ["hooks", "#/hooks", (page) => page.getByRole("link", { name: /Orders/ }).waitFor()],
    ["hook", `#/hooks/${sample.hooks.chat.id}`, (page) => page.getByText("Attempts by hour").waitFor()],
    ["hook-edit", `#/hooks/${sample.hooks.chat.id}/edit`, (page) => heading(page, "Edit the hook")],
    ["playground", `#/playground?delivery=${one.id}`, (page) => Promise.all([page.getByText("fails: retried later", { exact: true }).waitFor(), page.locator(".cm-lintRange-error").waitFor()])],
    ["plugins", "#/plugins", (page) => page.getByRole("link", { name: "javascript" }).waitFor()],
    ["plugin", "#/plugins/javascript", (page) => page.getByText("Runs looked at").waitFor()],
    ["doctor", "#/doctor", (page) => page.getByRole("button", { name: "Try an example" }).click()],
  ];
};
const operatorScreens = [
  ["overview", "#/operator", (page) => page.getByText("none", { exact: true }).waitFor()],
  ["failing", "#/operator/failing", (page) => page.getByRole("link", { name: "Billing" }).waitFor()],
  ["tenants", "#/operator/tenants", (page) => page.getByRole("link", { name: "shop.example" }).waitFor()],
  ["tenant", "#/operator/tenants/shop.example", (page) => page.getByText("Usage and limits").waitFor()],
  ["nodes", "#/operator/nodes", (page) => page.getByText("Nodes alive").waitFor()],
  ["audit", "#/operator/audit", (page) => page.getByText("hook.created").first().waitFor()],
];

for (const theme of ["light", "dark"]) {
  for (const width of [360, 1440]) {
    test(`${theme}, ${width} pixels`, async () => {
      for (const [key, screens] of [[sample.key, await tenantScreens()], [OPERATOR_KEY, operatorScreens]]) {
        const page = await newPage(browser, { theme, width });
        await signIn(page, engine.url, key);
        for (const [name, hash, ready] of screens) {
          await page.evaluate((to) => { location.hash = to; }, hash);
          await ready(page);
          await shoot(page, `${name}-${theme}-${width}`);
          await isSound(page, `${name}, ${theme}, ${width}`);
        }
        await page.context().close();
      }
    });
  }
}
