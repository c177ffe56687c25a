// Small components that every screen uses.
import { html, signal, useEffect, useRef, useState } from "../lib/html.js";
import { at, relative } from "../lib/format.js";
import { messageOf } from "../lib/api.js";
import { Icon } from "./icons.js";
import { toast } from "./toast.js";

/** @typedef {import("preact").ComponentChildren} Children */

/** Ticks every second, for relative times. */
const now = signal(Date.now());
setInterval(() => {
  if (!document.hidden) now.value = Date.now();
}, 1000);

/** @param {{value: string | null | undefined, absolute?: boolean}} props RFC 3339 */
export function Time({ value, absolute = false }) {
  if (!value) return html`<span class="muted">–</span>`;
  const words = absolute ? at(value) : relative(value, now.value);
  return html`<time datetime=${value} title=${`${at(value)} · ${value}`}>${words}</time>`;
}

/** @param {{children?: Children, onClick?: (event: MouseEvent) => unknown, kind?: "primary" | "plain" | "danger" | "quiet", icon?: string, label?: string, disabled?: boolean, type?: "button" | "submit", title?: string, pressed?: boolean, small?: boolean, keys?: string}} props
 * `label` names a button that shows only an icon. While the promise of `onClick` is pending, it is disabled. */
export function Button({ children, onClick, kind = "plain", icon, label, disabled, type = "button", title, pressed, small, keys }) {
  const [busy, setBusy] = useState(false);
  const click = async (/** @type {MouseEvent} */ event) => {
    const result = onClick?.(event);
    if (!(result instanceof Promise)) return;
    setBusy(true);
    try {
      await result;
    } catch (error) {
      toast(messageOf(error), "bad");
    } finally {
      setBusy(false);
    }
  };
  const classes = ["button", kind, small && "small", !children && "icon-only"].filter(Boolean).join(" ");
  return html`<button type=${type} class=${classes} onClick=${onClick ? click : undefined} disabled=${disabled || busy}
    aria-label=${label} title=${title ?? label} aria-pressed=${pressed === undefined ? undefined : String(pressed)} aria-busy=${busy || undefined} aria-keyshortcuts=${keys}>
    ${icon && html`<${Icon} name=${icon} />`}${children && html`<span>${children}</span>`}</button>`;
}

/** @param {{text: string, label?: string, children?: Children}} props copies `text` to the clipboard */
export function Copy({ text, label = "Copy", children }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  };
  return html`<${Button} kind="quiet" small icon=${done ? "check" : "copy"} label=${children ? undefined : label} onClick=${copy}>${children ? (done ? "Copied" : children) : undefined}</${Button}>`;
}

/** An id, whole, with a button to copy it. @param {{value: string}} props */
export const Id = ({ value }) => html`<span class="id"><code>${value}</code><${Copy} text=${value} label=${`Copy ${value}`} /></span>`;

/** @type {Record<string, string>} */
const TONES = {
  pending: "busy", delivering: "busy", waiting: "warn", succeeded: "good", exhausted: "bad", dropped: "quiet", cancelled: "quiet",
  ok: "good", failing: "warn", circuit_open: "bad", awaiting_permission: "warn", paused: "quiet", disabled: "bad",
  running: "busy", completed: "good", failed: "bad",
  alive: "good", draining: "warn", silent: "bad", ended: "quiet",
};

/** @param {{value: string, label?: string}} props a state of a delivery, hook, job or node */
export function State({ value, label }) {
  return html`<span class=${`state ${TONES[value] ?? "quiet"}`}><i aria-hidden="true"></i>${label ?? value.replaceAll("_", " ")}</span>`;
}

/** @param {{tone?: string, children?: Children}} props */
export const Tag = ({ tone = "quiet", children }) => html`<span class=${`tag ${tone}`}>${children}</span>`;

/** @param {{error: unknown, retry?: () => unknown}} props */
export function Failure({ error, retry }) {
  return html`<div class="notice bad" role="alert"><${Icon} name="warning" /><p>${messageOf(error)}</p>
    ${retry && html`<${Button} small onClick=${retry}>Try again</${Button}>`}</div>`;
}

