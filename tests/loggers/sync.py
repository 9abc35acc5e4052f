"""Has the real `wandb sync` upload a run to a server on loopback, and compares what arrives.

    sync.py RUN

RUN is as in check.py. The server shows that the program understands the run, not what the real service
makes of it. Ends with 1 and a line for each difference.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

from run_files import Run
from server import environment, faults, serve

failures = []


def same(kind, found, expected):
    print(f"{kind}: {'same' if found == expected else 'differs'}")
    if found != expected:
        failures.append(f"{kind}: found {str(found)[:500]}, expected {str(expected)[:500]}")


def upload(folder):
    """Runs `wandb sync` on an offline run and returns what arrived."""
    server = serve()
    with tempfile.TemporaryDirectory() as home:
        program = pathlib.Path(sys.executable).with_name("wandb")
        try:
            ran = subprocess.run([program, "sync", folder.resolve()], cwd=home, env=environment(server, home), capture_output=True, text=True, timeout=90)
        except subprocess.TimeoutExpired as hung:
            sys.exit(f"{hung}\n{hung.stderr}\n" + "\n".join(faults))
    server.shutdown()
    print(ran.stdout, ran.stderr)
    same("status", ran.returncode, 0)
    same("program is content", "Finished syncing" in ran.stderr and "rror" not in ran.stderr, True)
    same("faults of the server", faults, [])
    return server.arrived


def tree(folder):
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mode) for path in folder.rglob("*") if path.is_file()}


def main():
    run = Run(sys.argv[1])
    (folder,) = (run.root / "wandb").glob("offline-run-*")
    files = {path.relative_to(folder / "files").as_posix(): path.read_bytes() for path in (folder / "files").rglob("*.png")}
    checkpoints = tree(run.root / "checkpoints")
    arrived = upload(folder)
    first = arrived.runs[0]
    asked = {"entity": run.settings["wandb_entity"], "project": run.settings["wandb_project"], "displayName": run.settings["wandb_name"], "tags": run.settings["wandb_tags"]}
    same("project, name and tags", {key: first[key] for key in asked}, asked)
    config = {key: value["value"] for key, value in json.loads(first["config"]).items()}
    same("config", {key: config.get(key) for key in run.settings}, run.settings)
    numbers = run.numbers()
    lines = {line["_step"]: line for line in arrived.lines.values()}
    same("lines", len(lines) == len(arrived.lines), True)
    same("steps", sorted(lines), sorted(numbers))
    same("numbers", {step: {name: lines[step].get(name) for name in names} for step, names in numbers.items()}, numbers)
    same("pictures", {name: data for name, data in arrived.files.items() if name.endswith(".png")}, files)
    same("exit", arrived.exit, 0)
    of = lambda epoch: {name.split("/", 1)[1]: data for name, (data, _) in checkpoints.items() if name.startswith(f"epoch-{epoch:06}/")}
    # The server names an artifact by its alias: "best" if the last checkpoint is also the best.
    kept = {"latest": max(run.metrics)} if run.best() != max(run.metrics) else {}
    kept["best"] = run.best()
    expected = {f"{alias}/{name}": data for alias, epoch in kept.items() for name, data in of(epoch).items()}
    same("checkpoints", {name: data for name, data in arrived.artifacts.items() if "/" in name}, expected)
    # wandb removes its uploaded copies, but no file of the run.
    same("checkpoints of the run", tree(run.root / "checkpoints"), checkpoints)
    print("\n".join(failures))
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
