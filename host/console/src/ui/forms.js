// Fields of forms. A problem of the API is shown at the field that its `pointer` or `parameter` names.
import { html, useEffect, useId, useRef, useState } from "../lib/html.js";
import { ApiError, isAborted, messageOf } from "../lib/api.js";
import { Button } from "./basics.js";

/** @typedef {import("preact").ComponentChildren} Children */

/**
 * @param {{label: string, name: string, value: string | number, onInput: (value: string) => void, error?: string | null, hint?: Children, type?: string, rows?: number, required?: boolean, placeholder?: string, options?: (string | [string, string])[], disabled?: boolean, mono?: boolean, autocomplete?: string, autofocus?: boolean}} props
 * `rows` makes a text area, `options` a choice.
 */
export function Field({ label, name, value, onInput, error, hint, type = "text", rows, required, placeholder, options, disabled, mono, autocomplete = "off", autofocus }) {
  const id = useId();
  const described = [error && `${id}-error`, hint && `${id}-hint`].filter(Boolean).join(" ");
  const common = {
    id, name, required, disabled, "aria-invalid": error ? "true" : undefined,
    "aria-describedby": described || undefined, class: mono ? "mono" : undefined, autofocus,
    onInput: (/** @type {any} */ event) => onInput(event.target.value),
  };
  const pairs = options?.map((option) => (Array.isArray(option) ? option : [option, option]));
  const input = pairs
    ? html`<select ...${common} value=${String(value)}>${pairs.map(([key, text]) => html`<option key=${key} value=${key} selected=${key === String(value)}>${text}</option>`)}</select>`
    : rows
      ? html`<textarea ...${common} rows=${rows} placeholder=${placeholder} spellcheck=${false} value=${value}></textarea>`
      : html`<input ...${common} type=${type} placeholder=${placeholder} autocomplete=${autocomplete} spellcheck=${false} value=${value} />`;
  return html`<div class=${error ? "field invalid" : "field"}><label for=${id}>${label}${required && html`<span class="muted"> · required</span>`}</label>
    ${input}${error && html`<p class="error" id=${`${id}-error`}>${error}</p>`}${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}</div>`;
}

/** @param {{label: string, name: string, checked: boolean, onChange: (checked: boolean) => void, hint?: Children, error?: string | null}} props */
export function Check({ label, name, checked, onChange, hint, error }) {
  const id = useId();
  return html`<div class="field check"><input type="checkbox" id=${id} name=${name} checked=${checked} aria-describedby=${hint ? `${id}-hint` : undefined}
    onChange=${(/** @type {any} */ event) => onChange(event.target.checked)} /><label for=${id}>${label}</label>
    ${error && html`<p class="error">${error}</p>`}${hint && html`<p class="hint" id=${`${id}-hint`}>${hint}</p>`}</div>`;
}

/**
 * Submits a form: what the API refuses is told at its field.
 * @param {(event: Event) => Promise<unknown>} action
 */
export function useSubmit(action) {
  const [error, setError] = useState(/** @type {ApiError | Error | null} */ (null));
  const [busy, setBusy] = useState(false);
  const submit = async (/** @type {Event} */ event) => {
    event.preventDefault();
    setBusy(true);
    setError(null);
    try {
      await action(event);
    } catch (failure) {
      if (!isAborted(failure)) setError(/** @type {Error} */ (failure));
    } finally {
      setBusy(false);
    }
  };
  /** @param {...string} names members or pointers, such as `url` or `pipeline/0` @returns {string | null} what is wrong there */
  const at = (...names) => {
    const place = placeOf(error);
    if (place === null) return null;
    return names.some((name) => place === name || place.startsWith(`${name}/`)) ? messageOf(error) : null;
  };
  return { submit, busy, error, at, clear: () => setError(null), fail: setError };
}

/** @param {unknown} error @returns {string | null} the member that it is about */
function placeOf(error) {
  if (!(error instanceof ApiError)) return null;
  return error.pointer?.replace(/^\//, "") ?? error.parameter;
}

/**
 * The end of a form: what is wrong with it as a whole, and its buttons.
 * @param {{form: ReturnType<typeof useSubmit>, fields: string[], action: string, onCancel?: () => void, children?: Children, kind?: "primary" | "danger", disabled?: boolean}} props
 * `fields` are the members that show their errors themselves.
 */
export function FormEnd({ form, fields, action, onCancel, children, kind = "primary", disabled }) {
  const isShown = form.error !== null && form.at(...fields) === null;
  const ref = useRef(/** @type {HTMLElement | null} */ (null));
  useEffect(() => {
    if (!form.error) return;
    const invalid = ref.current?.closest("form")?.querySelector('[aria-invalid="true"]');
    for (let above = invalid?.closest("details"); above; above = above.parentElement?.closest("details")) above.open = true;
    if (invalid instanceof HTMLElement) invalid.focus();
  }, [form.error]);
  return html`<footer ref=${ref}>${isShown && html`<p class="error" role="alert">${messageOf(form.error)}</p>`}${children}
    ${onCancel && html`<${Button} onClick=${onCancel}>Cancel</${Button}>`}
    <${Button} type="submit" kind=${kind} disabled=${form.busy || disabled}>${form.busy ? "One moment …" : action}</${Button}></footer>`;
}
