// Signing in with a key. The key goes to the engine once and is not kept.
import { html, useState } from "./lib/html.js";
import { messageOf, signedOutBecause, signIn } from "./lib/api.js";
import { Button } from "./ui/basics.js";
import { useSubmit } from "./ui/forms.js";
import { Icon } from "./ui/icons.js";

export function SignIn() {
  const [key, setKey] = useState("");
  const form = useSubmit(() => signIn({ key: key.trim() }));
  return html`<main class="sign-in"><form onSubmit=${form.submit}>
    <div class="brand"><span class="mark"><${Icon} name="hooks" /></span><span>Hookwright</span></div>
    <h1>Sign in</h1>
    ${signedOutBecause.value && html`<p class="notice warn" role="status">${signedOutBecause.value}</p>`}
    <div class=${form.error ? "field invalid" : "field"}><label for="key">Key</label>
      <input id="key" name="key" type="password" autocomplete="current-password" required autofocus placeholder="hwk_…" value=${key}
        aria-invalid=${form.error ? "true" : undefined} aria-describedby="key-hint" onInput=${(/** @type {any} */ event) => setKey(event.target.value)} />
      ${form.error && html`<p class="error" role="alert">${form.error && "status" in form.error && form.error.status === 401 ? "This key is unknown, or it has expired." : messageOf(form.error)}</p>`}
      <p class="hint" id="key-hint">A tenant’s key (<code>hwk_…</code>) or an operator’s. It is exchanged for a session of this browser, and not stored.</p></div>
    <${Button} kind="primary" type="submit" disabled=${form.busy || key.trim() === ""}>${form.busy ? "One moment …" : "Sign in"}</${Button}>
  </form></main>`;
}
