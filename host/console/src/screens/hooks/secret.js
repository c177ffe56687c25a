// The secrets that sign, shown only when asked for, since reading them is in the audit log.
import { html, useState } from "../../lib/html.js";
import { api } from "../../lib/api.js";
import { href } from "../../lib/router.js";
import { Button, Id, Time } from "../../ui/basics.js";
import { confirm } from "../../ui/dialog.js";
import { toast } from "../../ui/toast.js";

/** @param {{hook: import("../../lib/types.js").Hook}} props */
export function Secret({ hook }) {
  const [secrets, setSecrets] = useState(/** @type {any} */ (null));
  const [keys, setKeys] = useState(/** @type {any[] | null} */ (null));
  const hasSecret = hook.signing === "standard" || hook.signing === "both";
  const hasKeys = hook.signing === "ed25519" || hook.signing === "both";
  const show = async () => {
    if (hasSecret) setSecrets(await api.get(`/hooks/${hook.id}/secret`));
    if (hasKeys) setKeys((await api.get(`/hooks/${hook.id}/signing-keys`)).keys);
  };
  const hide = () => {
    setSecrets(null);
    setKeys(null);
  };
  const rotate = async (/** @type {"secret" | "signing-keys"} */ what) => {
    const text = `A new ${what === "secret" ? "secret" : "key pair"} signs from now on. The old one signs beside it for 24 hours: give the new one to the receiver in this time.`;
    if (!(await confirm({ title: what === "secret" ? "Make a new secret?" : "Make a new key pair?", text, action: "Make a new one" }))) return;
    await api.post(`/hooks/${hook.id}/${what}/rotate`, { body: {} });
    toast(what === "secret" ? "A new secret signs." : "A new key pair signs.");
    await show();
  };
  const isShown = secrets || keys;
  return html`<section class="section"><div class="section-head"><h2>Secret</h2>
      <${Button} small onClick=${isShown ? hide : show}>${isShown ? "Hide" : "Show"}</${Button}>
      ${hasSecret && html`<${Button} small onClick=${() => rotate("secret")}>Rotate the secret</${Button}>`}
      ${hasKeys && html`<${Button} small onClick=${() => rotate("signing-keys")}>Rotate the keys</${Button}>`}</div>
    ${!isShown && html`<p class="muted">Receivers verify signatures with it. Showing it is recorded in the audit log. <a href=${href(["doctor"])}>Does verification fail?</a></p>`}
    ${secrets && html`<p><${Id} value=${secrets.secret ?? "–"} /></p>${secrets.older.map((/** @type {any} */ old) => html`<p key=${old.secret} class="muted"><${Id} value=${old.secret} /> signs as well until <${Time} value=${old.expires_at} absolute /></p>`)}`}
    ${keys?.map((key, index) => html`<p key=${index}><${Id} value=${key.public_key} />${key.expires_at && html`<span class="muted"> until <${Time} value=${key.expires_at} absolute /></span>`}</p>`)}</section>`;
}
