"""Options and fixtures of the documentation's tests."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pages import ROOT


def pytest_addoption(parser):
    parser.addoption("--binaries", help="folder of the built programs; without it the tests that run them are skipped")


@pytest.fixture(scope="session")
def binaries(request):
    """The folder of ddpo, ddpo-sampler, ddpo-rewarder and ddpo-learner."""
    folder = request.config.getoption("--binaries")
    if folder is None:
        pytest.skip("--binaries is not given")
    return Path(folder).resolve()


@pytest.fixture(scope="session")
def book(tmp_path_factory):
    """The folder of the built book."""
    folder = tmp_path_factory.mktemp("book")
    program = Path(sys.executable).with_name("mdbook")
    command = [program, "build", "--dest-dir", folder, ROOT / "docs"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": os.environ["PATH"]})
    assert done.returncode == 0, done.stderr
    assert "WARN" not in done.stderr and "ERROR" not in done.stderr, done.stderr
    return folder
