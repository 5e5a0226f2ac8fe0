// The services of compose.yaml as processes of this machine, with the settings and files that it gives them: addresses and folders
// are others, and nothing else. They end with this process.

import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync, openSync, chownSync } from "node:fs";
import { createConnection } from "node:net";
import { tmpdir, userInfo } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { eventually, freePort, guarded } from "../cluster/processes.mjs";

const ROOT = fileURLToPath(new URL("../../", import.meta.url));
const NODES = ["roomcast-1", "roomcast-2", "roomcast-3"];

/** Folders that nginx wants to have, whether it uses them or not. */
const TEMPORARY = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];

/** A program by its variable, or its name. */
const program = (name) => process.env[name.toUpperCase().replace("-", "_")] ?? name;

/** The folder with the programs of PostgreSQL: Debian has them in no path. */
function postgresPrograms() {
  const versions = existsSync("/usr/lib/postgresql") ? readdirSync("/usr/lib/postgresql").sort((a, b) => a - b) : [];
  return versions.length > 0 ? `/usr/lib/postgresql/${versions.at(-1)}/bin/` : "";
}

export class Stack {
  constructor() {
    const number = (least, most) => least + Math.floor(Math.random() * (most - least));
    // A network of its own within 127.0.0.0/8, as Compose has one: several of these may run at once.
    this.net = `127.${number(10, 250)}.${number(0, 250)}`;
    this.folder = mkdtempSync(join(tmpdir(), "roomcast-deploy-"));
    chmodSync(this.folder, 0o755);
    this.running = [];
    this.nodes = {};
    this.last = {};
    process.once("exit", () => this.stop());
    const project = execFileSync(process.env.COMPOSE, [join(ROOT, "compose.yaml"), `ROOMCAST_NET=${this.net}`], { encoding: "utf8" });
    this.services = JSON.parse(project).services;
    execFileSync(join(ROOT, "deploy/secrets"), [this.path("secrets")], { stdio: "ignore" });
    // The owner of a container may look into the folder; here that may be the user of PostgreSQL.
    chmodSync(this.path("secrets"), 0o755);
  }

  path(...names) {
    return join(this.folder, ...names);
  }

  secret(name) {
    return readFileSync(this.path("secrets", name), "utf8").trim();
  }

  /** A file of the repository in the folder of this stack, with other text in places that have to be there. */
  file(source, target, changes) {
    let text = readFileSync(join(ROOT, source), "utf8");
    for (const [from, to] of changes) {
      if (!text.includes(from)) throw new Error(`${source} has no ${from} any more`);
      text = text.replaceAll(from, to);
    }
    mkdirSync(join(this.path(target), ".."), { recursive: true });
    writeFileSync(this.path(target), text);
    return this.path(target);
  }

  /** Starts a program, whose output goes to NAME.log, and waits until something listens at an address. */
  async run(name, [command, ...args], { env, address, cwd } = {}) {
    const log = openSync(this.path(`${name}.log`), "a");
    const shell = ["-c", 'unset ROOMCAST_BIN; cd "$1" && shift && exec "$@"', "sh", cwd ?? this.folder];
    const before = { ...process.env };
    Object.assign(process.env, env);
    const child = guarded("sh", [...shell, command, ...args.map(String)], ["ignore", log, log]);
    for (const key of Object.keys(env ?? {})) if (key in before) process.env[key] = before[key]; else delete process.env[key];
    child.ended = new Promise((resolve) => child.once("exit", resolve));
    this.running.push(child);
    this.last[name] = child;
    if (address) {
      if (!address[0].startsWith("127.")) throw new Error(`${name} would listen on ${address[0]}, which is not this machine's alone`);
      await eventually(`${name} to listen`, () => {
        if (child.exitCode !== null) throw new Error(`${name} ended:\n${this.log(name)}`);
        return reachable(address);
      });
    }
    return child;
  }

  /** A program looks at its settings, and finds nothing wrong, nor anything to warn of. */
  accepts(command) {
    const { status, stdout, stderr } = spawnSync(...split(command), { encoding: "utf8", cwd: this.folder });
    if (status !== 0 || /\[(warn|WARNING|ALERT|warning|critical)\]/.test(stdout + stderr)) throw new Error(`${command.join(" ")}\n${stdout}${stderr}`);
  }

  log(name) {
    return readFileSync(this.path(`${name}.log`), "utf8");
  }

