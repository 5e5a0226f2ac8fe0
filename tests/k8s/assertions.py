#!/usr/bin/env python3
"""Holds rendered manifests, and the page about them, against what roomcast is: assertions.py FILE…, each a stream of YAML documents.

With ROOMCAST_BIN the program itself says whether it would start with the settings of each rendering.
"""

import os
import subprocess
import sys

import page
from manifests import Rendered, Sources
from mutations import MUTATIONS, mutate
from rules import RULES

STAND_INS = {
    "REDIS_URL": "redis://redis:6379",
    "DATABASE_URL": "postgres://roomcast@postgres:5432/roomcast",
    "DATABASE_URL_READONLY": "postgres://roomcast@replica:5432/roomcast",
    "ROOMCAST_AUTH_SECRET": "a-secret-of-at-least-32-bytes-for-checks",
    "ROOMCAST_API_KEYS": "checks=a-key-of-16-characters-or-more",
}


def broken(rendered, sources, rules=RULES):
    return [f"{rendered.name}: {problem}" for rule in rules for problem in rule(rendered, sources)]


def refused(rendered, program):
    """What the program itself does not like about the settings."""
    for deployment, container in rendered.nodes():
        for fault in refused_settings(rendered.settings(container), program):
            yield f"{rendered.name}: {deployment['metadata']['name']}: {fault}"


def refused_settings(settings, program):
    unknown = [name for name, value in settings.items() if value is None and name not in (*STAND_INS, "POD_IP")]
    env = {name: value for name, value in settings.items() if value is not None} | STAND_INS
    if "ROOMCAST_AUTH_JWKS_URLS" in env:
        del env["ROOMCAST_AUTH_SECRET"]
    address = "fd00::7" if env["ROOMCAST_LISTEN"].startswith("[") else "10.244.0.7"
    env = {name: value.replace("$(POD_IP)", address) for name, value in env.items()}
    ran = subprocess.run([program, "config", "check"], env=env, capture_output=True, text=True, timeout=30, check=False)
    # A variable that it does not know is a doubt and no fault to the program.
    if ran.returncode or unknown or "no such setting" in ran.stderr:
        yield f"{ran.stdout}{ran.stderr}{unknown or ''}"


def unnoticed(renderings, sources):
    """Changes that no rule noticed, and rules that nothing was tried on."""
    rules = {rule.__name__: rule for rule in RULES}
    for name in rules.keys() - {name for name, *_ in MUTATIONS}:
        yield f"nothing shows that {name} can fail"
    largest_first = sorted(renderings, key=lambda rendered: -len(rendered.objects))
    for rule, kind, name, function in MUTATIONS:
        rendered = next((one for one in largest_first if one.named(kind, name)), None)
        if not rendered:
            yield f"{function.__name__}: there is no {kind} to change"
        elif not broken(mutate(rendered, kind, name, function), sources, [rules[rule]]):
            yield f"{rule} does not notice {function.__name__}"


def main(files):
    sources, renderings = Sources(), [Rendered.read(path) for path in files]
    problems = [problem for rendered in renderings for problem in broken(rendered, sources)]
    program = os.environ.get("ROOMCAST_BIN")
    if program:
        problems += [problem for rendered in renderings for problem in refused(rendered, program)]
        for wrong in ({"ROOMCAST_DRAIN_WINDOW": "1h"}, {"ROOMCAST_MAX_SOCKET": "1"}):
            changed = mutate(renderings[0], "ConfigMap", None, lambda thing, wrong=wrong: thing["data"].update(wrong))
            if not list(refused(changed, program)):
                problems.append(f"{program} does not notice {wrong}")
    problems += page.faults(renderings, sources)
    problems += unnoticed(renderings, sources)
    print(*problems, sep="\n", end="\n" if problems else "")
    known = "" if program else "; ROOMCAST_BIN is not set, so the program was not asked"
    print(f"{len(renderings)} renderings, {len(RULES)} rules, {len(MUTATIONS)} changes that they notice{known}")
    return 1 if problems or not renderings else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
