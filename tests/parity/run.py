"""Compares ddpo with the real diffusers, transformers, Pillow and PyTorch, live. Run by `make parity`.

Checkpoints with random weights are written by diffusers, sampled and trained by ddpo, and every
recorded number is computed again in Python. Prints a line for each comparison and fails when a
limit is passed. `--only NAME` (several allowed) runs those whose name contains NAME.
"""

import argparse
import os
import pathlib
import subprocess
import sys
import tempfile
import time

# OpenMP's threads spin while they wait, which on a machine with other work costs ten times the
# time. Read when libgomp is loaded, and inherited by ddpo.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("DIFFUSERS_VERBOSITY", "critical")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")

import torch  # noqa: E402
from diffusers.utils import logging  # noqa: E402

import evaluation  # noqa: E402
import own  # noqa: E402
import replay  # noqa: E402
import sampling  # noqa: E402
import sharing  # noqa: E402
import vision  # noqa: E402
from checkpoints import CASES, Case  # noqa: E402
from report import Row, print_row, print_summary  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
TOY = ROOT / "models" / "toy-faces-32"
JPEG = pathlib.Path(__file__).resolve().parent / "jpeg.py"
TIMEOUT_SECONDS = 900


class CommandFailed(Exception):
    """A ddpo command ended badly; the text is what it printed last."""


def runner(command):
    """A function that runs ddpo with the given arguments."""

    def run(*arguments):
        line = [*command, *(str(a) for a in arguments)]
        done = subprocess.run(line, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
        if done.returncode != 0:
            printed = (done.stderr or done.stdout).strip().splitlines()
            raise CommandFailed(f"ddpo {arguments[0]} ended with {done.returncode}: " + " / ".join(printed[-4:]))

    return run


def jpeg(ddpo):
    """Runs the comparison of JPEG sizes with Pillow, a script of its own."""
    row = Row("jpeg")
    if not JPEG.exists():
        row.fail(f"{JPEG.name} is missing")
        return row
    done = subprocess.run([sys.executable, JPEG, "--ddpo", ddpo[-1]], capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
    lines = (done.stdout + done.stderr).strip().splitlines() or [""]
    row.note("result", lines[-1])
    if done.returncode != 0:
        row.fail(" / ".join(lines[-6:]))
    return row


def comparisons(command):
    """Name and function of every comparison, in running order."""
    ddpo = runner(command)
    for number, case in enumerate(CASES):
        yield case.name, lambda folder, c=case, s=number: sampling.compare(ddpo, c, folder, 400 + s)
    yield "jpeg", lambda folder: jpeg(command)
    for number, case in enumerate(replay.REPLAY_CASES):
        yield case.name, lambda folder, c=case, s=number: replay.compare(ddpo, c, folder, 500 + s)
    if (TOY / "model_index.json").exists():
        case = Case("replay-toy-faces", {}, steps=replay.STEPS, samples=replay.SAMPLES)
        yield case.name, lambda folder: replay.compare(ddpo, case, folder, 0, checkpoint=TOY)
    yield from evaluation.comparisons(ddpo)
    yield from own.comparisons(command)
    # Built beside the binary by `make parity`.
    examples = pathlib.Path(command[-1]).resolve().parent / "examples"
    yield from vision.comparisons(str(examples / "vision"))
    yield from sharing.comparisons(ddpo, str(examples / "hub"))


def guarded(name, function):
    """Runs one comparison in a folder of its own; a failing command fails its row only."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ddpo-parity-") as folder:
        try:
            row = function(pathlib.Path(folder))
        except (CommandFailed, subprocess.TimeoutExpired, OSError, KeyError) as error:
            row = Row(name)
            row.fail(f"{type(error).__name__}: {error}")
    row.seconds = time.monotonic() - started
    return row


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ddpo", nargs="+", default=[str(ROOT / "target/release/ddpo")], help="the command to compare")
    parser.add_argument("--only", action="append", default=[], metavar="NAME")
    arguments = parser.parse_args()
    torch.set_num_threads(2)
    logging.disable_progress_bar()
    rows = []
    for name, function in comparisons(arguments.ddpo):
        if arguments.only and not any(part in name for part in arguments.only):
            continue
        rows.append(guarded(name, function))
        print_row(rows[-1])
    if not rows:
        sys.exit(f"no comparison is named {' or '.join(arguments.only)}")
    sys.exit(1 if print_summary(rows) else 0)


if __name__ == "__main__":
    main()
