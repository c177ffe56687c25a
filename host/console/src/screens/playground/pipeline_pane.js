// The second pane: the steps of the pipeline, each with its script or its settings.
import { html, useId, useRef, useState } from "../../lib/html.js";
import { bytes, compact, count, duration, percent } from "../../lib/format.js";
import { Button, Meter, Tag } from "../../ui/basics.js";
import { Editor } from "../../ui/editor.js";
import { errorOf, marksOf, moved, nameOf, newStep, usage } from "./pipeline.js";

/** @typedef {import("./pipeline.js").EditedStep} EditedStep */
/** @typedef {import("./pipeline.js").StepRun} StepRun */
/** @typedef {import("../../lib/types.js").DryRun} DryRun */
/** @typedef {{name: string, description: string}} PluginName */

const MAX_STEPS = 16;

/**
 * @param {{steps: EditedStep[], run: DryRun | null, plugins: PluginName[], single: boolean, mayEdit: boolean, onChange: (steps: EditedStep[]) => void, onRun: () => void, example: () => import("../../editor/complete.js").Example}} props
 * `single`: without a hook, one step runs.
 */
export function PipelinePane({ steps, run, plugins, single, mayEdit, onChange, onRun, example }) {
  const change = (/** @type {number} */ index, /** @type {Partial<EditedStep>} */ by) =>
    onChange(steps.map((step, at) => (at === index ? { ...step, ...by } : step)));
  return html`<section class="pane" aria-labelledby="pane-pipeline">
    <header><h2 id="pane-pipeline">Pipeline</h2><span class="muted">${steps.length === 0 ? "no steps" : steps.length === 1 ? "1 step" : `${steps.length} steps`}</span></header>
    ${steps.length === 0 && html`<p class="muted">Without a step, the data is sent as it was published. Add a step to filter or to write another request.</p>`}
    ${steps.map((step, index) => html`<${StepCard} key=${step.key} step=${step} index=${index} last=${steps.length - 1} run=${run?.steps[index]} ended=${endOf(run, index)}
      mayEdit=${mayEdit} onRun=${onRun} example=${example}
      onText=${(/** @type {string} */ text) => change(index, { text })}
      onMove=${(/** @type {number} */ by) => onChange(moved(steps, index, by))}
      onRemove=${() => onChange(steps.filter((_, at) => at !== index))} />`)}
    ${mayEdit && steps.length < (single ? 1 : MAX_STEPS) && html`<${AddStep} plugins=${plugins} onAdd=${(/** @type {string} */ name) => onChange([...steps, newStep(name)])} />`}
  </section>`;
}

/** @param {DryRun | null} run @param {number} index @returns {"drop" | "fault" | "not-run" | null} what a step did to the delivery */
function endOf(run, index) {
  if (!run) return null;
  if (index >= run.steps.length) return "not-run";
  if (run.steps[index].fault) return "fault";
  return run.verdict === "drop" && index === run.steps.length - 1 ? "drop" : null;
}

/** @type {Record<string, [string, string]>} */
const ENDS = { drop: ["quiet", "dropped here"], fault: ["bad", "failed"], "not-run": ["quiet", "did not run"] };

/**
 * @param {{step: EditedStep, index: number, last: number, run?: StepRun, ended: string | null, mayEdit: boolean, onText: (text: string) => void, onMove: (by: number) => void, onRemove: () => void, onRun: () => void, example: () => import("../../editor/complete.js").Example}} props
 */
function StepCard({ step, index, last, run, ended, mayEdit, onText, onMove, onRemove, onRun, example }) {
  const handle = useRef(/** @type {import("../../ui/editor.js").EditorHandle | null} */ (null));
  const name = `Step ${index + 1}, ${nameOf(step.plugin)}`;
  const marks = marksOf(step, run?.fault);
  const wrong = errorOf(step);
  const isScript = step.kind === "script";
  return html`<article class="step" aria-label=${name}>
    <header><span class="number">${index + 1}</span><h3><code>${step.plugin}</code></h3>
      ${ended && html`<${Tag} tone=${ENDS[ended][0]}>${ENDS[ended][1]}</${Tag}>`}<span class="grow"></span>
      ${mayEdit && html`${last > 0 && html`<${Button} kind="quiet" small icon="up" label=${`Move up: ${name}`} disabled=${index === 0} onClick=${() => onMove(-1)} />
        <${Button} kind="quiet" small icon="down" label=${`Move down: ${name}`} disabled=${index === last} onClick=${() => onMove(1)} />`}
        <${Button} kind="quiet" small icon="trash" label=${`Remove: ${name}`} onClick=${onRemove} />`}</header>
    <${Editor} text=${step.text} language=${isScript ? "javascript" : "json"} label=${`${isScript ? "Script" : "Settings"} of step ${index + 1}`}
      marks=${wrong ? [] : marks} readOnly=${!mayEdit} onChange=${onText} onRun=${onRun} example=${isScript ? example : undefined} handle=${handle} />
    ${wrong && html`<p class="error" role="status">${wrong}</p>`}
    ${!wrong && run?.fault && html`<${FaultText} fault=${run.fault} onShow=${marks[0]?.line || marks[0]?.pointer ? () => handle.current?.reveal(marks[0]) : null} />`}
    ${run && !wrong && html`<${Usage} run=${run} />`}
  </article>`;
}

/** @param {{fault: import("./pipeline.js").PlacedFault, onShow: (() => void) | null}} props */
function FaultText({ fault, onShow }) {
  return html`<div class="fault" role="status"><p>${fault.message}</p>
    ${onShow && html`<${Button} small onClick=${onShow}>Show the place</${Button}>`}
    ${fault.backtrace.length > 0 && html`<details><summary>Where in the plugin</summary><pre tabindex="0">${fault.backtrace.join("\n")}</pre></details>`}</div>`;
}

/** @param {{run: StepRun}} props */
function Usage({ run }) {
  const inWords = (/** @type {{name: string, used: number, granted: number}} */ { name, used, granted }) =>
    name === "Fuel" ? `${compact(used)} of ${compact(granted)}` : `${bytes(used)} of ${bytes(granted)}`;
  return html`<dl class="usage">${usage(run).map((it) => html`<div key=${it.name} title=${`${count(it.used)} of ${count(it.granted)}`}><dt>${it.name}</dt>
      <dd><${Meter} share=${it.share} label=${`${it.name}: ${percent(it.share)} of the limit`} text=${it.share >= 1 ? `over ${inWords({ ...it, used: it.granted }).split(" of ")[1]}` : inWords(it)} /></dd></div>`)}
    <div><dt>Time</dt><dd>${duration(run.duration_us / 1000)}</dd></div></dl>`;
}

/** @param {{plugins: PluginName[], onAdd: (name: string) => void}} props */
function AddStep({ plugins, onAdd }) {
  const [name, setName] = useState("javascript");
  const id = useId();
  return html`<div class="add-step"><label class="sr" for=${id}>Plugin of the new step</label>
    <select id=${id} value=${name} onChange=${(/** @type {any} */ event) => setName(event.target.value)}>
      ${plugins.map((plugin) => html`<option key=${plugin.name} value=${plugin.name} selected=${plugin.name === name}>${plugin.name}</option>`)}</select>
    <${Button} icon="plus" onClick=${() => onAdd(name)}>Add step</${Button}></div>`;
}
