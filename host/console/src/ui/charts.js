// Charts of attempts by hour, drawn as SVG, each with its table behind it.
import { html, useEffect, useRef, useState } from "../lib/html.js";
import { compact, count, duration, percent } from "../lib/format.js";

/** @typedef {import("../lib/types.js").Stats} Stats */
/** @typedef {import("../lib/types.js").Counts} Counts */
/** @typedef {Counts & {hour: string}} Hour */

const HEIGHT = 150;
const LEFT = 44;
const BOTTOM = 20;
const TOP = 8;

/** What is stacked, from below. @type {[string, string, (counts: Counts) => number][]} */
const PARTS = [
  ["succeeded", "good", ({ outcomes }) => outcomes.succeeded],
  ["failed", "bad", ({ outcomes }) => outcomes.rejected + outcomes.timed_out + outcomes.unreachable],
  ["plugin failed", "warn", ({ outcomes }) => outcomes.faulted],
  ["dropped", "quiet", ({ outcomes }) => outcomes.dropped],
];

/** @param {Stats} stats @returns {(Hour | {hour: string, attempts: 0})[]} each hour, also those without attempts */
function everyHour(stats) {
  const known = new Map(stats.hours.map((hour) => [new Date(hour.hour).getTime(), hour]));
  const hours = [];
  for (let at = new Date(stats.since).getTime(); at < new Date(stats.until).getTime(); at += 3_600_000) {
    hours.push(known.get(at) ?? { hour: new Date(at).toISOString(), attempts: /** @type {const} */ (0) });
  }
  return hours;
}

/** @returns {[import("preact").RefObject<any>, number]} */
function useWidth() {
  const ref = useRef(/** @type {HTMLElement | null} */ (null));
  const [width, setWidth] = useState(480);
  useEffect(() => {
    const element = ref.current;
    if (!element) return;
    const observer = new ResizeObserver(() => setWidth(element.clientWidth));
    observer.observe(element);
    setWidth(element.clientWidth);
    return () => observer.disconnect();
  }, []);
  return [ref, width];
}

/** @param {number} most @returns {number} a round number that is not less */
function roundUp(most) {
  const power = 10 ** Math.floor(Math.log10(Math.max(most, 1)));
  return [1, 2, 5, 10].map((factor) => factor * power).find((round) => round >= most) ?? 1;
}

/** @param {string} hour @param {boolean} isLong */
const hourLabel = (hour, isLong) => {
  const date = new Date(hour);
  return isLong ? date.toLocaleDateString("en-GB", { day: "numeric", month: "short" }) : `${String(date.getHours()).padStart(2, "0")}:00`;
};

/** @param {{hours: {hour: string}[], width: number, top: number, format: (value: number) => string, children: any}} props */
function Frame({ hours, width, top, format, children }) {
  const isLong = hours.length > 48;
  const every = Math.ceil(hours.length / Math.max(2, Math.floor((width - LEFT) / 74)));
  const slot = (width - LEFT) / hours.length;
  return html`<svg viewBox=${`0 0 ${width} ${HEIGHT}`} aria-hidden="true">
    ${[0, 0.5, 1].map((share) => {
      const y = TOP + (HEIGHT - TOP - BOTTOM) * (1 - share);
      return html`<line key=${share} class="axis" x1=${LEFT} x2=${width} y1=${y} y2=${y} /><text x=${LEFT - 8} y=${y + 4} text-anchor="end">${share === 0 ? "0" : format(top * share)}</text>`;
    })}
    ${children}
    ${hours.map((hour, index) => index % every === 0 && index + every / 2 < hours.length && html`<text key=${hour.hour} x=${LEFT + index * slot} y=${HEIGHT - 4}>${hourLabel(hour.hour, isLong)}</text>`)}
  </svg>`;
}

/** @param {{stats: Stats}} props */
export function OutcomesChart({ stats }) {
  const [ref, width] = useWidth();
  const hours = everyHour(stats);
  const top = roundUp(Math.max(...hours.map((hour) => hour.attempts), 1));
  const slot = (width - LEFT) / hours.length;
  const scale = (HEIGHT - TOP - BOTTOM) / top;
  return html`<figure class="chart" ref=${ref}><figcaption><strong>Attempts by hour</strong>${PARTS.map(([name, tone]) => html`<span key=${name} class=${`legend ${tone}`}><i aria-hidden="true"></i>${name}</span>`)}</figcaption>
    <${Frame} hours=${hours} width=${width} top=${top} format=${compact}>
      ${hours.map((hour, index) => {
        let y = HEIGHT - BOTTOM;
        const gap = Math.min(3, slot * 0.25);
        return html`<g key=${hour.hour}>${"outcomes" in hour && PARTS.map(([name, tone, read]) => {
          const height = read(hour) * scale;
          y -= height;
          return height > 0 && html`<rect key=${name} class=${`bar-part ${tone}`} x=${LEFT + index * slot + gap / 2} y=${y} width=${Math.max(1, slot - gap)} height=${Math.max(1, height)} />`;
        })}<rect class="slot" x=${LEFT + index * slot} y=${TOP} width=${slot} height=${HEIGHT - TOP - BOTTOM}><title>${titleOf(hour)}</title></rect></g>`;
      })}
    </${Frame}></figure>`;
}

