// How long the first page takes until it shows something, from a cold cache: `tests/console/run paint`.
// Measure on a quiet machine with a release build (HOOKWRIGHT_BINARY).
import { newPage, openBrowser, seed, sessionCookie, start } from "./support.js";

const LOADS = 7;

/** @param {number[]} values */
const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];
const written = (/** @type {number} */ ms) => `${Math.round(ms)}`.padStart(5);

/** Times of one load in a new browser, in milliseconds since its beginning. */
async function load(url, session) {
  const browser = await openBrowser();
  try {
    const page = await newPage(browser);
    if (session) await page.context().addCookies([session]);
    await page.goto(url);
    await page.locator(session ? "tr[data-index]" : "#key").first().waitFor();
    // The browser may tell of it later than the script sees the content.
    await page.waitForFunction(() => performance.getEntriesByName("first-contentful-paint").length > 0);
    return await page.evaluate(() => {
      const [navigation] = performance.getEntriesByType("navigation");
      const files = performance.getEntriesByType("resource").map(({ name, startTime, responseEnd }) => ({ name: new URL(name).pathname, startTime, responseEnd }));
      const paint = performance.getEntriesByName("first-contentful-paint")[0].startTime;
      return { html: navigation.responseEnd, interactive: navigation.domInteractive, paint, content: performance.now(), files };
    });
  } finally {
    await browser.close();
  }
}

const engine = await start();
try {
  const sample = await seed(engine);
  const session = await sessionCookie(engine, sample.key);
  for (const [what, cookie] of [["sign-in", null], ["deliveries", session]]) {
    const loads = [];
    for (let count = 0; count < LOADS; count += 1) loads.push(await load(`${engine.url}/`, cookie));
    const of = (/** @type {string} */ member) => loads.map((one) => one[member]);
    console.log(`${what}: first contentful paint ${Math.round(median(of("paint")))} ms (median of ${LOADS}: ${of("paint").map(Math.round).sort((a, b) => a - b).join(" ")})`);
    const typical = loads.find((one) => one.paint === median(of("paint")));
    console.log(`  ${written(typical.html)}        the page is there`);
    for (const file of typical.files) console.log(`  ${written(file.startTime)} ${written(file.responseEnd)}  ${file.name}`);
    console.log(`  ${written(typical.paint)}        first contentful paint\n  ${written(typical.content)}        its content is seen`);
  }
} finally {
  await engine.stop();
}