  async startDatabases() {
    this.valkey = [`${this.net}.20`, await freePort()];
    this.postgres = [`${this.net}.21`, await freePort()];
    this.pgbouncer = [`${this.net}.22`, await freePort()];
    await Promise.all([this.startValkey(), this.startPostgres().then(() => this.startPgbouncer())]);
    const address = (service) => service.join(":");
    const toml = this.secret("roomcast.toml")
      .replace("valkey:6379", address(this.valkey))
      .replaceAll("pgbouncer:6432", address(this.pgbouncer))
      .replaceAll("postgres:5432", address(this.postgres));
    rmSync(this.path("secrets/roomcast.toml"));
    writeFileSync(this.path("secrets/roomcast.toml"), toml);
  }

  async startValkey() {
    const [host, port] = this.valkey;
    const changes = [["bind * -::*", `bind ${host}`], ["port 6379", `port ${port}`], ["/run/secrets/", this.path("secrets/")]];
    await this.run("valkey", [program("valkey-server"), this.file("deploy/valkey.conf", "valkey.conf", changes)], { address: this.valkey });
  }

  /** PostgreSQL does not run as root: then it runs as the user that its package has made. */
  asOwner(command) {
    return userInfo().uid === 0 ? ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", ...command] : command;
  }

  async startPostgres() {
    const [host, port] = this.postgres;
    const bin = postgresPrograms();
    const data = this.path("data");
    mkdirSync(data);
    if (userInfo().uid === 0) {
      const id = (flag) => Number(execFileSync("id", [flag, "postgres"], { encoding: "utf8" }));
      chownSync(data, id("-u"), id("-g"));
    }
    const { POSTGRES_USER: user, POSTGRES_DB: database, POSTGRES_INITDB_ARGS: how } = this.services.postgres.environment;
    const password = this.path("secrets/postgres_password");
    const init = [`${bin}initdb`, "--no-sync", ...how.split(" "), "--auth-local=trust", "-U", user, `--pwfile=${password}`, "-D", data];
    execFileSync(...split(this.asOwner(init)), { stdio: "ignore", cwd: this.folder });
    const config = this.file("deploy/postgres.conf", "postgres.conf", [["listen_addresses = '*'", `listen_addresses = '${host}'`]]);
    const [command, ...args] = this.services.postgres.command.map((word) => word.replace("/etc/postgresql/postgres.conf", config));
    // The larger one is only read: in pages of 8 KiB, and in KiB.
    const large = this.file("deploy/postgres-8gb.conf", "postgres-8gb.conf", []);
    for (const [name, value] of [["shared_buffers", 262_144], ["effective_cache_size", 786_432], ["maintenance_work_mem", 524_288], ["max_connections", 200]]) {
      const said = execFileSync(...split(this.asOwner([`${bin}postgres`, "-C", name, "-c", `config_file=${large}`, "-D", data])), { encoding: "utf8", cwd: this.folder });
      if (Number(said) !== value) throw new Error(`deploy/postgres-8gb.conf: ${name} is ${said}`);
    }
    const server = this.asOwner([`${bin}${command}`, ...args, "-D", data, "-p", port, "-k", data]);
    await this.run("postgres", server, { address: this.postgres });
    await this.sql(`CREATE DATABASE ${database}`, { database: "postgres", at: this.postgres });
  }

  async startPgbouncer() {
    const [host, port] = this.pgbouncer;
    const [server, serverPort] = this.postgres;
    const changes = [
      ["host=postgres port=5432", `host=${server} port=${serverPort}`],
      ["listen_addr = *", `listen_addr = ${host}`],
      ["listen_port = 6432", `listen_port = ${port}`],
      ["/run/secrets/", this.path("secrets/")],
    ];
    const config = this.file("deploy/pgbouncer.ini", "pgbouncer.ini", changes);
    await this.run("pgbouncer", this.asOwner([program("pgbouncer"), config]), { address: this.pgbouncer });
  }

  /** What a statement says, once there is an answer, as text: a line for each row. */
  sql(statement, { database = "roomcast", at = this.pgbouncer } = {}) {
    const args = ["-XAtq", "-h", at[0], "-p", String(at[1]), "-U", "roomcast", "-d", database, "-c", statement];
    const env = { ...process.env, PGPASSWORD: this.secret("postgres_password"), PGCONNECT_TIMEOUT: "5" };
    return eventually(statement, () => {
      const run = () => execFileSync("psql", args, { encoding: "utf8", env, stdio: ["ignore", "pipe", "pipe"] });
      try {
        return run().trim() || "ok";
      } catch (error) {
        if (/starting up|refused/.test(error.stderr)) return false;
        throw error;
      }
    });
  }

