"""Logs a run to a server on loopback by `ddpo log wandb`: half of it, then all of it, and compares.

    online.py RUN DDPO

RUN is as in check.py, DDPO the program. The second process resumes the run by what the server has.
Ends with 1 and a line for each difference.
"""

import pathlib
import shutil
import subprocess
import sys
import tempfile

from run_files import Run
from server import environment, faults, serve

failures = []


def same(kind, found, expected):
    if found != expected:
        failures.append(f"{kind}: found {str(found)[:500]}, expected {str(expected)[:500]}")


def log(server, program, folder, home):
    variables = {key: value for key, value in environment(server, home).items() if not key.startswith("DDPO_")}
    words = [program, "log", "wandb", folder, "--project=other"]
    ran = subprocess.run(words, env=variables | {"DDPO_PYTHON": sys.executable}, capture_output=True, text=True, timeout=90)
    print(ran.stdout, ran.stderr)
    same("status", ran.returncode, 0)


def halve(folder):
    """Removes the later epochs from a copy of a run."""
    for name in ("metrics.jsonl", "eval/rewards.jsonl"):
        path = folder / name
        lines = path.read_text().splitlines(keepends=True)
        path.write_text("".join(lines[: len(lines) // 2]))


def main():
    run, program = Run(sys.argv[1]), pathlib.Path(sys.argv[2]).resolve()
    server = serve()
    arrived = server.arrived
    with tempfile.TemporaryDirectory() as home:
        home = pathlib.Path(home)
        copy = home / "copy"
        shutil.copytree(run.root, copy)
        shutil.rmtree(copy / "wandb", ignore_errors=True)
        halve(copy)
        log(server, program, copy, home)
        half = len(arrived.lines)
        for name in ("metrics.jsonl", "eval/rewards.jsonl"):
            shutil.copy(run.root / name, copy / name)
        log(server, program, copy, home)
        again = len(arrived.lines)
        log(server, program, copy, home)
        same("lines of a third time", len(arrived.lines), again)
    numbers = run.numbers()
    same("half was logged first", 0 < half < len(numbers), True)
    same("one run", len({asked["name"] for asked in arrived.runs}), 1)
    same("project", {asked["project"] for asked in arrived.runs}, {"other"})
    same("steps", sorted(line["_step"] for line in arrived.lines.values()), sorted(numbers))
    lines = {line["_step"]: line for line in arrived.lines.values()}
    same("numbers", {step: {name: lines[step].get(name) for name in names} for step, names in numbers.items()}, numbers)
    same("exit", arrived.exit, 0)
    latest = run.root / f"checkpoints/epoch-{max(run.metrics):06}"
    expected = {path.relative_to(latest).as_posix(): path.read_bytes() for path in latest.rglob("*") if path.is_file()}
    alias = "best/" if run.best() == max(run.metrics) else "latest/"
    found = {name.removeprefix(alias): data for name, data in arrived.artifacts.items() if name.startswith(alias)}
    same("last checkpoint", found, expected)
    same("faults of the server", faults, [])
    print("\n".join(failures))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
