"""Fixtures of the comparisons with the real diffusers, transformers, Pillow and PyTorch, which `make parity` runs.

Checkpoints with random weights are written by diffusers, sampled and trained by ddpo, and every recorded number is
computed again in Python. The summary at the end has a line for each comparison with its largest gaps.
"""

import functools
import os
import pathlib

# OpenMP's threads spin while they wait, which on a machine with other work costs ten times the
# time. Read when libgomp is loaded, and inherited by ddpo.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("DIFFUSERS_VERBOSITY", "critical")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import diffusers.utils.logging  # noqa: E402
import pytest  # noqa: E402
import torch  # noqa: E402
import transformers.utils.logging  # noqa: E402

from commands import ROOT, run  # noqa: E402


def pytest_addoption(parser):
    default = ROOT / "target/release/ddpo"
    parser.addoption("--ddpo", type=pathlib.Path, default=default, help="the binary to compare, its examples beside it")


def pytest_configure():
    torch.set_num_threads(2)
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()


class Gaps:
    """The largest gaps of one comparison. A gap beyond its limit fails the test at its end, so that all are known."""

    def __init__(self):
        self.values, self.failures = {}, {}

    def limit(self, key, value, limit):
        """Records a gap that must not exceed `limit`; the largest is kept."""
        self.values[key] = max(value, self.values.get(key, 0.0))
        if not value <= limit:
            self.failures[key] = f"{key}: expected at most {limit:g}, found {self.values[key]:.3g}"

    def at_least(self, key, value, limit):
        """Records an agreement that must reach `limit`; the smallest is kept."""
        self.values[key] = min(value, self.values.get(key, float("inf")))
        if not value >= limit:
            self.failures[key] = f"{key}: expected at least {limit:g}, found {self.values[key]:.6f}"

    def note(self, key, value):
        """Records a value for the summary."""
        self.values[key] = value


@pytest.fixture
def gaps():
    return Gaps()


@pytest.fixture
def program(pytestconfig):
    """Path of the binary."""
    return pytestconfig.getoption("--ddpo").resolve()


@pytest.fixture
def ddpo(program):
    """Runs ddpo with the given arguments and returns what it prints."""
    return functools.partial(run, program)


@pytest.fixture
def examples(program):
    """The folder of the examples `vision` and `hub`, which `make parity` builds."""
    return program.parent / "examples"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item):
    gaps = item.funcargs["gaps"]
    try:
        result = yield
        assert not gaps.failures, "\n".join(gaps.failures.values())
        return result
    finally:
        item.user_properties.extend(gaps.values.items())


def cell(value):
    if isinstance(value, float):
        return f"{value:.6f}" if 0.1 < value <= 2 else f"{value:.1e}"
    return str(value)


def pytest_terminal_summary(terminalreporter):
    """Prints the gaps of each comparison, and the largest over all of them."""
    reports = [*terminalreporter.getreports("passed"), *terminalreporter.getreports("failed")]
    reports = [report for report in reports if report.when == "call"]
    if not reports:
        return
    terminalreporter.section("largest gaps")
    for report in reports:
        values = "  ".join(f"{key} {cell(value)}" for key, value in report.user_properties)
        terminalreporter.line(f"{report.nodeid.rpartition('::')[2]:45} {report.duration:6.1f} s  {values}")
    for key, over_all in [("log_prob", max), ("mean", max), ("cosine", min)]:
        found = [dict(report.user_properties)[key] for report in reports if key in dict(report.user_properties)]
        if found:
            terminalreporter.line(f"{over_all.__name__} of {key} over {len(found)} comparisons: {cell(over_all(found))}")
