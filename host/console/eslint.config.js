import js from "@eslint/js";

const browser = [
  "AbortController", "AbortSignal", "Blob", "CSS", "DOMException", "DOMParser", "Element", "Event", "File",
  "FileReader", "FormData", "HTMLElement", "HTMLInputElement", "Headers", "IntersectionObserver",
  "KeyboardEvent", "Node", "ReadableStream", "Request", "ResizeObserver", "Response", "TextDecoder",
  "TextDecoderStream", "TextEncoder", "URL", "URLSearchParams", "atob", "btoa", "cancelAnimationFrame",
  "clearInterval", "clearTimeout", "crypto", "customElements", "document", "fetch", "getComputedStyle",
  "getSelection", "history", "location", "matchMedia", "navigator", "performance", "queueMicrotask",
  "requestAnimationFrame", "setInterval", "setTimeout", "structuredClone", "window",
];
const node = ["console", "process", "Buffer", "URL", "globalThis"];

/** @param {string[]} names @returns {Record<string, "readonly">} */
const globals = (names) => Object.fromEntries(names.map((name) => [name, "readonly"]));

export default [
  { ignores: ["dist/", "node_modules/"] },
  js.configs.recommended,
  { files: ["src/**/*.js"], languageOptions: { globals: globals(browser) } },
  { files: ["test/**/*.js", "*.mjs", "*.js"], languageOptions: { globals: globals([...browser, ...node]) } },
  {
    rules: {
      eqeqeq: ["error", "always", { null: "ignore" }],
      "no-console": "error",
      "no-eval": "error",
      "no-implied-eval": "error",
      "no-restricted-properties": ["error",
        { object: "localStorage", property: "setItem", message: "Nothing of a tenant outlives the page." },
        { property: "innerHTML", message: "Values of tenants are text, never markup." },
        { property: "dangerouslySetInnerHTML", message: "Values of tenants are text, never markup." }],
      "max-lines": ["error", 400],
      "no-unused-vars": ["error", { argsIgnorePattern: "^_", varsIgnorePattern: "^_" }],
      "no-var": "error",
      "prefer-const": "error",
    },
  },
  { files: ["*.mjs"], rules: { "no-console": "off" } },
];
