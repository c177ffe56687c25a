// Operators' keys.
import { html, useState } from "../../lib/html.js";
import { api, mayOperate, session } from "../../lib/api.js";
import { Button, Failure, Loading, Tag, Time, useLoad } from "../../ui/basics.js";
import { confirm } from "../../ui/dialog.js";
import { toast } from "../../ui/toast.js";
import { NewKey } from "./tenant-keys.js";

export function OperatorKeys() {
  const { value, error, reload } = useLoad((signal) => api.get("/operator-keys", { query: { limit: 250 }, signal, tenant: null }), []);
  const [isNew, setNew] = useState(false);
  if (!value) return error ? html`<${Failure} error=${error} retry=${reload} />` : html`<${Loading} />`;
  const remove = async (/** @type {any} */ key) => {
    if (!(await confirm({ title: `Delete the key ${key.name}?`, text: "Requests with it fail at once. This cannot be undone.", action: "Delete the key", danger: true }))) return;
    await api.delete(`/operator-keys/${key.id}`, { tenant: null });
    toast("The key is deleted.");
    reload();
  };
  return html`<div class="section-head"><p class="muted grow">A key for each person and program: the audit log has their names. The key of the setting <code>admin_key</code> is not in this list.</p>${mayOperate() && html`<${Button} kind="primary" icon="plus" onClick=${() => setNew(true)}>Create a key</${Button}>`}</div>
    ${value.data.length === 0 ? html`<p class="muted">None besides the one of the settings.</p>` : html`<div class="scroll-x" tabindex="0" role="region" aria-label="Operators’ keys"><table class="grid-table" aria-label="Operators’ keys"><thead><tr><th scope="col">Name</th><th scope="col">Role</th><th scope="col">Begins with</th><th scope="col">Last used</th><th scope="col">Expires</th><th scope="col"><span class="sr">Actions</span></th></tr></thead>
      <tbody>${value.data.map((/** @type {any} */ key) => html`<tr key=${key.id}><td><strong>${key.name}</strong>${session.value?.key.id === key.id && html` <${Tag} tone="busy">you</${Tag}>`}</td><td>${key.role}</td><td><code>${key.prefix}</code></td><td class="nowrap"><${Time} value=${key.last_used_at} /></td>
        <td class="nowrap">${key.expired ? html`<${Tag} tone="bad">expired</${Tag}>` : key.expires_at ? html`<${Time} value=${key.expires_at} />` : "never"}</td><td class="num">${mayOperate() && html`<${Button} kind="quiet" small icon="trash" label=${`Delete the key ${key.name}`} onClick=${() => remove(key)} />`}</td></tr>`)}</tbody></table></div>`}
    ${isNew && html`<${NewKey} title="Create an operator’s key" path="/operator-keys" tenant=${null} role onClose=${() => { setNew(false); reload(); }} />`}`;
}
