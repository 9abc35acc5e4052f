"""Runs the pods of cpu-smoke on this machine, to the end of the run: every container's own command line,
variables, volumes and user, on a root that cannot be written to, and the probes as they stand.

A network namespace of their own gives them the ports and the names of the Services; that all pods share one
loopback is the difference to a cluster, so one sampler runs, and NetworkPolicies are not enforced.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import smoke

NAMESPACES = ["unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]


def check(tally, rendered, programs):
    """Both ways of talking: with a token, and with TLS as README.md makes its certificates."""
    reason = missing(programs)
    if reason:
        tally.skip("the pods of cpu-smoke on this machine", reason)
        return
    by_name = {stack.name: stack for stack in rendered}
    keda = by_name["overlays/cpu-smoke+keda"]
    digests = {}
    for name in ["overlays/cpu-smoke", "overlays/cpu-smoke+tls"]:
        with tempfile.TemporaryDirectory(prefix="ddpo-pods-") as folder:
            plan = smoke.plan(Path(folder), by_name[name], keda, programs)
            ran = subprocess.run([*NAMESPACES, sys.executable, smoke.__file__, plan])
            result = Path(folder) / "result.json"
            found = json.loads(result.read_text()) if result.exists() else {"told": []}
        for what, problems in found["told"]:
            tally.tell(f"{name}: {what}", problems)
        if ran.returncode != 0:
            tally.tell(f"{name}: pods", [f"exit {ran.returncode}"])
        digests[name] = found.get("digest")
    same = len(set(digests.values())) == 1 and None not in digests.values()
    tally.tell("live: the same weights with TLS and without", [] if same else [str(digests)])


def missing(programs):
    """What this machine lacks for it; None where nothing."""
    if os.getuid() != 0:
        return "this is not root, which mounts and users take"
    for tool in ["unshare", "mount", "redis-server", "redis-cli", "openssl"]:
        if not shutil.which(tool):
            return f"no {tool} here"
    tried = subprocess.run([*NAMESPACES, "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True, text=True)
    if tried.returncode != 0:
        return f"namespaces cannot be made here: {tried.stderr.strip()}"
    if not (programs.folder / "ddpo").is_file():
        return f"no ddpo in {programs.folder}"
    return None