  /** What Compose would set for a service, as it is here. */
  environment(name, more) {
    const here = (value) => value.replaceAll("/run/secrets/", this.path("secrets/")).replaceAll(`${this.net}.10`, "127.0.0.1").replaceAll(":3000", `:${this.port}`);
    return { ...Object.fromEntries(Object.entries(this.services[name].environment).map(([key, value]) => [key, here(value)])), ...more };
  }

  async startNodes(more) {
    [this.port, this.admin] = [await freePort(), await freePort()];
    const migrate = await this.run("migrate", [process.env.ROOMCAST_BIN, ...this.services.migrate.command], { env: this.environment("migrate") });
    if ((await migrate.ended) !== 0) throw new Error(`roomcast migrate failed:\n${this.log("migrate")}`);
    for (const name of NODES) await this.startNode(name, more);
    await this.nodesAreKnown();
  }

  async startNode(name, more) {
    const host = this.services[name].networks.front.ipv4_address;
    const listen = { ROOMCAST_LISTEN: `${host}:${this.port}`, ROOMCAST_ADMIN_LISTEN: `${host}:${this.admin}` };
    const env = this.environment(name, { ...listen, ...more });
    this.nodes[name] = { host, admin: `http://${host}:${this.admin}` };
    this.nodes[name].process = await this.run(name, [process.env.ROOMCAST_BIN, "serve"], { env, address: [host, this.port] });
  }

  /** Until then a request for a session of another node finds nobody to relay it to. */
  async nodesAreKnown() {
    for (const [name, { admin }] of Object.entries(this.nodes)) {
      await eventually(`${name} to know the others`, async () => /^roomcast_nodes 3$/m.test(await (await fetch(`${admin}/metrics`)).text()));
    }
  }

  /** Ends a server as a fault of its machine would, and starts it again. */
  async restart(name) {
    const child = this.last[name];
    child.kill("SIGKILL");
    await child.ended;
    await { valkey: () => this.startValkey(), pgbouncer: () => this.startPgbouncer() }[name]();
  }

  /** Whether the command by which Compose asks for a service's health finds it well; ports and addresses are those of here. */
  isWell(name) {
    const [host, port] = this[name] ?? ["127.0.0.1"];
    const [, ...command] = this.services[name].healthcheck.test.map((word) => word.replace("127.0.0.1", host).replace("6432", port).replace("/usr/local/bin/roomcast", process.env.ROOMCAST_BIN));
    // On other ports than they have in a container, where these are the usual ones.
    const env = { ...process.env, PGPORT: port, ROOMCAST_ADMIN_LISTEN: `${this.nodes[name]?.host}:${this.admin}` };
    if (command[0].includes("valkey-cli")) command.splice(0, 1, "sh", "-c", command[0].replace("valkey-cli", `redis-cli -h ${host} -p ${port}`));
    return spawnSync(...split(command), { env, stdio: "ignore" }).status === 0;
  }

  /** nginx with one of its two servers. */
  async startNginx(kind) {
    const [name, port, plain] = [`nginx-${kind}`, await freePort(), await freePort()];
    const [folder, own] = [this.path(name), await freePort()];
    cpSync(this.path("certs"), join(folder, "certs"), { recursive: true });
    const temporary = TEMPORARY.map((folder) => `${folder}_temp_path ${folder};`).join(" ");
    const nodes = NODES.map((node) => [`server ${node}:3000`, `server ${this.nodes[node].host}:${this.port}`]);
    this.file("deploy/nginx.conf", `${name}/nginx.conf`, [...nodes, ["http {", `http { ${temporary}`], ["/var/log/nginx/", ""], [":8081", `:${own}`]]);
    this.file("deploy/nginx/locations.conf", `${name}/locations.conf`, []);
    const listens = kind === "tls" ? [["listen 443", `listen ${this.net}.10:${port}`], ["listen 80", `listen ${this.net}.10:${plain}`]] : [["listen 80", `listen ${this.net}.10:${port}`]];
    if (kind === "tls" && isBefore125()) listens.push(["http2 on;", ""], [" ssl backlog", " ssl http2 backlog"]);
    this.file(`deploy/nginx/${kind}.conf`, `${name}/server.conf`, listens);
    const command = [program("nginx"), "-p", folder, "-c", "nginx.conf", "-e", "error.log", "-g", "daemon off; master_process off; pid nginx.pid;"];
    this.accepts([...command, "-t"]);
    await this.run(name, command, { address: [`${this.net}.10`, port] });
    const log = () => readFileSync(join(folder, "access.log"), "utf8");
    return kind === "tls" ? { name, url: `https://${this.net}.10:${port}`, plain: `http://${this.net}.10:${plain}`, log } : { name, url: `http://${this.net}.10:${port}`, log };
  }