/** @param {Hour | {hour: string, attempts: 0}} hour */
function titleOf(hour) {
  const when = new Date(hour.hour).toLocaleString("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" });
  if (!("outcomes" in hour)) return `${when}: no attempts`;
  return `${when}: ${PARTS.map(([name, , read]) => `${count(read(hour))} ${name}`).join(", ")}`;
}

/** @param {{stats: Stats}} props */
export function LatencyChart({ stats }) {
  const [ref, width] = useWidth();
  const hours = everyHour(stats);
  const known = hours.filter((hour) => "latency_ms" in hour && hour.latency_ms);
  const top = roundUp(Math.max(...known.map((hour) => ("latency_ms" in hour && hour.latency_ms?.p95) || 0), 1));
  const slot = (width - LEFT) / hours.length;
  const line = (/** @type {"p50" | "p95"} */ which) => {
    let isOpen = false;
    return hours.map((hour, index) => {
      const value = "latency_ms" in hour ? hour.latency_ms?.[which] : undefined;
      const command = isOpen ? "L" : "M";
      isOpen = value !== undefined;
      if (value === undefined) return "";
      const x = LEFT + (index + 0.5) * slot;
      const y = HEIGHT - BOTTOM - (value / top) * (HEIGHT - TOP - BOTTOM);
      // A single hour is a short stroke, for a point would not be seen.
      return command === "M" ? `M${x - slot * 0.25} ${y}L${x + slot * 0.25} ${y}` : `L${x + slot * 0.25} ${y}`;
    }).join("");
  };
  return html`<figure class="chart" ref=${ref}><figcaption><strong>Time to answer</strong><span class="legend busy"><i aria-hidden="true"></i>median</span><span class="legend warn"><i aria-hidden="true"></i>95 % are quicker</span></figcaption>
    <${Frame} hours=${hours} width=${width} top=${top} format=${duration}><path class="line-1" d=${line("p50")} /><path class="line-2" d=${line("p95")} /></${Frame}></figure>`;
}

/** The table behind the charts. @param {{stats: Stats}} props */
export function StatsTable({ stats }) {
  return html`<details class="more"><summary>These figures as a table</summary><div class="scroll-x" tabindex="0" role="region" aria-label="Attempts by hour"><table class="grid-table" aria-label="Attempts by hour">
    <thead><tr><th scope="col">Hour</th><th scope="col" class="num">Attempts</th>${PARTS.map(([name]) => html`<th key=${name} scope="col" class="num">${name}</th>`)}<th scope="col" class="num">Success</th><th scope="col" class="num">p50</th><th scope="col" class="num">p95</th><th scope="col" class="num">p99</th></tr></thead>
    <tbody>${[...stats.hours].reverse().map((hour) => html`<tr key=${hour.hour}><td class="nowrap">${new Date(hour.hour).toLocaleString("en-GB", { day: "numeric", month: "short", hour: "2-digit", minute: "2-digit" })}</td><td class="num">${count(hour.attempts)}</td>
      ${PARTS.map(([name, , read]) => html`<td key=${name} class="num">${count(read(hour))}</td>`)}<td class="num">${percent(hour.success_rate)}</td><td class="num">${duration(hour.latency_ms?.p50)}</td><td class="num">${duration(hour.latency_ms?.p95)}</td><td class="num">${duration(hour.latency_ms?.p99)}</td></tr>`)}</tbody></table></div></details>`;
}

/** A row of small bars, for lists: failures are seen at a glance. @param {{stats: Stats}} props */
export function Spark({ stats }) {
  const hours = everyHour(stats);
  const most = Math.max(...hours.map((hour) => hour.attempts), 1);
  const slot = 96 / hours.length;
  return html`<svg class="spark" viewBox="0 0 96 22" aria-hidden="true">${hours.map((hour, index) => {
    if (!("outcomes" in hour)) return html`<rect key=${hour.hour} class="quiet" x=${index * slot} y="21" width=${slot - 1} height="1" />`;
    const good = (PARTS[0][2](hour) / most) * 20;
    const bad = ((hour.attempts - PARTS[0][2](hour) - hour.outcomes.dropped) / most) * 20;
    return html`<g key=${hour.hour}><rect class="good" x=${index * slot} y=${22 - good} width=${slot - 1} height=${good} /><rect class="bad" x=${index * slot} y=${22 - good - bad} width=${slot - 1} height=${bad} /></g>`;
  })}</svg>`;
}
