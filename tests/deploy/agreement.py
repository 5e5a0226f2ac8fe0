"""Do the files for operators agree with each other and with the program?

Goal: no setting, command or metric is named that does not exist; limits that depend on each other fit; nothing is published,
unbounded or without a health check by accident. Method: COMPOSE reads compose.yaml as Compose does; ROOMCAST_BIN says what it
can; sources say which metrics there are.
"""

import json
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = os.environ["ROOMCAST_BIN"]
NODES = ["roomcast-1", "roomcast-2", "roomcast-3"]

# Where settings, commands and metrics are named.
FILES = ["Dockerfile", "compose.yaml", "sysctl.conf", "docs/deploy.md", *sorted(str(path.relative_to(ROOT)) for path in (ROOT / "deploy").rglob("*") if path.is_file())]

problems = []


def expect(fine, sentence):
    if not fine:
        problems.append(sentence)


def text(name):
    return (ROOT / name).read_text()


def asked(*command, **more):
    return subprocess.run(command, check=True, capture_output=True, text=True, **more).stdout


def number(source, pattern):
    """The one number that a pattern finds in a file, in its unit."""
    found = re.search(pattern, text(source), re.MULTILINE)
    expect(found, f"{source} has no {pattern}")
    return int(found[1]) if found else 0


def seconds(time):
    minutes, rest = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s)?", time).groups()
    return 60 * int(minutes or 0) + int(rest or 0)


def defaults():
    """The default of each setting, by the name of its variable."""
    rows = re.findall(r"^\| `--\S+` \| `(\w+)` \| (?:`(.*?)`)? ?\|", asked(BINARY, "config", "reference"), re.MULTILINE)
    return dict(rows)


def check_services(services):
    for name, service in services.items():
        tag = service["image"].rpartition(":")[2]
        expect(re.search(r"\d", tag) or tag == "local", f"{name}: the image {service['image']} has no version")
        limits = service["deploy"]["resources"]["limits"]
        expect(int(limits["memory"]) > 0 and limits["pids"] > 0, f"{name} has no limits")
        expect(service["ulimits"]["nofile"] == {"soft": 65536, "hard": 65536}, f"{name}: nofile")
        expect(service["read_only"] and service["cap_drop"] == ["ALL"], f"{name} may do more than it needs")
        expect(service["security_opt"] == ["no-new-privileges:true"], f"{name} may get privileges")
        expect(service["logging"]["options"]["max-size"], f"the log of {name} grows for ever")
        once = service["restart"] == "no"
        expect(once or service["healthcheck"]["test"][0].startswith("CMD"), f"{name} has no health check")
        expect(once == (name == "migrate"), f"{name} is not started again")
        for port in service.get("ports", []):
            expect(name == "nginx" or port.get("host_ip") == "127.0.0.1", f"{name} is published to everybody")
            expect(port["target"] != 3001, "the operators' address is published")
        for mount in service.get("volumes", []):
            source = pathlib.Path(mount["source"])
            own = mount["type"] == "bind" and source.name != "certs"
            expect(not own or (source.exists() and mount.get("read_only")), f"{name}: {source} is not there, or can be written")
        made = text("deploy/secrets")
        for secret in service.get("secrets", []):
            expect(f"once {secret['source']}" in made, f"deploy/secrets does not make {secret['source']}")


def check_nodes(services, settings):
    hosts = dict(line.split("=") for line in services["nginx"]["extra_hosts"])
    upstream = set(re.findall(r"^\s+server (roomcast-\d):3000", text("deploy/nginx.conf"), re.MULTILINE))
    expect(set(hosts) == set(NODES) == upstream, "nginx does not know the nodes")
    proxy = services["nginx"]["networks"]["front"]["ipv4_address"]
    for name in NODES:
        service = services[name]
        environment = service["environment"]
        address = service["networks"]["front"]["ipv4_address"]
        expect(address == hosts[name] and environment["ROOMCAST_ADVERTISE"] == f"{address}:3000", f"{name} is elsewhere")
        expect(proxy in environment["ROOMCAST_TRUSTED_PROXIES"].split(","), f"{name} does not trust nginx")
        expect("roomcast" in service["networks"]["back"]["aliases"], f"Prometheus does not find {name}")
        for variable in environment:
            expect(variable in settings or variable == "ROOMCAST_CONFIG", f"{name}: there is no setting {variable}")
        deadline = seconds(environment.get("ROOMCAST_DRAIN_DEADLINE", settings["ROOMCAST_DRAIN_DEADLINE"]))
        expect(seconds(service["stop_grace_period"]) >= deadline + 5, f"{name} is killed while it drains")
        expect(int(environment["ROOMCAST_MAX_SOCKETS"]) + 1_000 <= 65536, f"{name}: max-sockets needs more descriptors")


