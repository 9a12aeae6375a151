// Builds ../static from this folder; with --check it says whether what stands there is what would be built.
//
// Each built file ends with the hash of all sources, so that a machine without node can still see that they belong
// together (tests/studio/page/test_built.py).

import { createHash } from "node:crypto";
import { mkdirSync, readdirSync, readFileSync, writeFileSync, existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = dirname(fileURLToPath(import.meta.url));
const there = join(here, "..", "static");

/** The SHA-256 of the names and bytes of all sources, in the order of their names. */
function hashOfSources() {
  const hash = createHash("sha256");
  const sources = readdirSync(here).filter((name) => /\.(ts|css|html|mjs|json)$/.test(name)).sort();
  for (const name of sources) hash.update(name).update("\0").update(readFileSync(join(here, name))).update("\0");
  return hash.digest("hex");
}

async function bundled(entry) {
  const result = await build({
    entryPoints: [join(here, entry)], bundle: true, minify: true, write: false, charset: "utf8",
    target: ["chrome111", "firefox113", "safari16.4"], format: "iife", legalComments: "none", logLevel: "warning",
  });
  return result.outputFiles[0].text.trimEnd();
}

const mark = `sources ${hashOfSources()}`;
const built = {
  "studio.js": `${await bundled("main.ts")}\n/* ${mark} */\n`,
  "studio.css": `${await bundled("studio.css")}\n/* ${mark} */\n`,
  "index.html": `${readFileSync(join(here, "index.html"), "utf8").trimEnd()}\n<!-- ${mark} -->\n`,
};

const stale = Object.keys(built).filter((name) => {
  const path = join(there, name);
  return !existsSync(path) || readFileSync(path, "utf8") !== built[name];
});
if (process.argv.includes("--check")) {
  for (const name of stale) console.error(`featlab/studio/static/${name} is not what its sources give; run make page`);
  process.exit(stale.length ? 1 : 0);
}
mkdirSync(there, { recursive: true });
for (const name of stale) writeFileSync(join(there, name), built[name]);
console.log(stale.length ? `built ${stale.join(", ")}` : "up to date");
