"""The crates of the workspace, the arrows between them, and their drawing in ARCHITECTURE.md.

    python3 tests/structure/workspace.py

prints the drawing anew, for the section "Crates and arrows".
"""

import json
import re
import subprocess
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DRAWING = re.compile(r"^## Crates and arrows\n.*?^```text\n(.*?)^```", re.M | re.S)


def packages():
    """Returns the packages of the workspace as `cargo metadata` describes them."""
    command = ["cargo", "metadata", "--no-deps", "--format-version", "1", "--locked"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["packages"]


def arrows(found):
    """Returns {crate: crates of the workspace that it depends on}; dependencies of tests do not count."""
    names = {package["name"] for package in found}
    return {
        package["name"]: {one["name"] for one in package["dependencies"] if one["kind"] is None} & names for package in found
    }


def short(name):
    """Returns the name in the drawing: without the prefix that all crates share."""
    return name.removeprefix("ddpo-")


def drawn(text):
    """Returns the drawing of an ARCHITECTURE.md as [(crate, crates that it depends on)], from top to bottom."""
    drawing = DRAWING.search(text)
    assert drawing, 'ARCHITECTURE.md: expected a text block in a section "Crates and arrows", found none'
    lines = [line.partition("->") for line in drawing[1].splitlines() if line.strip()]
    return [(crate.strip(), targets.split()) for crate, _, targets in lines]


def differences(lines, real):
    """Yields what is wrong with a drawing: crates and arrows that differ from the real ones, and arrows that point down."""
    real = {short(crate): {short(target) for target in targets} for crate, targets in real.items()}
    drawing, above = {}, set()
    for crate, targets in lines:
        if crate in drawing:
            yield f"{crate}: drawn twice"
        drawing[crate] = set(targets)
        yield from (f"{crate} -> {target}: {target} is not above {crate}" for target in drawing[crate] - above)
        above.add(crate)
    for crate in sorted(real.keys() | drawing.keys()):
        if crate not in drawing or crate not in real:
            yield f"{crate}: " + ("not in the drawing" if crate in real else "drawn, but not in the workspace")
            continue
        yield from (f"{crate} -> {target}: not in the drawing" for target in sorted(real[crate] - drawing[crate]))
        yield from (f"{crate} -> {target}: drawn, but not in Cargo.toml" for target in sorted(drawing[crate] - real[crate]))


def reach(graph, crate):
    """Returns the crates that `crate` depends on, directly or through others."""
    return {other for target in graph[crate] for other in {target} | reach(graph, target)}


def draw(graph):
    """Returns the drawing: a line for each crate, below the crates that it depends on."""
    depth = {}
    for crate in TopologicalSorter(graph).static_order():
        depth[crate] = 1 + max((depth[target] for target in graph[crate]), default=0)
    lines = []
    for crate in sorted(graph, key=lambda crate: (depth[crate], short(crate))):
        targets = " ".join(sorted(short(target) for target in graph[crate]))
        lines.append(f"{short(crate):11} -> {targets}" if targets else short(crate))
    return "\n".join(lines)


if __name__ == "__main__":
    print(draw(arrows(packages())))
