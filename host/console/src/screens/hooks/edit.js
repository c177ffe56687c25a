// Creating and changing a hook.
import { html, useEffect } from "../../lib/html.js";
import { api, may, tenant } from "../../lib/api.js";
import { shortUrl } from "../../lib/format.js";
import { keepHook } from "../../lib/hooks.js";
import { useKey } from "../../lib/keys.js";
import { href, navigate } from "../../lib/router.js";
import { Failure, Loading, Notice, useLoad } from "../../ui/basics.js";
import { toast } from "../../ui/toast.js";
import { HookForm } from "./form.js";
import { loadHook } from "./page.js";
import { bodyOf, changesOf, valuesOf } from "./values.js";

export function NewHook() {
  const back = () => navigate(href(["hooks"]));
  useKey("Escape", "Back", back);
  const save = async (/** @type {import("./values.js").Values} */ values) => {
    const hook = await api.post("/hooks", { body: bodyOf(values) });
    keepHook(hook);
    toast("The hook is created. Send it a test.");
    navigate(href(["hooks", hook.id]), { replace: true });
  };
  return html`<div class="page"><p><a href=${href(["hooks"])}>Hooks</a></p><header class="page-head"><h1>Create a hook</h1></header>
    ${!may("hooks:write") && html`<${Notice} tone="warn">Your key may not create hooks.</${Notice}>`}
    <${HookForm} values=${valuesOf(null, "")} action="Create the hook" save=${save} onCancel=${back} /></div>`;
}

/** @param {{id: string}} props */
export function EditHook({ id }) {
  const { value, error, reload } = useLoad(async (signal) => {
    const { hook, text } = await loadHook(id, signal);
    return { hook, values: valuesOf(hook, text) };
  }, [id, tenant.value?.id]);
  const back = () => navigate(href(["hooks", id]));
  useKey("Escape", "Back", back);
  useEffect(() => {
    document.getElementById("main")?.scrollTo({ top: 0 });
  }, []);
  if (!value) return error ? html`<${Failure} error=${error} retry=${reload} />` : html`<${Loading} />`;
  const save = async (/** @type {import("./values.js").Values} */ values) => {
    keepHook(await api.patch(`/hooks/${id}`, { body: changesOf(value.values, values) }));
    toast("Saved.");
    back();
  };
  return html`<div class="page"><p><a href=${href(["hooks"])}>Hooks</a> / <a href=${href(["hooks", id])}>${value.hook.description || shortUrl(value.hook.url)}</a></p>
    <header class="page-head"><h1>Edit the hook</h1></header>
    <${HookForm} values=${value.values} action="Save" save=${save} onCancel=${back} /></div>`;
}
