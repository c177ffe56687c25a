// Screens that are loaded when they are opened.
import { html, useEffect, useState } from "../lib/html.js";
import { Failure, Loading } from "./basics.js";

/**
 * @param {() => Promise<{default: (props: any) => any}>} load
 * @returns {(props: any) => any}
 */
export function lazy(load) {
  /** @type {((props: any) => any) | null} */
  let loaded = null;
  return function Lazy(props) {
    const [View, setView] = useState(() => loaded);
    const [error, setError] = useState(/** @type {unknown} */ (null));
    useEffect(() => {
      if (loaded) return;
      load().then((module) => {
        loaded = module.default;
        setView(() => loaded);
      }, setError);
    }, []);
    if (error) return html`<${Failure} error=${new Error("This screen could not be loaded. The engine may have been updated: reload the page.")} />`;
    return View ? html`<${View} ...${props} />` : html`<${Loading} />`;
  };
}
