// The focus of a detail that is open beside a list, or instead of it where there is no room for both.
import { useLayoutEffect, useRef } from "../lib/html.js";

/**
 * Where the list is hidden, the detail takes the focus, and gives it back to the row when it is closed.
 * @param {string} id the row's
 * @returns {import("preact").RefObject<HTMLElement | null>} for the detail's element, which has `tabindex` -1
 */
export function useDetailFocus(id) {
  const ref = useRef(/** @type {HTMLElement | null} */ (null));
  useLayoutEffect(() => {
    const list = document.querySelector("[data-list]");
    if (!list?.checkVisibility()) ref.current?.focus({ preventScroll: true });
    return () => requestAnimationFrame(() => {
      if (document.activeElement !== document.body) return;
      const link = document.querySelector(`tr[data-id="${CSS.escape(id)}"] a`);
      if (link instanceof HTMLElement) link.focus({ preventScroll: true });
    });
  }, [id]);
  return ref;
}
