// Starts the console: finds the session, then shows the sign-in page or the screens.
import { effect, html, render } from "./lib/html.js";
import { messageOf, resume, session, signedOut, signIn } from "./lib/api.js";
import { href, navigate, route } from "./lib/router.js";
import { Shell } from "./shell.js";
import { SignIn } from "./signin.js";

function App() {
  if (session.value === undefined) return null;
  return session.value ? html`<${Shell} />` : html`<${SignIn} />`;
}

/** Signs in by the link in the address, which is removed from there at once. @param {string[]} path */
async function followLink([, link, how]) {
  navigate(href(["deliveries"]), { replace: true });
  try {
    await signIn(how === "embed" ? { link, embed: true } : { link });
  } catch (error) {
    signedOut(`The link did not sign you in: ${messageOf(error)}`);
  }
}

/** A platform's colours, from the session. Only colours in hexadecimal are taken. */
effect(() => {
  const theme = session.value?.theme;
  const root = document.documentElement.style;
  const isColour = (/** @type {string | undefined} */ text) => text !== undefined && /^#[0-9a-f]{6}$/i.test(text);
  if (isColour(theme?.accent)) root.setProperty("--brand", theme?.accent ?? "");
  else root.removeProperty("--brand");
  if (isColour(theme?.background)) root.setProperty("--brand-background", theme?.background ?? "");
  else root.removeProperty("--brand-background");
});

const root = document.getElementById("root");
if (root) {
  root.textContent = "";
  const { path } = route.peek();
  await (path[0] === "link" && path[1] ? followLink(path) : resume());
  render(html`<${App} />`, root);
}
