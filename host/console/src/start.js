// Starts the console. It asks who is signed in while the browser still reads the rest.
const isLink = location.hash.startsWith("#/link/");
// Nobody knows yet what comes after a link, so no outline of it is right. This script is short, and runs before the first paint.
if (isLink) document.getElementById("root")?.replaceChildren();
const asked = isLink ? null : fetch("/console/session", { headers: { accept: "application/json" }, cache: "no-store" });
// Whether it failed is looked at later.
asked?.catch(() => {});
void import("./main.js").then(({ begin }) => begin(asked));