def check_sums(services, settings):
    pools = sum(int(services[name]["environment"]["DB_POOL_MAX"]) for name in NODES)
    pool = number("deploy/pgbouncer.ini", r"^default_pool_size = (\d+)$")
    expect(pools <= pool, f"{pools} connections of nodes do not fit into {pool} of PgBouncer")
    free = number("deploy/postgres.conf", r"^max_connections = (\d+)$") - number("deploy/postgres.conf", r"^superuser_reserved_connections = (\d+)$")
    expect(2 * pool <= free, f"PgBouncer and its successor ({pool} each) do not fit into {free} connections of PostgreSQL")
    expect(number("deploy/pgbouncer.ini", r"^max_client_conn = (\d+)$") >= 5 * pools, "max_client_conn is too small")
    limit, own = number("deploy/pgbouncer.ini", r"statement_timeout = (\d+)'"), 1_000 * (seconds(settings["DB_STATEMENT_TIMEOUT"]) + 5)
    expect(limit > own, "PostgreSQL ends statements that nodes still wait for, or nodes take PgBouncer for PostgreSQL")
    memory = {name: int(service["deploy"]["resources"]["limits"]["memory"]) >> 20 for name, service in services.items()}
    buffers = number("deploy/valkey.conf", r"^client-output-buffer-limit pubsub (\d+)mb") * len(NODES)
    expect(buffers + number("deploy/valkey.conf", r"^maxmemory (\d+)mb$") <= memory["valkey"] * 0.9, "Valkey's buffers do not fit into its memory")
    shared = number("deploy/postgres.conf", r"^shared_buffers = (\d+)MB$") + pool * number("deploy/postgres.conf", r"^work_mem = (\d+)MB$")
    expect(shared <= memory["postgres"], "PostgreSQL's buffers do not fit into its memory")
    deadline, idle = seconds(settings["ROOMCAST_DRAIN_DEADLINE"]), seconds(settings["ROOMCAST_HTTP_KEEP_ALIVE_TIMEOUT"])
    expect(number("deploy/roomcast.service", r"^TimeoutStopSec=(\d+)s$") >= deadline + 5, "systemd kills a node while it drains")
    descriptors = number("deploy/roomcast.service", r"^LimitNOFILE=(\d+)$")
    expect(descriptors >= int(settings["ROOMCAST_MAX_SOCKETS"]) + 1_000, "LimitNOFILE is too small for max-sockets")
    expect(number("deploy/nginx.conf", r"^ {8}keepalive_timeout (\d+)s;") < idle, "nginx keeps connections longer than nodes")
    expect(number("deploy/envoy.yaml", r"^ {10}common_http_protocol_options: \{idle_timeout: (\d+)s\}") < idle, "Envoy keeps connections longer than nodes")
    ping = seconds(settings["ROOMCAST_PING_INTERVAL"])
    for source, pattern in [("deploy/nginx/locations.conf", r"proxy_read_timeout (\d+)s"), ("deploy/haproxy.cfg", r"timeout server (\d+)s"), ("deploy/envoy.yaml", r"stream_idle_timeout: (\d+)s")]:
        expect(number(source, pattern) >= 2 * ping, f"{source} gives up what is only silent between two pings")


def check_image(settings):
    dockerfile = text("Dockerfile")
    wanted = re.search(r'^rust-version = "([\d.]+)"$', text("Cargo.toml"), re.MULTILINE)[1]
    expect(re.search(rf"^ARG RUST={re.escape(wanted)}(\.\d+)?$", dockerfile, re.MULTILINE), f"the image is not built by Rust {wanted}")
    expect(re.search(r"^USER \d+:\d+$", dockerfile, re.MULTILINE), "the image's user is no number")
    ports = re.search(r"^EXPOSE (\d+) (\d+)$", dockerfile, re.MULTILINE)
    listens = [settings[name].rpartition(":")[2] for name in ("ROOMCAST_LISTEN", "ROOMCAST_ADMIN_LISTEN")]
    expect(ports and list(ports.groups()) == listens, "the image exposes other ports than the server listens on")


def check_variables(services):
    """.env.example names what compose.yaml asks for, with the same defaults."""
    used = dict(re.findall(r"\$\{(\w+):-([^}]*)\}", text("compose.yaml")))
    told = dict(re.findall(r"^(\w+)=(.*)$", text(".env.example"), re.MULTILINE))
    expect(used == told, f".env.example and compose.yaml differ: {sorted(set(used.items()) ^ set(told.items()))}")
    return set(used)


def check_names(settings, of_compose):
    sources = "\n".join(path.read_text() for path in (ROOT / "src/metrics").rglob("*.rs"))
    metrics = set(re.findall(r'"(roomcast_[a-z_]+)"', sources))
    commands = set(re.findall(r"^  ([a-z]+) ", asked(BINARY, "--help"), re.MULTILINE))
    for name in FILES:
        content = text(name)
        for variable in set(re.findall(r"\b(?:ROOMCAST_[A-Z_]+[A-Z]|DB_[A-Z_]+[A-Z])\b", content)):
            known = variable in settings or variable in of_compose or variable in ("ROOMCAST_CONFIG", "ROOMCAST_X")
            expect(known, f"{name}: there is no setting {variable}")
        for metric in set(re.findall(r"\broomcast_[a-z_]+\b", content)) - {"roomcast_"}:
            expect(metric in metrics or re.sub(r"_(bucket|sum|count)$", "", metric) in metrics, f"{name}: there is no metric {metric}")
        for command in set(re.findall(r"(?:`|^|\$ |local/bin/|exec roomcast-\d )roomcast ([a-z]+)\b", content, re.MULTILINE)):
            expect(command in commands, f"{name}: there is no command `roomcast {command}`")
        for command, rest in re.findall(r"\broomcast ([a-z]+)((?: [^`\n|)]*)? --[^`\n|)]*)", content):
            for flag in re.findall(r"(?<=\s)--[a-z][a-z-]*", rest) if command in commands else []:
                known = asked(BINARY, command, "--help")
                expect(re.search(rf"^\s+(-\w, )?{flag}\b", known, re.MULTILINE), f"{name}: `roomcast {command}` has no {flag}")


def main():
    services = json.loads(asked(os.environ["COMPOSE"], str(ROOT / "compose.yaml")))["services"]
    settings = defaults()
    expect(len(settings) > 80, "this check no longer understands `roomcast config reference`")
    check_services(services)
    check_nodes(services, settings)
    check_sums(services, settings)
    check_image(settings)
    check_names(settings, check_variables(services))
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


sys.exit(main())
