// A tenant's limits: which there are, and changing them.
import { html, useState } from "../../lib/html.js";
import { api } from "../../lib/api.js";
import { Dialog } from "../../ui/dialog.js";
import { Field, FormEnd, useSubmit } from "../../ui/forms.js";
import { toast } from "../../ui/toast.js";

/** @type {{name: string, label: string, isBytes?: boolean, hint: string}[]} */
export const LIMITS = [
  { name: "events_per_s", label: "Events in a second", hint: "Over it: 429" },
  { name: "max_in_flight", label: "Requests at a time, on each node", hint: "Over it: deliveries wait" },
  { name: "storage_bytes", label: "Stored events", isBytes: true, hint: "In bytes. Over it: 429" },
  { name: "fuel_per_min", label: "Plugin fuel in a minute", hint: "Over it: deliveries with plugins wait" },
  { name: "changes_per_day", label: "Changes in a day, on each node", hint: "Over it: 429" },
  { name: "hooks", label: "Hooks", hint: "Over it: 409" },
  { name: "keys", label: "Keys", hint: "Over it: 409" },
  { name: "projects", label: "Projects", hint: "Over it: 409" },
  { name: "plugin_bytes", label: "Plugins", isBytes: true, hint: "In bytes. Over it: 409" },
  { name: "settings_bytes", label: "Settings of hooks", isBytes: true, hint: "In bytes. Over it: 409" },
];

/** Times that a tenant may have of its own. */
const TIMES = [["retain_events_s", "Keep events, in seconds"], ["retain_attempts_s", "Keep attempts, in seconds"], ["retain_bodies_s", "Keep bodies, in seconds"]];

/** @param {{tenant: any, onClose: () => void}} props */
export function LimitsDialog({ tenant, onClose }) {
  const own = (/** @type {string} */ name) => (tenant.own_limits.includes(name) ? String(tenant.limits[name]) : "");
  const initial = Object.fromEntries([...LIMITS.map(({ name }) => [name, own(name)]), ...[...TIMES.map(([name]) => name), "max_per_second"].map((name) => [name, tenant[name] == null ? "" : String(tenant[name])])]);
  const [values, setValues] = useState(/** @type {Record<string, string>} */ (initial));
  const read = (/** @type {string} */ name) => (values[name].trim() === "" ? null : /^\d+(\.\d+)?$/.test(values[name].trim()) ? Number(values[name]) : values[name]);
  const changed = (/** @type {string} */ name) => values[name].trim() !== initial[name];
  const form = useSubmit(async () => {
    const limits = Object.fromEntries(LIMITS.filter(({ name }) => changed(name)).map(({ name }) => [name, read(name)]));
    const rest = Object.fromEntries([...TIMES.map(([name]) => name), "max_per_second"].filter(changed).map((name) => [name, read(name)]));
    await api.patch(`/tenants/${tenant.id}`, { body: { ...rest, ...(Object.keys(limits).length > 0 && { limits }) }, tenant: null });
    toast("The limits are changed.");
    onClose();
  });
  const bind = (/** @type {string} */ name, /** @type {string} */ place) => ({ name, type: "number", value: values[name], onInput: (/** @type {string} */ value) => setValues((before) => ({ ...before, [name]: value })), error: form.at(place) });
  const places = [...LIMITS.map(({ name }) => `limits/${name}`), ...TIMES.map(([name]) => name), "max_per_second"];
  return html`<${Dialog} title=${`Limits of ${tenant.name}`} onClose=${onClose} wide><form onSubmit=${form.submit} novalidate><div class="body"><p class="muted">Empty: as the engine’s settings say. What the tenant has above a lowered limit stays.</p>
    <div class="columns">${LIMITS.map(({ name, label, hint }) => html`<${Field} key=${name} label=${label} ...${bind(name, `limits/${name}`)} placeholder=${tenant.limits[name] == null ? "none" : String(tenant.limits[name])} hint=${hint} />`)}
      <${Field} label="Requests of all its hooks in a second" ...${bind("max_per_second", "max_per_second")} placeholder="none" hint="Over it: deliveries wait" />
      ${TIMES.map(([name, label]) => html`<${Field} key=${name} label=${label} ...${bind(name, name)} placeholder="as the settings say" />`)}</div></div>
    <${FormEnd} form=${form} fields=${places} action="Save" onCancel=${onClose} /></form></${Dialog}>`;
}
