// Joins the stream to a list: rows change in place, and new ones come in only when nobody is reading them.
import { signal } from "../../lib/html.js";
import { listen } from "../../lib/stream.js";
import { isWanted } from "./filters.js";
import { add, deliveryOf, merge } from "./merge.js";

/** @typedef {import("../../lib/types.js").Delivery} Delivery */

/** So many changes are kept while the list is paused; after that it is loaded again. */
const MAX_HELD = 2000;
/** Beyond so many rows, a list at its top begins anew. */
const MAX_ROWS = 20_000;
const FLUSH_MS = 400;

export class Live {
  /** @param {import("../../lib/pages.js").Pages<Delivery>} pages @param {Record<string, string>} filters */
  constructor(pages, filters) {
    this.pages = pages;
    this.filters = filters;
    this.isPaused = signal(false);
    /** How many new rows wait. */
    this.waiting = signal(0);
    /** The rows that have just come. */
    this.fresh = signal(/** @type {Set<string>} */ (new Set()));
    /** Grows with what has changed, for counts. */
    this.round = signal(0);
    /** @type {Map<string, Delivery>} */
    this.held = new Map();
    this.isTop = true;
    /** @type {HTMLElement | null} the list */
    this.box = null;
    this.mustReload = false;
    this.end = listen({ change: (change) => this.take(deliveryOf(change)), lagged: () => this.lag() });
    this.timer = setInterval(() => this.flush(), FLUSH_MS);
  }

  close() {
    this.end();
    clearInterval(this.timer);
  }

  /** @param {Delivery} delivery perhaps only parts of it */
  take(delivery) {
    this.held.set(delivery.id, add(this.held.get(delivery.id), delivery));
    if (this.held.size > MAX_HELD) {
      this.mustReload = true;
      this.held.clear();
    }
  }

  lag() {
    this.mustReload = true;
  }

  /** Whether somebody points into the list or has the focus there: then no rows are put in above. */
  get isRead() {
    return this.box !== null && (this.box.matches(":hover") || this.box.contains(document.activeElement));
  }

  /** @param {boolean} [mustCome] whether new rows come in although the list is being read */
  flush(mustCome = false) {
    if (this.mustReload && !this.isPaused.peek()) {
      this.mustReload = false;
      void this.pages.refresh(merge);
    }
    if (this.held.size === 0) return;
    const items = this.pages.items.peek();
    const known = new Set(items.map((item) => item.id));
    const coming = [...this.held.values()].filter((one) => !known.has(one.id) && isWanted(this.filters, one));
    if (this.isPaused.peek()) {
      this.waiting.value = coming.length;
      return;
    }
    const mayCome = mustCome || (this.isTop && !this.isRead);
    const changed = this.pages.state.peek() === "loading" && items.length === 0 ? [] : items.map((item) => merge(item, this.held.get(item.id)));
    if (mayCome && items.length > MAX_ROWS) changed.length = MAX_ROWS / 2;
    this.pages.items.value = mayCome ? [...coming.sort(newestFirst), ...changed] : changed;
    this.waiting.value = mayCome ? 0 : coming.length;
    this.fresh.value = new Set(mayCome ? coming.map((one) => one.id) : []);
    this.held = new Map(mayCome ? [] : coming.map((one) => [one.id, one]));
    this.round.value += 1;
  }

  /** Lets in what waits. */
  letIn() {
    this.isPaused.value = false;
    this.flush(true);
  }
}

/** @param {Delivery} a @param {Delivery} b */
const newestFirst = (a, b) => (a.created_at < b.created_at ? 1 : a.created_at > b.created_at ? -1 : a.id < b.id ? 1 : -1);