/** @param {{tone?: string, title?: string, children?: Children}} props */
export const Notice = ({ tone = "quiet", title, children }) =>
  html`<div class=${`notice ${tone}`}><div>${title && html`<strong>${title}</strong>`}${children && html`<p>${children}</p>`}</div></div>`;

/** @param {{title: string, children?: Children, action?: Children}} props says what to do next */
export const Empty = ({ title, children, action }) =>
  html`<div class="empty"><h2>${title}</h2><p>${children}</p>${action && html`<div class="actions">${action}</div>`}</div>`;

/** @param {{label?: string}} props appears only if loading takes a moment */
export const Loading = ({ label = "Loading" }) => html`<p class="loading" role="status">${label} …</p>`;

/** @param {{share: number, label: string, text?: string}} props a share of a limit; red when over */
export function Meter({ share, label, text }) {
  const value = Math.max(0, Math.min(1, share));
  const tone = share >= 1 ? "bad" : share >= 0.9 ? "warn" : "good";
  return html`<span class="meter-row"><meter class=${tone} min="0" max="1" value=${value} aria-label=${label}></meter>
    ${text && html`<span class="meter-text">${text}</span>`}</span>`;
}

/** @param {{items: [string, Children][], class?: string}} props names and values; empty values are left out */
export const Facts = ({ items, class: more = "" }) => html`<dl class=${`facts ${more}`}>
  ${items.filter(([, value]) => value != null && value !== false && value !== "").map(([name, value]) => html`<div key=${name}><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;

/**
 * Tabs whose choice is a member of the address or a state.
 * @param {{tabs: {id: string, label: Children}[], value: string, onChange: (id: string) => void, label: string, panel: string}} props `panel` is the id of the element that shows the tab
 */
export function Tabs({ tabs, value, onChange, label, panel }) {
  const move = (/** @type {KeyboardEvent} */ event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const index = tabs.findIndex((tab) => tab.id === value);
    const next = tabs[(index + step + tabs.length) % tabs.length];
    onChange(next.id);
    const list = /** @type {HTMLElement} */ (event.currentTarget);
    requestAnimationFrame(() => /** @type {HTMLElement | null} */ (list.querySelector('[aria-selected="true"]'))?.focus());
  };
  const box = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    // On a narrow screen it may be out of sight. The page itself stays where it is.
    const [outer, inner] = [box.current, box.current?.querySelector('[aria-selected="true"]')].map((element) => element?.getBoundingClientRect());
    if (outer && inner) box.current?.scrollBy(Math.max(0, inner.right - outer.right) + Math.min(0, inner.left - outer.left), 0);
  }, [value]);
  return html`<div class="tabs" role="tablist" aria-label=${label} onKeyDown=${move} ref=${box}>
    ${tabs.map((tab) => html`<button key=${tab.id} type="button" role="tab" aria-selected=${String(tab.id === value)} aria-controls=${panel}
      tabindex=${tab.id === value ? 0 : -1} onClick=${() => onChange(tab.id)}>${tab.label}</button>`)}</div>`;
}

/**
 * Loads something, again if `key` changes. The former value stays until the new one is there.
 * @template T
 * @param {(signal: AbortSignal) => Promise<T>} load @param {unknown[]} key
 */
export function useLoad(load, key) {
  const [state, setState] = useState(/** @type {{value?: T, error?: unknown, loading: boolean}} */ ({ loading: true }));
  const [round, setRound] = useState(0);
  useEffect(() => {
    const aborter = new AbortController();
    setState((before) => ({ ...before, loading: true }));
    load(aborter.signal).then(
      (value) => !aborter.signal.aborted && setState({ value, loading: false }),
      (error) => !aborter.signal.aborted && setState((before) => ({ ...before, error, loading: false })),
    );
    return () => aborter.abort();
  }, [...key, round]);
  return { ...state, reload: () => setRound((round) => round + 1) };
}
