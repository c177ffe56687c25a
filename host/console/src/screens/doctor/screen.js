// The signature doctor: says why a receiver refuses a signature. Nothing that is pasted leaves the page.
import { html, useEffect, useState } from "../../lib/html.js";
import { diagnose } from "../../lib/signature.js";
import { Button, Notice } from "../../ui/basics.js";
import { Field } from "../../ui/forms.js";
import { Words } from "../../ui/words.js";

/** An example that the button fills in; its secret is no hook's. */
const EXAMPLE = {
  body: '{\n  "number": "A1",\n  "total": 120.5\n}',
  secret: "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
};

export default function Doctor() {
  const [headers, setHeaders] = useState("");
  const [body, setBody] = useState("");
  const [secret, setSecret] = useState("");
  const [findings, setFindings] = useState(/** @type {import("../../lib/signature.js").Finding[]} */ ([]));
  const isReady = headers.trim() !== "" && (secret.trim() !== "" || !/signature/i.test(headers));
  useEffect(() => {
    if (!isReady) {
      setFindings([]);
      return;
    }
    let isCurrent = true;
    diagnose({ body, headers, secret }).then((found) => isCurrent && setFindings(found));
    return () => {
      isCurrent = false;
    };
  }, [headers, body, secret]);
  const example = async () => {
    setBody(EXAMPLE.body);
    setSecret(EXAMPLE.secret);
    setHeaders(await exampleHeaders());
  };
  return html`<div class="page"><header class="page-head"><h1>Signature doctor</h1><${Button} onClick=${example}>Try an example</${Button}></header>
    <p class="muted">Paste a request that your server refused, as it logged it, and the hook’s secret. This page computes the signature in your browser and says which of the usual causes it is. Nothing leaves the page.</p>
    <div class="doctor">
      <div class="section">
        <${Field} label="Headers" name="headers" rows=${6} value=${headers} onInput=${setHeaders} placeholder=${"webhook-id: evt_…\nwebhook-timestamp: 1796031000\nwebhook-signature: v1,…"} />
        <${Field} label="Body, exactly as your server verified it" name="body" rows=${10} value=${body} onInput=${setBody} />
        <${Field} label="Secret" name="secret" mono value=${secret} onInput=${setSecret} placeholder="whsec_…" hint="Of the hook: Hooks → the hook → Secret. It is forgotten when you leave this page." />
      </div>
      <section class="section" aria-live="polite" aria-label="Diagnosis">
        <h2>Diagnosis</h2>
        ${findings.length === 0 && html`<p class="muted">${headers.trim() === "" ? "Begin with the headers." : "Now the secret."}</p>`}
        ${findings.map((finding, index) => html`<div key=${index} class=${`why ${finding.tone}`}><h2>${finding.title}</h2><p><${Words} text=${finding.text} /></p></div>`)}
        ${findings.length > 0 && findings[0].tone !== "good" && html`<${Notice}>Libraries and examples in several languages are in the guide on <a href="https://www.standardwebhooks.com" target="_blank" rel="noopener noreferrer">receiving webhooks</a>.</${Notice}>`}
      </section>
    </div></div>`;
}

/** Headers of the example's body as it was sent: on one line. */
async function exampleHeaders() {
  const timestamp = Math.floor(Date.now() / 1000);
  const key = Uint8Array.from(atob(EXAMPLE.secret.slice(6)), (char) => char.charCodeAt(0));
  const imported = await crypto.subtle.importKey("raw", key, { name: "HMAC", hash: "SHA-256" }, false, ["sign"]);
  const message = `evt_example.${timestamp}.{"number":"A1","total":120.5}`;
  const signed = new Uint8Array(await crypto.subtle.sign("HMAC", imported, new TextEncoder().encode(message)));
  return `webhook-id: evt_example\nwebhook-timestamp: ${timestamp}\nwebhook-signature: v1,${btoa(String.fromCharCode(...signed))}`;
}
