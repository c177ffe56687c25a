// Dialogs: native, so the browser traps the focus, closes on Esc and gives the focus back.
import { html, signal, useId, useLayoutEffect, useRef, useState } from "../lib/html.js";
import { Button } from "./basics.js";

/** @typedef {import("preact").ComponentChildren} Children */

/** @param {{title: string, children?: Children, onClose: () => void, wide?: boolean}} props */
export function Dialog({ title, children, onClose, wide = false }) {
  const ref = useRef(/** @type {HTMLDialogElement | null} */ (null));
  const id = useId();
  useLayoutEffect(() => {
    const dialog = ref.current;
    if (dialog && !dialog.open) dialog.showModal();
    return () => dialog?.close();
  }, []);
  const cancel = (/** @type {Event} */ event) => {
    event.preventDefault();
    onClose();
  };
  return html`<dialog ref=${ref} class=${wide ? "wide" : ""} aria-labelledby=${id} onCancel=${cancel}>
    <header><h2 id=${id}>${title}</h2><${Button} kind="quiet" icon="close" label="Close" onClick=${onClose} /></header>
    ${children}</dialog>`;
}

/**
 * @typedef {object} Question
 * @property {string} title
 * @property {Children} text what happens, and whether it can be undone
 * @property {string} action the verb on the button
 * @property {boolean} [danger]
 * @property {string} [type] a text that must be typed first
 */

const question = signal(/** @type {(Question & {answer: (yes: boolean) => void}) | null} */ (null));

/** Asks, and waits for the answer. @param {Question} asked @returns {Promise<boolean>} */
export function confirm(asked) {
  question.value?.answer(false);
  return new Promise((done) => {
    question.value = {
      ...asked,
      answer: (yes) => {
        question.value = null;
        done(yes);
      },
    };
  });
}

/** Shows the question that {@link confirm} asks. */
export function Questions() {
  const asked = question.value;
  return asked && html`<${Ask} key=${asked.title} asked=${asked} />`;
}

/** @param {{asked: Question & {answer: (yes: boolean) => void}}} props */
function Ask({ asked }) {
  const [typed, setTyped] = useState("");
  const id = useId();
  const submit = (/** @type {Event} */ event) => {
    event.preventDefault();
    asked.answer(true);
  };
  return html`<${Dialog} title=${asked.title} onClose=${() => asked.answer(false)}>
    <form onSubmit=${submit}>
      <div class="body"><p>${asked.text}</p>
      ${asked.type && html`<div class="field"><label for=${id}>Type <code>${asked.type}</code> to go on</label>
        <input id=${id} autocomplete="off" spellcheck=${false} value=${typed} onInput=${(/** @type {any} */ event) => setTyped(event.target.value)} /></div>`}</div>
      <footer><${Button} onClick=${() => asked.answer(false)}>Keep it as it is</${Button}>
        <${Button} type="submit" kind=${asked.danger ? "danger" : "primary"} disabled=${asked.type !== undefined && typed !== asked.type}>${asked.action}</${Button}></footer>
    </form></${Dialog}>`;
}
