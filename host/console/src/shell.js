// The frame around every screen: navigation, the tenant, keys, help.
import { html, useEffect, useState } from "./lib/html.js";
import { isOperator, may, session, signOut, tenant } from "./lib/api.js";
import { helpIsOpen, keysOfScreen, onKey } from "./lib/keys.js";
import { href, navigate, route } from "./lib/router.js";
import { allTenants } from "./lib/tenants.js";
import { Button, Empty, Loading, useLoad } from "./ui/basics.js";
import { Dialog, Questions } from "./ui/dialog.js";
import { Icon } from "./ui/icons.js";
import { Jobs } from "./ui/jobs.js";
import { Toasts } from "./ui/toast.js";
import { screenOf, SCREENS } from "./screens/index.js";

/** A click anywhere on a row opens it. @param {MouseEvent} event */
function onClick(event) {
  const target = /** @type {Element} */ (event.target);
  if (event.defaultPrevented || target.closest("a, button, input, label, select")) return;
  const row = target.closest("tr[data-open]");
  if (row && getSelection()?.isCollapsed !== false) navigate(row.getAttribute("data-open") ?? "");
}

export function Shell() {
  const [menuIsOpen, setMenu] = useState(false);
  const screen = screenOf(route.value.path);
  useEffect(() => {
    window.addEventListener("keydown", onKey);
    return () => window.removeEventListener("keydown", onKey);
  }, []);
  useEffect(() => setMenu(false), [route.value]);
  useEffect(() => {
    document.title = `${screen.title} · ${session.value?.theme?.name ?? "Hookwright"}`;
  }, [screen]);
  const needsTenant = screen.tenant && !tenant.value;
  return html`<div class="shell" onClick=${onClick}>
    <a class="skip" href="#main" onClick=${skip}>Skip to the content</a>
    <header class="bar">
      <${Brand} />
      <${Button} kind="quiet" icon=${menuIsOpen ? "close" : "menu"} label="Menu" pressed=${menuIsOpen} onClick=${() => setMenu(!menuIsOpen)} />
    </header>
    <nav class=${menuIsOpen ? "side open" : "side"} aria-label="Screens">
      <div class="brand-row"><${Brand} /></div>
      <${Who} />
      <ul>${SCREENS.filter(isOffered).map((item) => html`<li key=${item.id}><a href=${href([item.id])} aria-current=${item === screen ? "page" : undefined}><${Icon} name=${item.icon} /><span>${item.title}</span></a></li>`)}</ul>
      <div class="side-end">
        <${Button} kind="quiet" icon="help" onClick=${() => { helpIsOpen.value = true; }} keys="?">Keyboard</${Button}>
        <${Button} kind="quiet" icon="close" onClick=${signOut}>Sign out</${Button}>
      </div>
    </nav>
    <main id="main" tabindex="-1">${needsTenant ? html`<${ChooseTenant} />` : html`<${screen.view} key=${`${screen.id} ${tenant.value?.id}`} />`}</main>
    <${Jobs} /><${Toasts} /><${Questions} />
    ${helpIsOpen.value && html`<${Help} />`}
  </div>`;
}

/** @param {Event} event */
function skip(event) {
  event.preventDefault();
  document.getElementById("main")?.focus();
}

/** @param {typeof SCREENS[number]} screen */
const isOffered = (screen) => (screen.operator ? isOperator() : !screen.scope || isOperator() || may(screen.scope));

function Brand() {
  const theme = session.value?.theme;
  return html`<a class="brand" href=${href(["deliveries"])}>${theme?.logo_url
    ? html`<img src=${theme.logo_url} alt="" />`
    : html`<span class="mark"><${Icon} name="hooks" /></span>`}<span>${theme?.name ?? "Hookwright"}</span></a>`;
}

/** Who is signed in; an operator chooses the tenant here. */
function Who() {
  const now = session.value;
  if (!now) return null;
  if (!now.operator) return html`<div class="who"><strong>${now.tenant?.name}</strong><span class="muted">${now.link ? "signed in by a link" : now.key.id ? `key ${now.key.name || now.key.id}` : "operator"}</span></div>`;
  return html`<div class="who"><strong>${tenant.value?.name ?? "All tenants"}</strong>
    <span class="muted">operator${now.role === "read" ? ", reading only" : ""}</span>
    ${tenant.value && html`<${Button} small onClick=${() => { tenant.value = null; }}>Change tenant</${Button}>`}</div>`;
}

/** What an operator sees on a screen of a tenant before one is chosen. */
function ChooseTenant() {
  const [text, setText] = useState("");
  const { value, error, loading } = useLoad((signal) => allTenants(signal), []);
  if (loading && !value) return html`<${Loading} />`;
  const found = (value ?? []).filter((item) => item.name.toLowerCase().includes(text.toLowerCase()) || item.id === text);
  if (error || value?.length === 0) {
    return html`<${Empty} title="No tenants yet" action=${html`<a class="button primary" href=${href(["operator", "tenants"])}>Create a tenant</a>`}>A tenant owns hooks, events and keys.</${Empty}>`;
  }
  return html`<div class="page narrow"><header class="page-head"><h1>Which tenant?</h1></header>
    <p class="muted">You are signed in as an operator. This screen shows the things of one tenant.</p>
    <div class="field"><label class="sr" for="tenant-search">Search tenants</label><input id="tenant-search" data-search="" type="search" placeholder="Search tenants" value=${text} onInput=${(/** @type {any} */ event) => setText(event.target.value)} /></div>
    <ul class="choices">${found.slice(0, 200).map((item) => html`<li key=${item.id}><button type="button" onClick=${() => { tenant.value = { id: item.id, name: item.name }; }}><strong>${item.name}</strong><code class="muted">${item.id}</code></button></li>`)}</ul>
    ${found.length === 0 && html`<p class="muted">No tenant has this name.</p>`}</div>`;
}

function Help() {
  /** @type {[string, string][]} */
  const keys = [
    ["/", "Search or filter"], ["j  k", "Next, previous row"], ["Enter", "Open the row"], ["Esc", "Close, or leave a field"], ["?", "This help"],
  ];
  return html`<${Dialog} title="Keyboard" onClose=${() => { helpIsOpen.value = false; }}><div class="body">
    <dl class="keys">${[...keys, ...keysOfScreen()].map(([key, label]) => html`<div key=${key}><dt>${key.split("  ").map((one) => html`<kbd>${one}</kbd>`)}</dt><dd>${label}</dd></div>`)}</dl>
    <p class="muted">In an editor, Esc and then Tab moves on to the next control.</p></div></${Dialog}>`;
}
