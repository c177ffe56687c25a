// Keys: some that hold everywhere, and those of the screen that is shown.
import { signal } from "@preact/signals";
import { useEffect, useRef } from "preact/hooks";
import { moveInList } from "../ui/list.js";

export const helpIsOpen = signal(false);

/** @type {Map<string, {label: string, run: () => void}>} */
const actions = new Map();

/** @returns {[string, string][]} the keys of the screen, with what they do */
export const keysOfScreen = () =>
  [...actions].filter(([key]) => key !== "Escape").map(([key, { label }]) => [key, label]);

/**
 * Gives a key an action while a component is shown.
 * @param {string} key @param {string} label @param {(() => void) | null} run null if there is nothing to do now
 */
export function useKey(key, label, run) {
  const latest = useRef(run);
  latest.current = run;
  useEffect(() => {
    const action = { label, run: () => latest.current?.() };
    actions.set(key, action);
    return () => {
      if (actions.get(key) === action) actions.delete(key);
    };
  }, [key, label]);
}

/** @param {EventTarget | null} target */
const isTyping = (target) =>
  target instanceof HTMLElement && (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName));

/** @param {KeyboardEvent} event */
export function onKey(event) {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
  if (event.key === "Escape") {
    if (isTyping(event.target)) /** @type {HTMLElement} */ (event.target).blur();
    else actions.get("Escape")?.run();
    return;
  }
  if (isTyping(event.target) || !act(event.key)) return;
  event.preventDefault();
}

/** @param {string} key @returns {boolean} whether it means something here */
function act(key) {
  if (key === "j" || key === "k") return moveInList(key === "j" ? 1 : -1);
  if (key === "?") {
    helpIsOpen.value = true;
    return true;
  }
  if (key === "/") {
    const search = document.querySelector("[data-search]");
    if (search instanceof HTMLElement) search.focus();
    return search !== null;
  }
  actions.get(key)?.run();
  return actions.has(key);
}
