"""Arrows between crates: as ARCHITECTURE.md draws them, upwards only, and libtorch only where it belongs."""

import subprocess

import pytest
import workspace

# Crates that build without libtorch.
WITHOUT_LIBTORCH = [
    "ddpo-broadcast", "ddpo-dashboard", "ddpo-files", "ddpo-inspector", "ddpo-loggers", "ddpo-proto", "ddpo-report",
    "ddpo-rollout",
]  # fmt: skip
SERVICES = {"ddpo-learner", "ddpo-rewarder", "ddpo-sampler"}


@pytest.fixture(scope="module")
def graph():
    return workspace.arrows(workspace.packages())


def test_the_drawing_shows_the_arrows_of_the_workspace(graph):
    lines = workspace.drawn((workspace.ROOT / "ARCHITECTURE.md").read_text())
    found = list(workspace.differences(lines, graph))
    assert not found, "\n".join([*found, "hint: python3 tests/structure/workspace.py prints the drawing"])


@pytest.mark.parametrize("crate", WITHOUT_LIBTORCH)
def test_builds_without_libtorch(crate, graph):
    if crate not in graph:
        pytest.skip(f"the workspace has no crate {crate}")
    command = ["cargo", "tree", "--package", crate, "--edges", "normal", "--prefix", "none", "--locked"]
    done = subprocess.run(command, cwd=workspace.ROOT, capture_output=True, text=True, check=True)
    found = {line.split()[0] for line in done.stdout.splitlines() if line}
    assert crate in found
    assert not found & {"tch", "torch-sys"}, f"{crate}: depends on libtorch; hint: cargo tree -p {crate} -e normal -i tch"


@pytest.mark.parametrize("service", sorted(SERVICES))
def test_services_do_not_depend_on_each_other(service, graph):
    assert workspace.reach(graph, service) & SERVICES == set()


REAL = {"ddpo-rollout": set(), "ddpo-proto": {"ddpo-rollout"}, "ddpo": {"ddpo-proto", "ddpo-rollout"}}


def compared(drawing):
    text = f"# Title\n\n## Crates and arrows\n\nA sentence.\n\n```text\n{drawing}\n```\n\n## Next\n"
    return list(workspace.differences(workspace.drawn(text), REAL))


@pytest.mark.parametrize(
    "drawing, expected",
    [
        ("rollout\nproto -> rollout\nddpo -> proto rollout", []),
        ("rollout\nproto -> rollout\nddpo -> proto", ["ddpo -> rollout: not in the drawing"]),
        ("rollout\nproto -> rollout", ["ddpo: not in the drawing"]),
        ("rollout\nfiles\nproto -> rollout\nddpo -> proto rollout", ["files: drawn, but not in the workspace"]),
        ("files\nrollout -> files\nproto -> rollout\nddpo -> proto rollout",
         ["files: drawn, but not in the workspace", "rollout -> files: drawn, but not in Cargo.toml"]),
        ("proto -> rollout\nrollout\nddpo -> proto rollout", ["proto -> rollout: rollout is not above proto"]),
        ("rollout\nproto -> rollout\nproto -> rollout\nddpo -> proto rollout", ["proto: drawn twice"]),
    ],
)  # fmt: skip
def test_detects_errors_of_a_drawing(drawing, expected):
    assert compared(drawing) == expected


def test_the_printed_drawing_has_no_errors():
    assert compared(workspace.draw(REAL)) == []
