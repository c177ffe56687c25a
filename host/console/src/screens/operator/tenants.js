// All tenants, with what they use at a glance.
import { html, useState } from "../../lib/html.js";
import { api, mayOperate } from "../../lib/api.js";
import { count } from "../../lib/format.js";
import { href, navigate } from "../../lib/router.js";
import { allTenants } from "../../lib/tenants.js";
import { Button, Empty, Failure, Loading, Tag, Time, useLoad } from "../../ui/basics.js";
import { Dialog } from "../../ui/dialog.js";
import { Field, FormEnd, useSubmit } from "../../ui/forms.js";

/** More rows are found by the search. */
const SHOWN = 300;

export function Tenants() {
  const [text, setText] = useState("");
  const [isNew, setNew] = useState(false);
  const { value, error, reload } = useLoad(allTenants, []);
  if (!value) return error ? html`<${Failure} error=${error} retry=${reload} />` : html`<${Loading} />`;
  const found = value.filter((tenant) => tenant.name.toLowerCase().includes(text.toLowerCase()) || tenant.id === text);
  const create = mayOperate() && html`<${Button} kind="primary" icon="plus" onClick=${() => setNew(true)}>Create a tenant</${Button}>`;
  return html`${value.length === 0 ? html`<${Empty} title="No tenants yet" action=${create}>A tenant owns hooks, events, plugins and keys. Create one, then a key for it.</${Empty}>` : html`
    <div class="filters"><input type="search" data-search="" aria-label="Search tenants" aria-keyshortcuts="/" placeholder="Name or id" value=${text} onInput=${(/** @type {any} */ event) => setText(event.target.value)} /><span class="grow"></span>${create}</div>
    <div class="scroll-x" tabindex="0" role="region" aria-label="Tenants"><table class="grid-table" aria-label="Tenants"><thead><tr><th scope="col">Tenant</th><th scope="col">State</th><th scope="col">Id</th><th scope="col" class="num">Created</th></tr></thead>
      <tbody>${found.slice(0, SHOWN).map((tenant) => html`<tr key=${tenant.id} data-open=${href(["operator", "tenants", tenant.id])}><td><a href=${href(["operator", "tenants", tenant.id])}><strong>${tenant.name}</strong></a></td>
        <td>${tenant.suspended_since ? html`<${Tag} tone="bad">suspended</${Tag}>` : tenant.paused_since ? html`<${Tag} tone="warn">paused</${Tag}>` : html`<${Tag} tone="good">active</${Tag}>`}</td>
        <td class="muted"><code>${tenant.id}</code></td><td class="num muted nowrap"><${Time} value=${tenant.created_at} /></td></tr>`)}</tbody></table></div>
    ${found.length > SHOWN && html`<p class="muted">${count(found.length - SHOWN)} more: search for a name.</p>`}
    ${found.length === 0 && html`<p class="muted">No tenant has this name.</p>`}`}
    ${isNew && html`<${NewTenant} onClose=${() => setNew(false)} />`}`;
}

/** @param {{onClose: () => void}} props */
function NewTenant({ onClose }) {
  const [name, setName] = useState("");
  const form = useSubmit(async () => {
    const made = await api.post("/tenants", { body: { name: name.trim() }, tenant: null });
    onClose();
    navigate(href(["operator", "tenants", made.id]));
  });
  return html`<${Dialog} title="Create a tenant" onClose=${onClose}><form onSubmit=${form.submit}><div class="body">
    <${Field} label="Name" name="name" value=${name} onInput=${setName} error=${form.at("name")} required autofocus placeholder="shop.example" hint="Unique, often a domain." /></div>
    <${FormEnd} form=${form} fields=${["name"]} action="Create" onCancel=${onClose} /></form></${Dialog}>`;
}
