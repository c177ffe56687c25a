// Long lists: pages are fetched as they are needed.
import { signal } from "@preact/signals";
import { api, isAborted } from "./api.js";

export const PAGE = 250;

/**
 * The items of a list of the API, newest first.
 * @template {Record<string, any>} T
 */
export class Pages {
  /** @param {string} path @param {Record<string, string | number | null | undefined>} query @param {(item: T) => string} idOf */
  constructor(path, query, idOf) {
    this.path = path;
    this.query = query;
    this.idOf = idOf;
    this.items = signal(/** @type {T[]} */ ([]));
    this.state = signal(/** @type {"loading" | "ready" | "failed"} */ ("loading"));
    this.error = /** @type {unknown} */ (null);
    this.next = /** @type {string | null | undefined} */ (undefined);
    this.aborter = new AbortController();
    this.isLoading = false;
    this.last = Promise.resolve();
  }

  /**
   * Does one thing after the other: a page that comes while another is on its way would be taken for news.
   * @param {() => Promise<void>} work
   */
  inTurn(work) {
    this.last = this.last.then(work);
    return this.last;
  }

  get isComplete() {
    return this.next === null;
  }

  close() {
    this.aborter.abort();
  }

  /** @param {Record<string, any>} query @returns {Promise<{data: T[], next: string | null}>} */
  get(query) {
    return api.get(this.path, { query, signal: this.aborter.signal });
  }

  /** Loads the next page, unless one is on its way. */
  async more() {
    if (this.isLoading || this.isComplete) return;
    this.isLoading = true;
    this.state.value = "loading";
    await this.inTurn(() => this.loadMore());
  }

  async loadMore() {
    try {
      // A page may be empty and still not be the last one: then the search goes on, for a while.
      for (let round = 0; round < 20; round += 1) {
        const query = { ...this.query, limit: PAGE, cursor: this.next ?? undefined };
        const page = await this.get(query);
        this.next = page.next;
        this.add(page.data);
        if (page.data.length > 0 || page.next === null) break;
      }
      this.state.value = "ready";
    } catch (error) {
      if (isAborted(error)) return;
      this.error = error;
      this.state.value = "failed";
    } finally {
      this.isLoading = false;
    }
  }

  /** @param {T[]} items */
  add(items) {
    const known = new Set(this.items.peek().map(this.idOf));
    this.items.value = [...this.items.peek(), ...items.filter((item) => !known.has(this.idOf(item)))];
  }

  /**
   * Loads the first page again and keeps what follows it, and what came in meanwhile.
   * @param {(listed: T, told: T) => T} [later] the later version of an item that changed meanwhile
   */
  refresh(later = (listed) => listed) {
    return this.inTurn(() => this.loadAgain(later));
  }

  /** @param {(listed: T, told: T) => T} later */
  async loadAgain(later) {
    try {
      const before = new Map(this.items.peek().map((item) => [this.idOf(item), item]));
      const page = await this.get({ ...this.query, limit: PAGE });
      const known = new Map(this.items.peek().map((item) => [this.idOf(item), item]));
      const listed = page.data.map((item) => {
        const now = known.get(this.idOf(item));
        return now && now !== before.get(this.idOf(item)) ? later(item, now) : item;
      });
      const overlaps = page.data.some((item) => before.has(this.idOf(item)));
      if (!overlaps) this.next = page.next;
      for (const item of page.data) known.delete(this.idOf(item));
      const rest = [...known.values()];
      const cameIn = rest.filter((item) => !before.has(this.idOf(item)));
      this.items.value = [...cameIn, ...listed, ...(overlaps ? rest.filter((item) => before.has(this.idOf(item))) : [])];
      this.state.value = "ready";
    } catch (error) {
      if (!isAborted(error)) this.error = error;
    }
  }

  /** Loads the first page again, without what followed it. */
  reload() {
    return this.inTurn(() => this.loadFirst());
  }

  async loadFirst() {
    try {
      const page = await this.get({ ...this.query, limit: PAGE });
      this.next = page.next;
      this.items.value = page.data;
    } catch (error) {
      if (!isAborted(error)) this.error = error;
    }
  }
}

/**
 * Items that are all there.
 * @template {Record<string, any>} T
 * @extends {Pages<T>}
 */
export class Fixed extends Pages {
  /** @param {(item: T) => string} idOf */
  constructor(idOf) {
    super("", {}, idOf);
    this.next = /** @type {string | null | undefined} */ (null);
    this.state.value = "ready";
  }
}
