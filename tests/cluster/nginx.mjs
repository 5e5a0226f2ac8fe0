// Debian's nginx with the configuration of the examples, in front of nodes of this machine.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { eventually, freePort, guarded } from "./processes.mjs";

const EXAMPLE = new URL("../../examples/nginx.conf", import.meta.url);

/** Kinds of folders that nginx wants to have, whether it uses them or not. */
const TEMPORARY = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];

/** The servers of each `upstream` as this one has them: a list, or one for each name. */
const serversOf = (nodes, name) => (Array.isArray(nodes) ? nodes : nodes[name]).map((node) => `server ${new URL(node.url).host};`).join("\n");

/** The example, with these nodes in place of its own, and with everything in the folder that it runs in. */
function configuration(port, nodes, path) {
  const upstream = /upstream (\w+) \{([^}]*?)( *server \d+\.\d+\.\d+\.\d+:3000;\n)+/g;
  const example = readFileSync(path, "utf8");
  if (!upstream.test(example) || !example.includes("listen 80;")) throw new Error(`${path} is not what it was`);
  const folders = TEMPORARY.map((kind) => `${kind}_temp_path ${kind};`).join(" ");
  return example
    .replace(upstream, (_, name, before) => `upstream ${name} {${before}${serversOf(nodes, name)}\n`)
    .replace("listen 80;", `listen 127.0.0.1:${port};`)
    .replace("http {", `http {\n    access_log off; ${folders}`);
}

/** An nginx that ends with this process. */
export class Nginx {
  /** Starts it before nodes, by an example that `change` may change. */
  static async start(nodes, { example = EXAMPLE, port, change = (text) => text } = {}) {
    const nginx = new Nginx();
    nginx.folder = mkdtempSync(join(tmpdir(), "roomcast-nginx-"));
    nginx.port = port ?? (await freePort());
    nginx.url = `http://127.0.0.1:${nginx.port}`;
    writeFileSync(join(nginx.folder, "nginx.conf"), change(configuration(nginx.port, nodes, example)));
    const args = ["-p", nginx.folder, "-c", "nginx.conf", "-e", "error.log", "-g", "daemon off; master_process off; pid nginx.pid;"];
    nginx.process = guarded("nginx", args, "ignore");
    nginx.ended = new Promise((resolve) => nginx.process.once("exit", resolve).once("error", resolve));
    await eventually("nginx to listen", () => {
      if (nginx.process.exitCode !== null || nginx.process.pid === undefined) throw new Error(`nginx does not run: ${nginx.log()}`);
      return fetch(nginx.url).then(() => true, () => false);
    });
    return nginx;
  }

  /** What it complains of. */
  log() {
    try {
      return readFileSync(join(this.folder, "error.log"), "utf8").trim();
    } catch {
      return "";
    }
  }

  async stop() {
    this.process.kill("SIGKILL");
    await this.ended;
    rmSync(this.folder, { recursive: true, force: true });
  }
}
