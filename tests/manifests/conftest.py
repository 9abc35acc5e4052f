"""Fixtures of the checks of deploy/kubernetes/: the manifests as kubectl renders them, and the binaries that they start.

`make test-manifests` runs the checks. Without a kubectl that is new enough they are skipped.
"""

import re
import shutil
import subprocess
from functools import cache, partial
from pathlib import Path

import pytest

import binaries
import gpus
import network
import restricted
import scaling
import schemas
import stacks
import workloads

# Kustomize's components, `labels` with templates and patches by label are younger than Debian's kubectl.
OLDEST_KUBECTL = (1, 27)


def pytest_addoption(parser):
    default = stacks.ROOT / "target/release"
    parser.addoption("--binaries", type=Path, default=default, help="the folder of ddpo and the three services")
    parser.addoption("--kubectl", default="kubectl", help="1.27 or newer")


def unusable(kubectl):
    """Returns why this kubectl cannot render the manifests; None when it can."""
    path = shutil.which(kubectl)
    if not path:
        return f"kubectl: expected 1.27 or newer, found no {kubectl}"
    printed = subprocess.run([path, "version", "--client", "--output=yaml"], capture_output=True, text=True).stdout
    version = tuple(int(number) for number in re.findall(r'^ *(?:major|minor): "?(\d+)', printed, re.M))
    if version < OLDEST_KUBECTL:
        return f"{path}: expected 1.27 or newer, found {'.'.join(map(str, version)) or 'no version'}"
    return None


@pytest.fixture(scope="session")
def rendered(pytestconfig):
    """Every stack, by name."""
    kubectl = pytestconfig.getoption("--kubectl")
    if reason := unusable(kubectl):
        pytest.skip(reason)
    found = [stacks.render(kubectl, *name) for name in stacks.names()]
    return {stack.name: stack for stack in [*found, stacks.render_example(kubectl)]}


@pytest.fixture(scope="session")
def programs(pytestconfig):
    return binaries.Binaries(pytestconfig.getoption("--binaries"))


@pytest.fixture(scope="session")
def checks(programs):
    """Maps the name of a check to a function from a stack to its problems."""
    modules = [binaries, gpus, network, scaling, workloads]
    with_programs = {module.__name__: module for module in modules}
    return {
        **{name: partial(module.check, binaries=programs) for name, module in with_programs.items()},
        "restricted": restricted.check,
        "schemas": lambda stack: schemas.check(stack.objects, schemas.VERSIONS[-1])[0],
    }


@pytest.fixture(scope="session")
def unbroken(rendered, checks):
    """Returns the problems that a check finds in a stack as it is, computed once."""
    return cache(lambda stack, name: list(checks[name](rendered[stack])))
