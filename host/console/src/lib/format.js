// How times, sizes and counts are written.

const number = new Intl.NumberFormat("en");
const short = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

/** @param {number | null | undefined} value */
export const count = (value) => (value == null ? "–" : number.format(value));
/** @param {number | null | undefined} value */
export const compact = (value) => (value == null ? "–" : short.format(value));

/** @param {number | null | undefined} share from 0 to 1 */
export function percent(share) {
  if (share == null) return "–";
  const value = share * 100;
  // 99.96 % is not all of it.
  const digits = value > 0 && value < 100 ? (value >= 99 || value < 1 ? 2 : 1) : 0;
  return `${Math.floor(value * 10 ** digits) / 10 ** digits} %`;
}

/** @param {number | null | undefined} bytes */
export function bytes(bytes) {
  if (bytes == null) return "–";
  if (bytes < 1024) return `${bytes} B`;
  const units = ["KiB", "MiB", "GiB", "TiB"];
  let value = bytes / 1024;
  let unit = 0;
  while (value >= 1024 && unit < units.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** @param {number | null | undefined} ms a duration */
export function duration(ms) {
  if (ms == null) return "–";
  if (ms === 0) return "under 1 ms";
  if (ms < 1) return `${Math.round(ms * 1000)} µs`;
  if (ms < 1000) return `${ms < 10 ? Math.round(ms * 10) / 10 : Math.round(ms)} ms`;
  if (ms < 60_000) return `${Math.round(ms / 10) / 100} s`;
  return span(ms / 1000);
}

/** @param {number} seconds @returns {string} such as `2 h 5 min` */
export function span(seconds) {
  /** @type {[number, string][]} */
  const units = [[86_400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const rest = Math.max(0, Math.round(seconds));
  const first = units.findIndex(([size]) => rest >= size);
  if (first < 0) return "0 s";
  const [size, unit] = units[first];
  const [smaller, smallerUnit] = units[first + 1] ?? [0, ""];
  const left = smaller ? Math.floor((rest % size) / smaller) : 0;
  const whole = `${Math.floor(rest / size)} ${unit}`;
  return left > 0 ? `${whole} ${left} ${smallerUnit}` : whole;
}

/** @param {string} text such as `5s, 5m, 2h` or `300` @returns {number | null} seconds */
export function parseSpan(text) {
  const match = /^\s*(\d+(?:\.\d+)?)\s*(s|sec|m|min|h|d)?\s*$/.exec(text);
  if (!match) return null;
  const sizes = { s: 1, sec: 1, m: 60, min: 60, h: 3600, d: 86_400 };
  return Number(match[1]) * sizes[/** @type {keyof typeof sizes} */ (match[2] ?? "s")];
}

const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const dayAndYear = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short", year: "numeric" });
const time = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });

/** @param {string} text RFC 3339 @param {number} [now] @returns {string} local: the time of today, else with the day */
export function at(text, now = Date.now()) {
  const date = new Date(text);
  if (Number.isNaN(date.getTime())) return text;
  const today = new Date(now);
  if (date.toDateString() === today.toDateString()) return time.format(date);
  const isThisYear = date.getFullYear() === today.getFullYear();
  return `${(isThisYear ? day : dayAndYear).format(date)}, ${time.format(date)}`;
}

/** @param {string} text RFC 3339 @param {number} [now] @returns {string} such as `3 min ago` or `in 2 h` */
export function relative(text, now = Date.now()) {
  const seconds = (new Date(text).getTime() - now) / 1000;
  const words = coarse(Math.abs(seconds));
  if (words === "now") return "now";
  return seconds > 0 ? `in ${words}` : `${words} ago`;
}

/** @param {number} seconds */
function coarse(seconds) {
  if (seconds < 1) return "now";
  if (seconds < 60) return `${Math.round(seconds)} s`;
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`;
  if (seconds < 86_400) return `${Math.round(seconds / 3600)} h`;
  return `${Math.round(seconds / 86_400)} d`;
}

/** @param {string} url @returns {string} without the scheme, for lists */
export const shortUrl = (url) => url.replace(/^https?:\/\//, "").replace(/\/$/, "");

/** @param {string} id @returns {string} the beginning and the end of a long id */
export const shortId = (id) => (id.length > 22 ? `${id.slice(0, 12)}…${id.slice(-6)}` : id);

/** @param {number} n @param {string} one @param {string} [many] */
export const plural = (n, one, many = `${one}s`) => `${count(n)} ${n === 1 ? one : many}`;