  async startHaproxy() {
    const [port, plain] = [await freePort(), await freePort()];
    writeFileSync(this.path("certs/roomcast.pem"), readFileSync(this.path("certs/fullchain.pem"), "utf8") + readFileSync(this.path("certs/key.pem"), "utf8"));
    const changes = [["maxconn 30000", "maxconn 2000"], ["/etc/haproxy/certs", this.path("certs")], ["bind :443", `bind ${this.net}.10:${port}`], ["bind :80", `bind ${this.net}.10:${plain}`]];
    const nodes = NODES.map((node, index) => [`10.0.0.${index + 1}:3000`, `${this.nodes[node].host}:${this.port}`]);
    const config = this.file("deploy/haproxy.cfg", "haproxy.cfg", [...changes, ...nodes]);
    this.accepts([program("haproxy"), "-c", "-f", config]);
    await this.run("haproxy", [program("haproxy"), "-db", "-f", config], { address: [`${this.net}.10`, port] });
    return { name: "haproxy", url: `https://${this.net}.10:${port}`, plain: `http://${this.net}.10:${plain}`, log: () => this.log("haproxy") };
  }

  async startEnvoy() {
    const [port, plain] = [await freePort(), await freePort()];
    const socket = (host, port) => `address: ${host}, port_value: ${port}`;
    const changes = [
      ["/etc/envoy/certs", this.path("certs")],
      [socket("127.0.0.1", 9901), socket(`${this.net}.10`, await freePort())],
      [socket("0.0.0.0", 443), socket(`${this.net}.10`, port)],
      [socket("0.0.0.0", 80), socket(`${this.net}.10`, plain)],
    ];
    const nodes = NODES.map((node, index) => [socket(`10.0.0.${index + 1}`, 3000), socket(this.nodes[node].host, this.port)]);
    const config = this.file("deploy/envoy.yaml", "envoy.yaml", [...changes, ...nodes]);
    this.accepts([program("envoy"), "--mode", "validate", "-c", config]);
    await this.run("envoy", [program("envoy"), "--disable-hot-restart", "--file-flush-interval-msec", "100", "--concurrency", "2", "-l", "warn", "-c", config], { address: [`${this.net}.10`, port] });
    return { name: "envoy", url: `https://${this.net}.10:${port}`, plain: `http://${this.net}.10:${plain}`, log: () => this.log("envoy") };
  }

  /** A certificate for the address of the proxies, and the authority to believe. */
  makeCertificates() {
    mkdirSync(this.path("certs"));
    const [key, cert] = [this.path("certs/key.pem"), this.path("certs/fullchain.pem")];
    const kind = ["-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=roomcast"];
    execFileSync("openssl", ["req", ...kind, "-addext", `subjectAltName=IP:${this.net}.10`, "-keyout", key, "-out", cert], { stdio: "ignore" });
    this.authority = readFileSync(cert);
  }

  stop() {
    for (const child of this.running) child.kill("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true, maxRetries: 5 });
  }
}

/** Whether nginx does not know `http2 on` yet, as Debian 12's. */
function isBefore125() {
  const [, minor] = spawnSync(program("nginx"), ["-v"], { encoding: "utf8" }).stderr.match(/nginx\/1\.(\d+)/);
  return Number(minor) < 25;
}

const split = ([command, ...args]) => [command, args.map(String)];

function reachable([host, port]) {
  return new Promise((resolve) => {
    const socket = createConnection(port, host);
    socket.once("connect", () => resolve(true)).once("error", () => resolve(false));
    socket.once("close", () => resolve(false)).on("connect", () => socket.destroy());
  });
}
