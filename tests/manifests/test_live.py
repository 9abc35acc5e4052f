"""Runs the pods of cpu-smoke on this machine to the end of the run: with each container's command line, variables,
volumes, user and probes, on a read-only root.

A network namespace gives them the ports and the names of the Services. Unlike in a cluster all pods share one loopback
interface, so one sampler runs, and NetworkPolicies are not enforced.
"""

import json
import os
import shutil
import subprocess
import sys

import pytest

import smoke

NAMESPACES = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]


OVERLAYS = ["overlays/cpu-smoke", "overlays/cpu-smoke+tls"]


@pytest.fixture(scope="module")
def results(rendered, programs, tmp_path_factory):
    """Returns the results of `smoke.py`: with a token only, and with TLS by the certificates of README.md."""
    if reason := missing(programs):
        pytest.skip(reason)
    found = {}
    for name in OVERLAYS:
        folder = tmp_path_factory.mktemp("ddpo-pods")
        plan = smoke.plan(folder, rendered[name], rendered["overlays/cpu-smoke+keda"], programs)
        status = subprocess.run([*NAMESPACES, sys.executable, smoke.__file__, plan]).returncode
        result = folder / "result.json"
        found[name] = {"told": [], "digest": None, "status": status}
        found[name] |= json.loads(result.read_text()) if result.exists() else {}
    return found


@pytest.mark.parametrize("name", OVERLAYS)
def test_pods_complete_the_run(name, results, subtests):
    for what, problems in results[name]["told"]:
        with subtests.test(what):
            assert not problems, "\n".join(problems)
    assert results[name]["status"] == 0


def test_weights_are_the_same_with_tls_and_without(results):
    digests = {results[name]["digest"] for name in OVERLAYS}
    assert len(digests) == 1 and None not in digests


def missing(programs):
    """Returns what this machine lacks for it; None when it lacks nothing."""
    if os.getuid() != 0:
        return "mounts and users need root"
    for tool in ["unshare", "mount", "redis-server", "redis-cli", "openssl"]:
        if not shutil.which(tool):
            return f"{tool} is not installed; hint: scripts/setup-system --install"
    tried = subprocess.run([*NAMESPACES, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, text=True)
    if tried.returncode != 0:
        return f"could not make a namespace: {tried.stderr.strip()}"
    if not (programs.folder / "ddpo").is_file():
        return f"no ddpo in {programs.folder}"
    return None
