// Making deliveries of the events that a hook has missed, in steps, with progress and a way to stop.
import { html, useRef, useState } from "../../lib/html.js";
import { api } from "../../lib/api.js";
import { count } from "../../lib/format.js";
import { href } from "../../lib/router.js";
import { Button } from "../../ui/basics.js";
import { Dialog } from "../../ui/dialog.js";
import { Field, FormEnd, useSubmit } from "../../ui/forms.js";
import { localTime, toIso } from "./times.js";

/** @param {{hook: import("../../lib/types.js").Hook, onClose: () => void}} props */
export function RecoverDialog({ hook, onClose }) {
  const [since, setSince] = useState(localTime(hook.state.name === "disabled" && hook.state.since ? new Date(hook.state.since) : new Date(Date.now() - 24 * 3_600_000)));
  const [found, setFound] = useState(/** @type {{events: number, isAll: boolean} | null} */ (null));
  const [progress, setProgress] = useState(/** @type {{made: number, isDone: boolean} | null} */ (null));
  const stopped = useRef(false);
  const form = useSubmit(async () => {
    stopped.current = false;
    let after;
    let made = 0;
    setProgress({ made, isDone: false });
    do {
      const body = after ? { after } : { since: toIso(since) };
      const step = await api.post(`/hooks/${hook.id}/recover`, { body });
      made += step.deliveries;
      after = step.next;
      setProgress({ made, isDone: !after });
    } while (after && !stopped.current);
    setProgress({ made, isDone: true });
  });
  const look = async () => {
    let events = 0;
    let cursor;
    for (let page = 0; page < 8; page += 1) {
      const { data, next } = await api.get(`/hooks/${hook.id}/missed`, { query: { since: toIso(since), limit: 250, cursor } });
      events += data.length;
      cursor = next;
      if (!next) break;
    }
    setFound({ events, isAll: !cursor });
  };
  return html`<${Dialog} title="Recover what was missed" onClose=${onClose}><form onSubmit=${form.submit}><div class="body">
      <p>Makes a delivery of each stored event that this hook subscribes to and has none of: what came while it was disabled, or before it was created. Each event once, however often you do this.</p>
      <${Field} label="Since" name="since" type="datetime-local" value=${since} onInput=${(/** @type {string} */ value) => { setSince(value); setFound(null); }} error=${form.at("since")} required />
      ${!hook.enabled && html`<p class="error">The hook is disabled. Enable it first, perhaps paused, so that it sends nothing until you resume it.</p>`}
      <div class="actions"><${Button} onClick=${look}>Count them first</${Button}>${found && html`<span>${count(found.events)}${found.isAll ? "" : " or more"} missed events.</span>`}</div>
      ${progress && html`<div aria-live="polite"><progress max="1" value=${progress.isDone ? 1 : undefined} aria-label="Recovery"></progress><p>${count(progress.made)} deliveries made. ${progress.isDone && html`<a href=${href(["deliveries"], { hook: hook.id })}>Show them</a>`}</p></div>`}</div>
    <${FormEnd} form=${form} fields=${["since"]} action="Recover" onCancel=${onClose} disabled=${!hook.enabled}>${form.busy && html`<${Button} icon="stop" onClick=${() => { stopped.current = true; }}>Stop</${Button}>`}</${FormEnd}></form></${Dialog}>`;
}
