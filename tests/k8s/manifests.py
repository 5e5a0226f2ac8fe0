"""What the checks know: rendered objects, the reference of settings, and what the sources say."""

import re
from functools import cached_property
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]


class Rendered:
    """The objects of one overlay, or of the chart with one set of values."""

    def __init__(self, name, objects):
        self.name = name
        self.objects = [thing for thing in objects if thing]

    @classmethod
    def read(cls, path):
        with open(path, encoding="utf-8") as file:
            return cls(f"{Path(path).parent.name}/{Path(path).stem}", list(yaml.safe_load_all(file)))

    def of(self, *kinds):
        return [thing for thing in self.objects if thing["kind"] in kinds]

    def named(self, kind, name):
        """Those of a kind that have the name, or all where there is none."""
        return [thing for thing in self.of(kind) if name in (None, thing["metadata"]["name"])]

    def workloads(self):
        """Everything that makes pods, with the template of these; a Pod is its own."""
        return [(thing, thing["spec"].get("template", thing)) for thing in self.of("Deployment", "Job", "Pod")]

    def containers(self):
        for thing, template in self.workloads():
            for container in template["spec"].get("initContainers", []) + template["spec"]["containers"]:
                yield thing, template, container

    def server(self):
        """The Deployment for clients, and the container in it."""
        (found,) = [one for one in self.nodes() if component(one[0]) == "server"]
        return found

    def nodes(self):
        """Every Deployment, that of workers too, with the container in it."""
        return [(thing, thing["spec"]["template"]["spec"]["containers"][0]) for thing in self.of("Deployment")]

    def workers(self):
        return [one for one in self.nodes() if component(one[0]) == "worker"]

    def settings(self, container):
        """The environment of a container as far as it is known here; secrets are None."""
        known = {}
        for source in container.get("envFrom", []):
            name = source["configMapRef"]["name"]
            maps = [thing for thing in self.of("ConfigMap") if thing["metadata"]["name"] == name]
            if not maps:
                raise LookupError(f"ConfigMap {name} is not there")
            known |= maps[0]["data"]
        for variable in container.get("env", []):
            known[variable["name"]] = variable.get("value")
        return known


class Sources:
    """What roomcast itself says."""

    @cached_property
    def settings(self):
        """Every setting by its variable: flag and default. A test holds this table against the program."""
        row = re.compile(r"^\| `(--[a-z0-9-]+)` \| `([A-Z0-9_]+)` \| (?:`([^`]*)`)? ?\|", re.M)
        found = {env: (flag, default) for flag, env, default in row.findall((ROOT / "docs/settings.md").read_text("utf-8"))}
        assert len(found) > 100, "the table of settings in docs/settings.md is not understood"
        return found

    @cached_property
    def secrets(self):
        """Variables whose values help texts do not show."""
        text = "".join(path.read_text("utf-8") for part in ("config", "cli") for path in sorted((ROOT / "src" / part).rglob("*.rs")))
        found = set(re.findall(r'env = "([A-Z_]+)"[^\]]*\bhide_env_values\b', text))
        assert {"REDIS_URL", "DATABASE_URL", "ROOMCAST_AUTH_SECRET", "ROOMCAST_API_KEYS"} <= found, "secrets are not understood"
        return found

    @cached_property
    def command_line(self):
        """What commands take besides settings: variables and flags."""
        text = "".join(path.read_text("utf-8") for path in sorted((ROOT / "src/cli").rglob("*.rs")))
        flags = re.findall(r"#\[arg\([^\]]*\blong\b[^\]]*\)\]\s+(?:pub(?:\([a-z]+\))? )?(\w+):", text)
        return set(re.findall(r'env = "([A-Z_]+)"', text)) | {"--" + flag.replace("_", "-") for flag in flags}

    @cached_property
    def metrics(self):
        """Every metric of the program, by the names in its registry."""
        text = "".join(path.read_text("utf-8") for path in sorted((ROOT / "src/metrics").glob("*.rs")))
        found = set(re.findall(r'"(roomcast_[a-z0-9_]+)"', text))
        assert len(found) > 50, "the metrics in src/metrics are not understood"
        return found

    @cached_property
    def paths(self):
        """Every path of the HTTP API."""
        text = "".join(path.read_text("utf-8") for path in sorted((ROOT / "src/http").rglob("*.rs")))
        return set(re.findall(r'"(/[a-z]+)"', text))

    @cached_property
    def commands(self):
        """Every command of the program."""
        lines = (ROOT / "src/cli").iterdir()
        return {path.stem for path in lines if path.stem not in ("mod", "http", "host", "signals", "descriptors")}

    @cached_property
    def version(self):
        return re.search(r'^version = "([^"]+)"', (ROOT / "Cargo.toml").read_text("utf-8"), re.M).group(1)

    @cached_property
    def alert_groups(self):
        """The groups of the rule files, in the order of their names."""
        files = sorted((ROOT / "grafana/rules").glob("*.y*ml"))
        read = [yaml.safe_load(path.read_text("utf-8")) for path in files]
        return [group for rules in read if rules and "groups" in rules for group in rules["groups"]]

    @cached_property
    def image(self):
        """Who runs the program in the image, and which it is."""
        text = (ROOT / "Dockerfile").read_text("utf-8")
        user = re.search(r"^USER (\S+)$", text, re.M).group(1)
        return user, re.search(r'^ENTRYPOINT \["(?:[^"]*/)?([^"/]+)"\]$', text, re.M).group(1)

    @cached_property
    def sysctls(self):
        """What machines are told."""
        return dict(re.findall(r"^-?([a-z0-9_.]+) = (.+)$", (ROOT / "sysctl.conf").read_text("utf-8"), re.M))

    @cached_property
    def adapter(self):
        return yaml.safe_load((ROOT / "k8s/prometheus-adapter/values.yaml").read_text("utf-8"))


def component(thing):
    return thing["metadata"]["labels"]["app.kubernetes.io/component"]


def seconds(text):
    """A time as settings have it."""
    if text == "0":
        return 0
    number, unit = re.fullmatch(r"(\d+)(ms|s|m|h)", text).groups()
    return int(number) * {"ms": 0.001, "s": 1, "m": 60, "h": 3600}[unit]


def quantity(value):
    """CPU in cores or memory in bytes."""
    number, unit = re.fullmatch(r"(\d+(?:\.\d+)?)(m|Ki|Mi|Gi)?", str(value)).groups()
    return float(number) * {None: 1, "m": 0.001, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30}[unit]


def selects(selector, labels):
    """Whether matchLabels fit; an empty selector fits everything, which nobody here wants."""
    return bool(selector) and all(labels.get(key) == value for key, value in selector.items())
