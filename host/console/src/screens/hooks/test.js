// Sending a test event to one hook, and waiting for what becomes of it.
import { html, useEffect, useState } from "../../lib/html.js";
import { api } from "../../lib/api.js";
import { isJson, Raw } from "../../lib/json.js";
import { href } from "../../lib/router.js";
import { whyOfDelivery } from "../../lib/why.js";
import { Loading } from "../../ui/basics.js";
import { Dialog } from "../../ui/dialog.js";
import { Field, FormEnd, useSubmit } from "../../ui/forms.js";
import { Words } from "../../ui/words.js";

/** @typedef {import("../../lib/types.js").FullDelivery} FullDelivery */

const FINAL = ["succeeded", "exhausted", "dropped", "cancelled"];

/** @param {{hook: import("../../lib/types.js").Hook, onClose: () => void}} props */
export function TestDialog({ hook, onClose }) {
  const [type, setType] = useState("hookwright.test");
  const [data, setData] = useState('{"test": true}');
  const [sent, setSent] = useState(/** @type {string | null} */ (null));
  const form = useSubmit(async () => {
    if (!isJson(data)) throw new Error("The data is not valid JSON.");
    const { delivery } = await api.post(`/hooks/${hook.id}/test`, { body: { type, data: new Raw(data) } });
    setSent(delivery);
  });
  return html`<${Dialog} title="Send a test" onClose=${onClose}><form onSubmit=${form.submit}><div class="body">
      <p class="muted">Goes to this hook alone, through its pipeline, once; also if the hook is disabled or paused.</p>
      <${Field} label="Type" name="type" value=${type} onInput=${setType} error=${form.at("type")} mono />
      <${Field} label="Data (JSON)" name="data" rows=${5} value=${data} onInput=${setData} error=${form.at("data")} />
      ${sent && html`<${Result} key=${sent} id=${sent} hook=${hook} />`}</div>
    <${FormEnd} form=${form} fields=${["type", "data"]} action=${sent ? "Send another" : "Send"} onCancel=${onClose} /></form></${Dialog}>`;
}

/** @param {{id: string, hook: import("../../lib/types.js").Hook}} props */
function Result({ id, hook }) {
  const [delivery, setDelivery] = useState(/** @type {FullDelivery | null} */ (null));
  useEffect(() => {
    const aborter = new AbortController();
    const ask = async () => {
      const found = await api.get(`/deliveries/${id}`, { signal: aborter.signal }).catch(() => null);
      if (aborter.signal.aborted) return;
      if (found) setDelivery(found);
      if (!found || !FINAL.includes(found.state)) setTimeout(ask, 300);
    };
    void ask();
    return () => aborter.abort();
  }, [id]);
  if (!delivery) return html`<${Loading} label="Sending" />`;
  const why = whyOfDelivery(delivery, hook);
  return html`<section class=${`why ${why.tone}`} aria-live="polite"><h2>${why.title}</h2><p><${Words} text=${why.text} /></p><p><a href=${href(["deliveries", id])}>Show the delivery</a></p></section>`;
}

