// A long list: pages are fetched as they are needed, and only the rows that are seen are in the document.
import { html, useEffect, useLayoutEffect, useRef, useState } from "../lib/html.js";
import { Button, Failure, Loading } from "./basics.js";

/** Rows outside of what is seen that are in the document as well. */
const MARGIN = 12;

/**
 * @typedef {object} Column
 * @property {string} name the heading
 * @property {string} [class] `wide` columns are left out on narrow screens
 * @property {boolean} [hideName]
 */

/**
 * A table of links that fills its container. The first cell of a row has the link that opens it.
 * @template {Record<string, any>} T
 * @param {{pages: import("../lib/pages.js").Pages<T>, columns: Column[], row: (item: T) => import("preact").ComponentChildren, open: (item: T) => string,
 *   current?: string | null, label: string, empty: import("preact").ComponentChildren, onTop?: (isTop: boolean) => void, fresh?: Set<string>}} props
 * `row` gives the cells, `open` the address of an item, `fresh` the ids that have just come.
 */
export function List({ pages, columns, row, open, current, label, empty, onTop, fresh }) {
  const box = useRef(/** @type {HTMLDivElement | null} */ (null));
  const [view, setView] = useState({ top: 0, height: 800 });
  const height = useRowHeight();
  const items = pages.items.value;
  const state = pages.state.value;

  useEffect(() => {
    if (pages.next === undefined) void pages.more();
    box.current?.scrollTo({ top: 0 });
  }, [pages]);

  useLayoutEffect(() => {
    const element = box.current;
    if (!element) return;
    const read = () => setView({ top: element.scrollTop, height: element.clientHeight });
    const observer = new ResizeObserver(read);
    observer.observe(element);
    read();
    return () => observer.disconnect();
  }, []);

  const first = Math.max(0, Math.floor(view.top / height) - MARGIN);
  const last = Math.min(items.length, Math.ceil((view.top + view.height) / height) + MARGIN);
  useEffect(() => {
    if (last > items.length - 60 && state === "ready" && !pages.isComplete) void pages.more();
  }, [last, items.length, state]);
  useEffect(() => onTop?.(view.top < height / 2), [view.top < height / 2]);

  const scrolled = () => {
    const element = box.current;
    if (element) setView({ top: element.scrollTop, height: element.clientHeight });
  };
  const spacer = (/** @type {number} */ rows) =>
    rows > 0 && html`<tr class="spacer" aria-hidden="true"><td style=${{ height: `${rows * height}px` }}></td></tr>`;

  return html`<div class="list" ref=${box} onScroll=${scrolled} data-list="" tabindex="-1">
    <table aria-label=${label} aria-rowcount=${pages.isComplete ? items.length + 1 : -1}>
      <thead><tr>${columns.map((column) => html`<th key=${column.name} scope="col" class=${column.class ?? ""}>${column.hideName ? html`<span class="sr">${column.name}</span>` : column.name}</th>`)}</tr></thead>
      <tbody>
        ${spacer(first)}
        ${items.slice(first, last).map((item, index) => {
          const id = pages.idOf(item);
          const classes = [id === current && "current", fresh?.has(id) && "fresh"].filter(Boolean).join(" ");
          return html`<tr key=${id} class=${classes} aria-rowindex=${first + index + 2} data-index=${first + index} data-id=${id} data-open=${open(item)}>${row(item)}</tr>`;
        })}
        ${spacer(items.length - last)}
      </tbody>
    </table>
    ${state === "loading" && html`<${Loading} label=${items.length > 0 ? "Loading more" : "Loading"} />`}
    ${state === "failed" && html`<${Failure} error=${pages.error} retry=${() => pages.more()} />`}
    ${state === "ready" && items.length === 0 && pages.isComplete && empty}
    ${state === "ready" && !pages.isComplete && items.length === 0 && html`<div class="empty"><p>Nothing found so far. The search has visited many entries.</p><${Button} onClick=${() => pages.more()}>Search on</${Button}></div>`}
  </div>`;
}

/** The height of a row, as the style sheet has it. */
function useRowHeight() {
  const read = () => Number.parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--row")) || 36;
  const [height, setHeight] = useState(read);
  useEffect(() => {
    const narrow = matchMedia("(max-width: 759px)");
    const change = () => setHeight(read());
    narrow.addEventListener("change", change);
    return () => narrow.removeEventListener("change", change);
  }, []);
  return height;
}

/**
 * Moves the focus by `step` rows, and opens the row if a detail is open beside the list.
 * @param {number} step @returns {boolean} whether there is a list
 */
export function moveInList(step) {
  const box = document.querySelector("[data-list]");
  if (!(box instanceof HTMLElement)) return false;
  const rows = () => [...box.querySelectorAll("tr[data-index]")];
  const focused = document.activeElement?.closest("tr[data-index]") ?? box.querySelector("tr.current");
  const from = focused ? Number(focused.getAttribute("data-index")) : -1;
  const to = focused ? from + step : Number(rows()[0]?.getAttribute("data-index") ?? -1);
  if (to < 0) return true;
  const height = Number.parseFloat(getComputedStyle(document.documentElement).getPropertyValue("--row")) || 36;
  const top = to * height;
  const head = box.querySelector("thead")?.clientHeight ?? 0;
  if (top < box.scrollTop) box.scrollTop = top;
  if (top + height + head > box.scrollTop + box.clientHeight) box.scrollTop = top + height + head - box.clientHeight;
  // A row that was out of sight is in the document after the next rendering.
  const focus = (/** @type {number} */ tries) => {
    const link = box.querySelector(`tr[data-index="${to}"] a`);
    if (link instanceof HTMLElement) link.focus({ preventScroll: true });
    else if (tries > 0) requestAnimationFrame(() => focus(tries - 1));
  };
  focus(20);
  return true;
}
