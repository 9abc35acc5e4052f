"""Checks the manifests with the binaries: command line, variables and settings file of every container."""

import os
import re
import subprocess
import tempfile
import tomllib
from contextlib import contextmanager
from pathlib import Path

import environment
from stacks import container


class Binaries:
    """The binaries of the project, in one folder."""

    def __init__(self, folder):
        self.folder = Path(folder).resolve()
        self.known = {}

    def resolved(self, stack, workload):
        """(settings, error) of `--dry-run` with the container's settings; one of the two is None."""
        arguments = environment.command(workload)
        mounted = environment.files(stack, workload)
        key = (tuple(arguments), tuple(mounted.items()), tuple(environment.variables(workload).items()))
        if key not in self.known:
            self.known[key] = self._dry_run(arguments, mounted, environment.variables(workload))
        return self.known[key]

    def _dry_run(self, arguments, mounted, variables):
        program = self.folder / arguments[0]
        if not program.is_file():
            return None, f"no program {arguments[0]}"
        with laid_out(mounted, arguments, variables) as (arguments, variables):
            ran = self.run([*arguments, "--dry-run"], variables)
        if ran.returncode != 0:
            return None, f"{arguments[0]} --dry-run: {ran.stderr.strip()}"
        return tomllib.loads(ran.stdout), None

    def run(self, arguments, variables):
        """Runs a program of the project with only these of its variables."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("DDPO_")}
        program = str(self.folder / arguments[0])
        command = [program, *arguments[1:]]
        return subprocess.run(command, env={**kept, **variables}, capture_output=True, text=True, timeout=60)

    def default_ports(self, name):
        """Returns the default ports of the service."""
        service = tomllib.loads(self.run([name, "--dry-run"], {}).stdout)["service"]
        return [int(service[key].rpartition(":")[2]) for key in ["listen", "metrics_listen"]]


def check(stack, binaries):
    """Yields settings that a service rejects, wrong listen addresses, and probes that are not valid commands."""
    problems = []
    for component, workload in stack.services().items():
        settings, error = binaries.resolved(stack, workload)
        if error:
            problems.append(f"{component}: {error}")
            continue
        problems += [f"{component}: {problem}" for problem in _listens(workload, settings, binaries)]
        problems += [f"{component}: {problem}" for problem in _probes(stack, workload, binaries)]
    return problems


def _listens(workload, settings, binaries):
    name = environment.command(workload)[0]
    for setting, port, default in zip(["listen", "metrics_listen"], ["grpc", "metrics"], binaries.default_ports(name)):
        host, _, number = settings["service"][setting].rpartition(":")
        if host not in ("0.0.0.0", "[::]"):
            yield f"{setting} is {host}, which is not reachable from outside of the pod"
        if int(number) != environment.port(workload, port):
            yield f"{setting} is {number}, containerPort {port} is {environment.port(workload, port)}"
        if int(number) != default:
            yield f"{setting} is {number}, README.md and {name} say {default}"


def _probes(stack, workload, binaries):
    port = environment.port(workload, "grpc")
    for kind, live in [("startupProbe", True), ("livenessProbe", True), ("readinessProbe", False)]:
        command = container(workload).get(kind, {}).get("exec", {}).get("command")
        expected = ["ddpo", "health", *(["--live"] if live else []), f"127.0.0.1:{port}"]
        if command != expected:
            yield f"{kind}: expected {expected}, found {command}"
            continue
        problem = _takes(binaries, command, environment.files(stack, workload), environment.variables(workload))
        if problem:
            yield f"{kind}: {problem}"


def _takes(binaries, command, mounted, variables):
    """Yields what is wrong with a probe's command line, variables and files. Nothing listens on port 9, so a valid
    probe reports that. The live run checks TLS, because it has certificates."""
    plain = {name: value for name, value in variables.items() if "_TLS_" not in name}
    key = (*command[:-1], *sorted(plain.items()))
    if key not in binaries.known:
        with laid_out(mounted, [*command[:-1], "127.0.0.1:9"], plain) as (arguments, plain):
            ran = binaries.run(arguments, plain)
        good = ran.returncode == 1 and re.search(r"127\.0\.0\.1:9: .*(connect|unavailable)", ran.stderr, re.I)
        binaries.known[key] = None if good else f"{' '.join(command)}: exit {ran.returncode}: {ran.stderr.strip()}"
    return binaries.known[key]


@contextmanager
def laid_out(mounted, arguments, variables):
    """Copies of a container's files; its arguments and variables, with the copies' paths for its own."""
    with tempfile.TemporaryDirectory() as folder:
        for index, (path, text) in enumerate(mounted.items()):
            copy = Path(folder) / f"{index}-{Path(path).name}"
            copy.write_text(text)
            arguments = [word.replace(path, str(copy)) for word in arguments]
            variables = {name: value.replace(path, str(copy)) for name, value in variables.items()}
        yield arguments, variables
