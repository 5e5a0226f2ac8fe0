// Finds the examples of a Markdown text, and runs one.
//
//     <!-- example: NAME -->
//     ```js
//     …
//     ```
//     <!-- expect: REGULAR EXPRESSION -->
//
// A `js` block runs under Node as a module, an `sh` block under bash. It passes when its output matches the expression,
// which may also stand in the block as a comment `EXPECT: …`; without one, when it ends by itself with code 0.

import { spawn } from "node:child_process";
import { dirname, delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

const HERE = dirname(fileURLToPath(import.meta.url));
const PATIENCE_MS = 15_000;

export function findExamples(markdown) {
  const block = /<!-- example: (.+?) -->\s*```(\w*)[^\n]*\n([\s\S]*?)\n```(?:\s*<!-- expect: (.+?) -->)?/g;
  const found = [...markdown.matchAll(block)].map(([, name, kind, code, after]) => {
    const expect = after ?? code.match(/^\s*(?:\/\/|#) ?EXPECT: (.+)$/m)?.[1];
    return { name: name.trim(), kind, code, expect: expect === undefined ? undefined : new RegExp(expect.trim(), "s") };
  });
  const marks = markdown.match(/<!-- example: /g)?.length ?? 0;
  if (found.length !== marks) throw new Error(`${marks} examples are marked, but ${found.length} have a block of code`);
  return found;
}

/** What the reader types for the default addresses, for a server on other ports. */
export function relocate(code, server) {
  return code
    .replaceAll(/\b(localhost|127\.0\.0\.1):3000\b/g, `127.0.0.1:${server.port}`)
    .replaceAll(/\b(localhost|127\.0\.0\.1):3001\b/g, `127.0.0.1:${server.adminPort}`);
}

function start({ kind, code }, server) {
  const tools = [join(HERE, "node_modules/.bin"), dirname(process.env.ROOMCAST_BIN), process.env.PATH].join(delimiter);
  const env = { ...process.env, PATH: tools, ROOMCAST_URL: server.url };
  const options = { cwd: HERE, env, detached: true, stdio: ["pipe", "pipe", "pipe"] };
  if (["js", "javascript", "mjs"].includes(kind)) {
    const child = spawn(process.execPath, ["--import", "./websocket.mjs", "--input-type=module", "-"], options);
    child.stdin.end(relocate(code, server));
    return child;
  }
  if (["sh", "bash", "console", "shell"].includes(kind)) {
    return spawn("bash", ["-euo", "pipefail", "-c", relocate(code, server)], options);
  }
  throw new Error(`an example in "${kind}" cannot be run; there are js and sh`);
}

/** Runs an example; resolves to its output, or fails with it. */
export function runExample(example, server) {
  const child = start(example, server);
  return new Promise((resolve, reject) => {
    let output = "";
    let over = false;
    const end = (problem) => {
      if (over) return;
      over = true;
      clearTimeout(timer);
      try {
        process.kill(-child.pid, "SIGKILL"); // with everything that it started
      } catch {
        // It has ended by itself.
      }
      if (problem) reject(new Error(`${example.name}: ${problem}; its output:\n${output}`));
      else resolve(output);
    };
    const timer = setTimeout(() => end(`not as expected within ${PATIENCE_MS / 1000} s`), PATIENCE_MS);
    const hear = (data) => {
      output += data;
      if (example.expect?.test(output)) end();
    };
    child.stdout.on("data", hear);
    child.stderr.on("data", hear);
    child.once("error", (error) => end(String(error)));
    child.once("close", (code) => {
      if (example.expect) end(`it does not match ${example.expect}`);
      else end(code === 0 ? undefined : `it ended with ${code}`);
    });
  });
}
