"""One place writes to the standard streams, and one place turns an error and its causes into text."""

import re

from workspace import ROOT

OUTPUT = "crates/service/src/output.rs"
# `causes` iterates over errors to look for one of a kind.
CAUSES = {"crates/rollout/src/causes.rs", "crates/delivery/src/transport.rs", "crates/service/src/device/work.rs"}
# Handles that only answer whether they are a terminal.
HANDLES = {"cli/src/train/progress.rs", "crates/service/src/telemetry/logs.rs"}


def sources():
    """Yields the path and the text of the sources of the programs, without their tests."""
    crates = [ROOT / name for name in ("cli", "learner", "proto", "rewarder", "sampler")] + [*(ROOT / "crates").iterdir()]
    for file in sorted(file for crate in crates for file in crate.glob("src/**/*.rs")):
        yield str(file.relative_to(ROOT)), file.read_text().partition("#[cfg(test)]")[0]


def test_one_file_writes_to_the_standard_streams():
    macros = re.compile(r"\be?print(?:ln)?!\(")
    handles = re.compile(r"\bstd(?:out|err)\(\)")
    # The comments of the file itself name the macros.
    found = {path for path, text in sources() if macros.search(re.sub(r"//[^\n]*", "", text))}
    assert found == set()
    assert {path for path, text in sources() if handles.search(text)} == {OUTPUT, *HANDLES}


def test_one_file_joins_an_error_with_its_causes():
    walks = re.compile(r"successors\([^;]*\.source\(\)", re.DOTALL)
    assert {path for path, text in sources() if walks.search(text)} == CAUSES
    alternate = re.compile(r"\{error:#\}")
    assert {path for path, text in sources() if alternate.search(text)} == set()
