#!/usr/bin/env python3
"""Holds the chart against the overlays: agreement.py OVERLAYS CHART, two folders with renderings of the same names.

Both have to say the same to the last field, or one of them has been forgotten in a change. What may differ is what only one
of them has: Helm's own labels, hooks and the test; the Namespace; and how changed settings roll the pods.
"""

import difflib
import re
import sys
from pathlib import Path

import yaml

HELMS_LABELS = {"app.kubernetes.io/managed-by", "helm.sh/chart"}
HOW_TO_APPLY = re.compile(r"^(helm\.sh|argocd\.argoproj\.io|kustomize\.toolkit\.fluxcd\.io|checksum)/")


def plain(value):
    """A value without what may differ."""
    if isinstance(value, list):
        return [plain(one) for one in value]
    if not isinstance(value, dict):
        return re.sub(r"^(roomcast-config)-[a-z0-9]{10}$", r"\1", value) if isinstance(value, str) else value
    kept = {key: plain(one) for key, one in value.items() if key not in HELMS_LABELS and not HOW_TO_APPLY.match(key)}
    return {key: one for key, one in kept.items() if one != {} or value[key] == {}}


def objects(path):
    found = {}
    for thing in filter(None, yaml.safe_load_all(path.read_text("utf-8"))):
        if thing["kind"] not in ("Namespace", "Pod"):
            thing = plain(thing)
            thing["metadata"].pop("namespace", None)
            found[f"{thing['kind']} {thing['metadata']['name']}"] = thing
    return found


def shown(things, name):
    return yaml.safe_dump(things.get(name), width=200).splitlines()


def differences(overlay, chart):
    ours, theirs = objects(overlay), objects(chart)
    for name in sorted(ours.keys() | theirs.keys()):
        if ours.get(name) != theirs.get(name):
            yield from difflib.unified_diff(
                shown(ours, name), shown(theirs, name), f"overlay {overlay.stem}: {name}", f"chart {chart.stem}: {name}",
                lineterm="", n=2,
            )


def main(overlays, charts):
    names = {one: {path.name for path in Path(one).glob("*.yaml")} for one in (overlays, charts)}
    missing = names[overlays] ^ names[charts]
    found = [f"only one of both has {name}" for name in sorted(missing)]
    for name in sorted(names[overlays] & names[charts]):
        found += differences(Path(overlays, name), Path(charts, name))
    if not any(differences(Path(overlays, "base.yaml"), Path(charts, "small.yaml"))):
        found.append("self-test: base and small are not the same")
    print(*found, sep="\n", end="\n" if found else "")
    print(f"{len(names[overlays])} overlays, and the chart says the same")
    return 1 if found or not names[overlays] else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
