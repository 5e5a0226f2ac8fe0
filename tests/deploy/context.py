"""What the build of the image needs, and whether it is given it.

Goal: the image builds from a fresh clone. Method: apply .dockerignore as Docker does, and look whether all that the sources
embed and all that Cargo reads is still there; copy it to a folder, if one is named, where Cargo can be asked too.
"""

import fnmatch
import pathlib
import re
import shutil
import subprocess
import sys

# What Cargo and the Dockerfile read by name.
NAMED = ["Cargo.toml", "Cargo.lock", "src/main.rs", "src/lib.rs", "loadtest/Cargo.toml", "loadtest/src/main.rs"]

# What must never get into a build: secrets, databases, results of other builds.
NEVER = [".git/config", "secrets/auth_secret", "certs/key.pem", ".env", "target/debug/roomcast", "roomcast-data/roomcast.sqlite", "rust-toolchain.toml"]


def rules(text):
    """The patterns in order, each with whether it brings something back."""
    lines = [line.strip() for line in text.splitlines()]
    return [(line.lstrip("!").strip("/"), line.startswith("!")) for line in lines if line and not line.startswith("#")]


def matches(pattern, path):
    """Whether a pattern is about a path or about a folder above it; `**/` stands for any folders, none too."""
    parts = path.split("/")
    for length in range(1, len(parts) + 1):
        part = "/".join(parts[:length])
        if pattern.startswith("**/"):
            if fnmatch.fnmatchcase(parts[length - 1], pattern[3:]):
                return True
        elif pattern.count("/") == part.count("/") and fnmatch.fnmatchcase(part, pattern):
            return True
    return False


def is_sent(path, patterns):
    """Whether Docker sends a path to the build: the last pattern that is about it decides."""
    sent = True
    for pattern, brings_back in patterns:
        if matches(pattern, path):
            sent = brings_back
    return sent


def embedded(root):
    """Files that the sources of the server embed, as paths from the root, with the source that names them."""
    for source in sorted((root / "src").rglob("*.rs")):
        text = source.read_text()
        for name in re.findall(r'include_(?:str|bytes)!\(\s*"([^"]+)"', text):
            yield source, (source.parent / name).resolve().relative_to(root)
        for prefix in re.findall(r'include_bytes!\(\s*concat!\(\s*"([^"]+)"', text):
            for name in re.findall(r'^\s*"([^"]+)":\s*[A-Z]+,', text, re.MULTILINE):
                yield source, (source.parent / prefix / name).resolve().relative_to(root)
        for folder in re.findall(r'embed_migrations!\(\s*"([^"]+)"', text):
            for step in sorted((root / folder).glob("*.sql")):
                yield source, step.relative_to(root)


def main():
    root = pathlib.Path(__file__).resolve().parents[2]
    patterns = rules((root / ".dockerignore").read_text())
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=root, check=True, capture_output=True, text=True).stdout.split("\0")
    sent = {path for path in listed if path and is_sent(path, patterns)}
    problems = [f".dockerignore keeps {path} out, which the build reads" for path in NAMED if path not in sent]
    problems += [f".dockerignore lets {path} in" for path in NEVER if is_sent(path, patterns)]
    wanted = list(embedded(root))
    for source, path in wanted:
        if str(path) not in sent:
            problems.append(f"{source.relative_to(root)} embeds {path}, which is not sent to the build or not in Git")
    if len(wanted) < 30:
        problems.append(f"only {len(wanted)} embedded files were found: this check no longer understands the sources")
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        return 1
    if len(sys.argv) > 1:
        for path in sent:
            copy = pathlib.Path(sys.argv[1]) / path
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(root / path, copy)
    print(f"the build gets {len(sent)} files, {len(wanted)} of which are embedded")
    return 0


sys.exit(main())
