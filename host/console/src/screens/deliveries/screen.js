// Deliveries: newest first, live, with one of them open beside the list.
import { html, useEffect, useMemo, useRef, useState } from "../../lib/html.js";
import { may, messageOf } from "../../lib/api.js";
import { hooks, nameOfHook, needHooks } from "../../lib/hooks.js";
import { useKey } from "../../lib/keys.js";
import { href, navigate, route } from "../../lib/router.js";
import { streamState } from "../../lib/stream.js";
import { shortOutcomeOf } from "../../lib/why.js";
import { Button, Empty, State, Time } from "../../ui/basics.js";
import { Pages } from "../../lib/pages.js";
import { List } from "../../ui/list.js";
import { toast } from "../../ui/toast.js";
import { BulkMenu } from "./bulk.js";
import { Detail } from "./detail.js";
import { Filters, filtersOf, parametersOf, useCounts } from "./filters.js";
import { Live } from "./live.js";
import { retry } from "./retry.js";

/** @typedef {import("../../lib/types.js").Delivery} Delivery */

const COLUMNS = [
  { name: "State", class: "c-state c-outcome" }, { name: "Type" }, { name: "Hook", class: "medium" },
  { name: "Event", class: "wide c-medium" }, { name: "Attempts", class: "wide num c-short" }, { name: "Created", class: "num c-time" },
];

/** @param {Delivery} delivery */
const idOf = (delivery) => delivery.id;
const open = (/** @type {Delivery} */ delivery) => href(["deliveries", delivery.id], route.value.query);

export function Deliveries() {
  const filters = filtersOf(route.value.query);
  const key = JSON.stringify(filters);
  const opened = route.value.path[1] ?? null;
  const [live, setLive] = useState(/** @type {Live | null} */ (null));
  useEffect(needHooks, []);
  const pages = useMemo(() => new Pages("/deliveries", { ...parametersOf(filters), include: "last_attempt" }, idOf), [key]);
  useEffect(() => {
    const made = new Live(pages, filters);
    setLive(made);
    return () => {
      made.close();
      pages.close();
    };
  }, [pages]);
  const counts = useCounts(filters, useSlow(live?.round.value ?? 0));

  const box = useRef(/** @type {HTMLElement | null} */ (null));
  if (live) live.box = box.current;
  const back = () => navigate(href(["deliveries"], route.value.query));
  useKey("Escape", "Close", opened ? back : null);
  useKey("r", "Retry the delivery", may("deliveries:write") ? () => retryHere(opened, pages) : null);
  useKey("p", "Pause or resume live updates", () => live && pause(live));

  return html`<div class=${opened ? "split open" : "split"}>
    <header class="toolbar"><div class="page-head"><h1>Deliveries</h1>
        ${live && html`<${LiveSwitch} live=${live} />`}<${BulkMenu} filters=${filters} /></div>
      <${Filters} counts=${counts} /></header>
    <div class="panes">
      <section class="list-box" aria-label="List of deliveries" ref=${box}>
        ${live && live.waiting.value > 0 && html`<div class="newer"><${Button} kind="primary" small icon="up" onClick=${() => live.letIn()}>${live.waiting.value} new</${Button}></div>`}
        <${List} pages=${pages} columns=${COLUMNS} row=${Row} open=${open} current=${opened} label="Deliveries" fresh=${live?.fresh.value}
          onTop=${(/** @type {boolean} */ isTop) => { if (live) live.isTop = isTop; }} empty=${html`<${Nothing} filters=${filters} />`} />
      </section>
      ${opened && html`<${Detail} key=${opened} id=${opened} onClose=${back} />`}
    </div></div>`;
}

/** @param {Delivery} delivery */
function Row(delivery) {
  const outcome = shortOutcomeOf(delivery.last_attempt);
  return html`<td><${State} value=${delivery.state} />${outcome && html`<span class="outcome" title=${outcome}>${outcome}</span>`}</td>
    <td><a class="truncate" href=${open(delivery)}>${delivery.type}</a><span class="second">${nameOfHook(delivery.hook)}</span></td>
    <td class="medium muted">${nameOfHook(delivery.hook)}</td>
    <td class="wide muted"><code>${delivery.event_id ?? delivery.event}</code></td>
    <td class="wide num muted">${delivery.attempt_count}</td>
    <td class="num muted"><${Time} value=${delivery.created_at} /></td>`;
}

/** @param {Live} live */
function pause(live) {
  if (live.isPaused.value) live.letIn();
  else live.isPaused.value = true;
}

/** @param {{live: Live}} props */
function LiveSwitch({ live }) {
  const isPaused = live.isPaused.value;
  if (streamState.value === "off") return null;
  const words = isPaused ? "Paused" : streamState.value === "live" ? "Live" : "Connecting …";
  return html`<span class=${!isPaused && streamState.value === "live" ? "live on" : "live"}><i aria-hidden="true"></i>${words}</span>
    <${Button} small icon=${isPaused ? "play" : "pause"} pressed=${isPaused} keys="p" onClick=${() => pause(live)}>${isPaused ? "Resume" : "Pause"}</${Button}>`;
}

/** @param {number} value @returns {number} the value of at most every three seconds */
function useSlow(value) {
  const [slow, setSlow] = useState(value);
  useEffect(() => {
    if (value === slow) return;
    const timer = setTimeout(() => setSlow(value), 3000);
    return () => clearTimeout(timer);
  }, [value !== slow]);
  return slow;
}

/** @param {{filters: Record<string, string>}} props */
function Nothing({ filters }) {
  if (Object.keys(filters).length > 0) {
    return html`<${Empty} title="No delivery matches" action=${html`<a class="button" href=${href(["deliveries"])}>Remove all filters</a>`}>Try a longer time, other states, or a prefix such as <code>order.*</code>.</${Empty}>`;
  }
  if (hooks.value?.size === 0) {
    return html`<${Empty} title="No hooks yet" action=${html`<a class="button primary" href=${href(["hooks", "new"])}>Create a hook</a>`}>A hook says where events go. Create one, then send it a test event.</${Empty}>`;
  }
  return html`<${Empty} title="No deliveries yet" action=${html`<a class="button" href=${href(["hooks"])}>Go to the hooks</a>`}>Send a test from a hook’s page, or publish an event with <code>POST /api/v3/events</code>. It appears here at once.</${Empty}>`;
}

/** @param {string | null} opened @param {Pages<Delivery>} pages */
async function retryHere(opened, pages) {
  const row = document.activeElement?.closest("tr[data-id]") ?? document.querySelector("[data-list] tr:hover");
  const id = opened ?? row?.getAttribute("data-id");
  const delivery = pages.items.peek().find((item) => item.id === id);
  if (!id) return;
  try {
    await retry(id, delivery?.state);
  } catch (error) {
    toast(messageOf(error), "bad");
  }
}
