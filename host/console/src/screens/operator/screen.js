// The operator's screen: who uses how much, is everything all right, who changed what.
import { html } from "../../lib/html.js";
import { api, mayOperate } from "../../lib/api.js";
import { href, navigate, route } from "../../lib/router.js";
import { Button, Notice, Tabs, Time, useLoad } from "../../ui/basics.js";
import { confirm } from "../../ui/dialog.js";
import { toast } from "../../ui/toast.js";
import { AuditLog } from "./audit.js";
import { FailingHooks } from "./failing.js";
import { OperatorKeys } from "./keys.js";
import { Nodes } from "./nodes.js";
import { Overview } from "./overview.js";
import { TenantPage } from "./tenant.js";
import { Tenants } from "./tenants.js";

const TABS = [
  { id: "overview", label: "Overview", view: Overview }, { id: "tenants", label: "Tenants", view: Tenants }, { id: "failing", label: "Failing hooks", view: FailingHooks },
  { id: "nodes", label: "Nodes", view: Nodes }, { id: "audit", label: "Audit log", view: AuditLog }, { id: "keys", label: "Operators’ keys", view: OperatorKeys },
];

export default function Operator() {
  const [, name, id] = route.value.path;
  if (name === "tenants" && id) return html`<${TenantPage} key=${id} id=${id} />`;
  const tab = TABS.find((one) => one.id === name) ?? TABS[0];
  return html`<div class="page"><header class="page-head"><h1>Operator</h1><${EnginePause} /></header>
    <${Health} />
    <${Tabs} tabs=${TABS} value=${tab.id} onChange=${(/** @type {string} */ next) => navigate(href(["operator", next]))} label="Operator" panel="operator-panel" />
    <div id="operator-panel" role="tabpanel" class="section"><${tab.view} /></div></div>`;
}

/** What the engine says of itself. */
function Health() {
  const { value, error } = useLoad((signal) => api.get("/health", { signal, tenant: null }), []);
  if (error) return html`<${Notice} tone="bad" title="The engine cannot do its work">Look at its log, and at the runbook.</${Notice}>`;
  const warnings = value?.warnings ?? [];
  return warnings.map((/** @type {any} */ warning, /** @type {number} */ index) => html`<${Notice} key=${index} tone="warn">${typeof warning === "string" ? warning : (warning.message ?? JSON.stringify(warning))}</${Notice}>`);
}

/** The pause of all deliveries of all tenants. */
function EnginePause() {
  const { value, reload } = useLoad((signal) => api.get("/engine", { signal, tenant: null }), []);
  if (!value) return null;
  const change = async () => {
    const text = "Nothing of any tenant is sent, on all nodes, until you resume it. Events are accepted, and deliveries wait.";
    if (!value.paused && !(await confirm({ title: "Pause the whole engine?", text, action: "Pause everything", danger: true }))) return;
    await api.patch("/engine", { body: { paused: !value.paused }, tenant: null });
    toast(value.paused ? "The engine sends again." : "The engine is paused.");
    reload();
  };
  return html`${value.paused && html`<span class="state bad"><i aria-hidden="true"></i>everything is paused, <${Time} value=${value.paused_since} /></span>`}
    ${mayOperate() && html`<${Button} kind=${value.paused ? "primary" : "plain"} icon=${value.paused ? "play" : "pause"} onClick=${change}>${value.paused ? "Resume the engine" : "Pause the engine"}</${Button}>`}`;
}
