// Builds dist/: bundles src/, names each file by its digest, and compresses it.
//
//   node build.mjs           writes dist/
//   node build.mjs --check   compares dist/ with what would be written
//   node build.mjs --watch   builds again after each change
import { build, context } from "esbuild";
import { createHash } from "node:crypto";
import { mkdir, readFile, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";

const here = import.meta.dirname;
const dist = join(here, "dist");
/** The most that the first page may load, in bytes, compressed; chunks that are loaded on demand come later. */
const FIRST_LOAD_LIMIT = 60 * 1024;
/** The most that the editor may load, in bytes, compressed. */
const EDITOR_LIMIT = 190 * 1024;

/**
 * Has what is loaded on demand import all of the first page, which is there already. So the code of the first page is in one
 * chunk: esbuild makes one for each set of entries that share something, and a dozen small files take longer than one.
 * @type {import("esbuild").Plugin}
 */
const onePage = {
  name: "one-page",
  setup: (build) => build.onLoad({ filter: /src\/(screens\/[a-z]+\/screen|editor\/editor)\.js$/ }, async ({ path }) => {
    const imports = path.endsWith("deliveries/screen.js") ? "" : `import ${JSON.stringify(join(here, "src/shell.js"))};import ${JSON.stringify(join(here, "src/signin.js"))};`;
    return { contents: imports + await readFile(path, "utf8") };
  }),
};

/** @type {import("esbuild").BuildOptions} */
const options = {
  absWorkingDir: here,
  entryPoints: [{ in: "src/start.js", out: "console" }, { in: "src/styles/main.css", out: "console" }],
  outdir: "dist",
  entryNames: "[name]-[hash]",
  chunkNames: "[name]-[hash]",
  assetNames: "[name]-[hash]",
  publicPath: "/console",
  bundle: true,
  splitting: true,
  format: "esm",
  target: ["chrome111", "firefox113", "safari16.4"],
  minify: true,
  charset: "utf8",
  legalComments: "none",
  metafile: true,
  write: false,
  logLevel: "warning",
  plugins: [onePage],
};

/**
 * The files of dist/, by name.
 * @param {import("esbuild").BuildResult} result
 * @returns {Promise<Map<string, Uint8Array>>}
 */
async function files(result) {
  /** @type {Map<string, Uint8Array>} */
  const made = new Map();
  for (const file of result.outputFiles ?? []) {
    const name = file.path.slice(dist.length + 1);
    made.set(name, file.contents);
    made.set(`${name}.gz`, gzipSync(file.contents, { level: 9 }));
  }
  made.set("LICENSES.txt", await licences(result));
  const html = await readFile(join(here, "src/index.html"), "utf8");
  // Otherwise the browser learns of them only when it has read the entry.
  const preloads = imported(result).map((name) => `<link rel="modulepreload" href="/console/${name}">`).join("\n");
  made.set("index.html", Buffer.from(html.replace("{{preloads}}", preloads).replace(/\{\{(console\.(?:js|css))\}\}/g, (_, wanted) => {
    const [stem, ending] = wanted.split(".");
    const name = [...made.keys()].find((name) => name.startsWith(`${stem}-`) && name.endsWith(`.${ending}`));
    return `/console/${name}`;
  })));
  return made;
}

/**
 * The licences of the packages whose code is in the bundles.
 * @param {import("esbuild").BuildResult} result
 */
async function licences(result) {
  const paths = Object.keys(result.metafile?.inputs ?? {});
  const packages = new Set(paths.map((path) => /node_modules\/((?:@[^/]+\/)?[^/]+)/.exec(path)?.[1]));
  const parts = [];
  for (const name of [...packages].filter((name) => name !== undefined).sort()) {
    const folder = join(here, "node_modules", name);
    const { version } = JSON.parse(await readFile(join(folder, "package.json"), "utf8"));
    const file = (await readdir(folder)).find((file) => /^licen[cs]e/i.test(file));
    const text = file ? (await readFile(join(folder, file), "utf8")).trim() : "See the package.";
    parts.push(`${name} ${version}\n\n${text}\n`);
  }
  return Buffer.from(parts.join(`\n${"-".repeat(72)}\n\n`));
}

/**
 * The scripts that the first page needs besides its entry, which imports `src/main.js` when it has begun.
 * @param {import("esbuild").BuildResult} result
 */
function imported(result) {
  const outputs = result.metafile?.outputs ?? {};
  const seen = new Set(Object.keys(outputs).filter((path) => outputs[path].entryPoint === "src/main.js"));
  for (const path of seen) {
    for (const { path: next, kind } of outputs[path].imports) if (kind === "import-statement") seen.add(next);
  }
  return [...seen].map((path) => path.slice("dist/".length));
}

/**
 * What the first page loads: the entries, and what they need.
 * @param {import("esbuild").BuildResult} result
 * @param {Map<string, Uint8Array>} made
 */
function firstLoad(result, made) {
  const entries = [...made.keys()].filter((name) => /^console-[^/]*\.(js|css)$/.test(name));
  return [...entries, ...imported(result)].reduce((sum, name) => sum + (made.get(`${name}.gz`)?.length ?? 0), 0);
}

/** @param {import("esbuild").BuildResult} result */
async function write(result) {
  const made = await files(result);
  await mkdir(dist, { recursive: true });
  // An engine may be reading the directory, so it stays.
  for (const name of await readdir(dist)) if (!made.has(name)) await rm(join(dist, name));
  for (const [name, contents] of made) await writeFile(join(dist, name), contents);
  return made;
}

/** @param {Map<string, Uint8Array>} made */
async function differences(made) {
  const found = new Set(await readdir(dist).catch(() => []));
  const plain = (/** @type {string} */ name, /** @type {Uint8Array} */ bytes) =>
    // Compressed bytes may differ from processor to processor.
    name.endsWith(".gz") ? gunzipSync(bytes) : bytes;
  const differing = [...found].filter((name) => !made.has(name)).map((name) => `${name} is not built any more`);
  for (const [name, contents] of made) {
    if (!found.has(name)) differing.push(`${name} is missing`);
    else {
      const digest = (/** @type {Uint8Array} */ bytes) => createHash("sha256").update(bytes).digest("hex");
      const committed = await readFile(join(dist, name));
      if (digest(plain(name, committed)) !== digest(plain(name, contents))) differing.push(`${name} differs`);
    }
  }
  return differing;
}

if (process.argv.includes("--watch")) {
  const plugin = {
    name: "write",
    setup: (/** @type {import("esbuild").PluginBuild} */ build) =>
      build.onEnd(async (result) => {
        if (result.errors.length === 0) console.log(`built ${(await write(result)).size} files`);
      }),
  };
  await (await context({ ...options, plugins: [onePage, plugin] })).watch();
} else {
  const result = await build(options);
  const check = process.argv.includes("--check");
  const made = check ? await files(result) : await write(result);
  const size = firstLoad(result, made);
  console.log(`first load: ${(size / 1024).toFixed(1)} KiB compressed`);
  const editor = [...made].find(([name]) => /^editor-.*\.js\.gz$/.test(name))?.[1].length ?? Infinity;
  if (editor > EDITOR_LIMIT) throw new Error(`the editor has more than ${EDITOR_LIMIT / 1024} KiB`);
  if (size > FIRST_LOAD_LIMIT) throw new Error(`more than ${FIRST_LOAD_LIMIT / 1024} KiB`);
  const differing = check ? await differences(made) : [];
  if (differing.length > 0) {
    console.error(`host/console/dist is not what the sources give; run npm run build:\n${differing.join("\n")}`);
    process.exitCode = 1;
  }
}
