"""Runs the programs that are compared."""

import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]

TIMEOUT_SECONDS = 900


def run(program, *arguments):
    """Runs a program and returns what it prints; fails the test when it ends with an error."""
    command = [str(word) for word in (program, *arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
    assert done.returncode == 0, f"{' '.join(command)}: status {done.returncode}: {(done.stderr or done.stdout).strip()[-600:]}"
    return done.stdout
