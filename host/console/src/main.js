// Finds the session, then shows the sign-in page or the screens.
import { effect, html, render } from "./lib/html.js";
import { messageOf, resume, session, signedOut, signIn } from "./lib/api.js";
import { href, navigate, route } from "./lib/router.js";
import { Shell } from "./shell.js";
import { SignIn } from "./signin.js";

function App() {
  if (session.value === undefined) return null;
  return session.value ? html`<${Shell} />` : html`<${SignIn} />`;
}

let isStarted = false;

/** Otherwise, somebody's link could make another one work in the wrong tenant without noticing. */
async function mayReplaceSession() {
  await resume();
  const now = session.peek();
  return !now || window.confirm(`You are signed in to ${now.tenant?.name ?? "all tenants, as an operator"}. Sign in by this link instead?`);
}

/** Signs in by the link in the address, which is removed from there at once. @param {string[]} path */
async function followLink([, link, how]) {
  navigate(href(["deliveries"]), { replace: true });
  if (how !== "embed" && !(await mayReplaceSession())) return;
  try {
    await signIn(how === "embed" ? { link, embed: true } : { link });
  } catch (error) {
    signedOut(`The link did not sign you in: ${messageOf(error)}`);
  }
}

/** @param {string | undefined} text @returns {text is string} */
const isColor = (text) => text !== undefined && /^#[0-9a-f]{6}$/i.test(text);

/** @param {string} color as `#rrggbb` @returns {string} black or white, whichever is easier to read on it (WCAG 2.2) */
function readableOn(color) {
  const [red, green, blue] = [1, 3, 5].map((at) => {
    const part = Number.parseInt(color.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  const luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  return luminance > 0.179 ? "#000000" : "#ffffff";
}

// A platform's colors, from the session. Only colors in hexadecimal are taken.
effect(() => {
  const theme = session.value?.theme;
  const root = document.documentElement.style;
  const set = (/** @type {string} */ name, /** @type {string | undefined} */ color) => (isColor(color) ? root.setProperty(name, color) : root.removeProperty(name));
  set("--brand", theme?.accent);
  set("--on-brand", isColor(theme?.accent) ? readableOn(theme.accent) : undefined);
  set("--brand-background", theme?.background);
});

// A link may also be opened in a page that is there already.
effect(() => {
  const { path } = route.value;
  if (isStarted && path[0] === "link" && path[1]) void followLink(path);
});

/** @param {Promise<Response> | null} asked the request for the session, if it is under way already */
export async function begin(asked) {
  const root = document.getElementById("root");
  if (!root) return;
  const { path } = route.peek();
  await (path[0] === "link" && path[1] ? followLink(path) : resume(asked));
  isStarted = true;
  // Until now, the outline is seen. What replaces it is drawn at once.
  root.textContent = "";
  render(html`<${App} />`, root);
}
