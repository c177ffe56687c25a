// A tenant's keys: a new one is shown once.
import { html, useState } from "../../lib/html.js";
import { api, mayOperate } from "../../lib/api.js";
import { Button, Failure, Id, Notice, Tag, Time, useLoad } from "../../ui/basics.js";
import { confirm, Dialog } from "../../ui/dialog.js";
import { Field, FormEnd, useSubmit } from "../../ui/forms.js";
import { toast } from "../../ui/toast.js";

/** @param {{id: string}} props the tenant's id */
export function TenantKeys({ id }) {
  const { value, error, reload } = useLoad((signal) => api.get("/keys", { query: { limit: 250 }, signal, tenant: id }), [id]);
  const [isNew, setNew] = useState(false);
  const remove = async (/** @type {any} */ key) => {
    if (!(await confirm({ title: `Delete the key ${key.name}?`, text: "Requests with it fail at once. This cannot be undone.", action: "Delete the key", danger: true }))) return;
    await api.delete(`/keys/${key.id}`, { tenant: id });
    toast("The key is deleted.");
    reload();
  };
  if (error) return html`<${Failure} error=${error} retry=${reload} />`;
  return html`<section class="section"><div class="section-head"><h2>Keys</h2>${mayOperate() && html`<${Button} small icon="plus" onClick=${() => setNew(true)}>Create a key</${Button}>`}</div>
    ${value?.data.length === 0 && html`<p class="muted">None. The tenant needs one to publish events and to sign in here.</p>`}
    ${value && value.data.length > 0 && html`<div class="scroll-x" tabindex="0" role="region" aria-label="Keys"><table class="grid-table" aria-label="Keys"><thead><tr><th scope="col">Name</th><th scope="col">Begins with</th><th scope="col">Scopes</th><th scope="col">Last used</th><th scope="col">Expires</th><th scope="col"><span class="sr">Actions</span></th></tr></thead>
      <tbody>${value.data.map((/** @type {any} */ key) => html`<tr key=${key.id}><td><strong>${key.name}</strong></td><td><code>${key.prefix ?? "–"}</code></td><td class="muted">${key.scopes.length} scopes</td><td class="nowrap"><${Time} value=${key.last_used_at} /></td>
        <td class="nowrap">${key.expired ? html`<${Tag} tone="bad">expired</${Tag}>` : key.expires_at ? html`<${Time} value=${key.expires_at} />` : "never"}</td><td class="num">${mayOperate() && html`<${Button} kind="quiet" small icon="trash" label=${`Delete the key ${key.name}`} onClick=${() => remove(key)} />`}</td></tr>`)}</tbody></table></div>`}
    ${isNew && html`<${NewKey} title="Create a key" path="/keys" tenant=${id} onClose=${() => { setNew(false); reload(); }} />`}</section>`;
}

/** @param {{title: string, path: string, tenant: string | null, role?: boolean, onClose: () => void}} props */
export function NewKey({ title, path, tenant, role = false, onClose }) {
  const [name, setName] = useState("");
  const [kind, setKind] = useState("operator");
  const [days, setDays] = useState("");
  const [key, setKey] = useState("");
  const form = useSubmit(async () => {
    const expires_at = Number(days) > 0 ? new Date(Date.now() + Number(days) * 86_400_000).toISOString() : undefined;
    const made = await api.post(path, { body: { name, expires_at, role: role ? kind : undefined }, tenant });
    setKey(made.key);
  });
  if (key) {
    return html`<${Dialog} title="The new key" onClose=${onClose}><div class="body"><${Notice} tone="warn" title="It is shown only now">Copy it to where it is needed.</${Notice}><${Id} value=${key} /></div><footer><${Button} kind="primary" onClick=${onClose}>I have it</${Button}></footer></${Dialog}>`;
  }
  return html`<${Dialog} title=${title} onClose=${onClose}><form onSubmit=${form.submit} novalidate><div class="body">
    <${Field} label="Name" name="name" value=${name} onInput=${setName} error=${form.at("name")} required autofocus hint="Who or what has it." />
    ${role && html`<${Field} label="It may" name="role" value=${kind} onInput=${setKind} error=${form.at("role")} options=${[["operator", "do everything"], ["read", "read what is not secret"]]} />`}
    <${Field} label="Expires after, in days" name="expires_at" type="number" value=${days} onInput=${setDays} error=${form.at("expires_at")} hint="Empty: never." /></div>
    <${FormEnd} form=${form} fields=${["name", "role", "expires_at"]} action="Create" onCancel=${onClose} /></form></${Dialog}>`;
}
