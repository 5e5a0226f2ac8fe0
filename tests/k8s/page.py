"""Holds the page for operators, docs/kubernetes.md, against what is rendered and against roomcast."""

import re

from manifests import ROOT, seconds

# The rows about the end of a pod, and what each is the sum of.
ENDS = {
    "`preStop`": ("stop",),
    "the delay": ("stop", "delay"),
    "the window": ("stop", "delay", "window"),
    "`ROOMCAST_DRAIN_DEADLINE`": ("stop", "deadline"),
    "`terminationGracePeriodSeconds`": ("grace",),
}


def undocumented(text, sources):
    """What the page names and nobody has, and components that it does not know."""
    for name in sorted(set(re.findall(r"\b(?:ROOMCAST|DB)_[A-Z_]+", text)) - sources.settings.keys()):
        yield f"roomcast has no setting {name}"
    for name in sorted(set(re.findall(r"\broomcast_[a-z0-9_]+", text)) - sources.metrics):
        yield f"roomcast has no metric {name}"
    for path in sorted(set(re.findall(r"\b(?:k8s|tests/k8s)/[a-z0-9./-]+", text))):
        if not (ROOT / path).exists():
            yield f"there is no {path}"
    for name in sorted(path.name for path in (ROOT / "k8s/components").iterdir()):
        if f"`{name}`" not in text:
            yield f"it does not know the component {name}"


def times(rendered):
    """Seconds of the end of a pod."""
    deployment, container = rendered.server()
    settings = rendered.settings(container)
    return {
        "stop": container["lifecycle"]["preStop"]["sleep"]["seconds"],
        "grace": deployment["spec"]["template"]["spec"]["terminationGracePeriodSeconds"],
    } | {part: seconds(settings[f"ROOMCAST_DRAIN_{part.upper()}"]) for part in ("delay", "window", "deadline")}


def miscounted(text, renderings):
    """Rows about the end of a pod that are not what base and production come to."""
    columns = [times(one) for name in ("base", "production") for one in renderings if one.name == f"kustomize/{name}"]
    for row, parts in ENDS.items():
        line = f"| {row} | {' | '.join(f'{sum(column[part] for part in parts)} s' for column in columns)} |"
        if line not in text:
            yield f"it should have {line}"


def faults(renderings, sources):
    text = (ROOT / "docs/kubernetes.md").read_text("utf-8")
    found = [f"docs/kubernetes.md: {fault}" for fault in (*undocumented(text, sources), *miscounted(text, renderings))]
    wrong = text.replace(" 110 s ", " 60 s ") + "`ROOMCAST_NOTHING`, `roomcast_nothing`, k8s/nothing"
    noticed = [*undocumented(wrong.replace("`keda`", "keda"), sources), *miscounted(wrong, renderings)]
    if len(noticed) != len(found) + 5:
        found.append("docs/kubernetes.md: what is wrong in it is not noticed")
    return found
