"""Runs a table of `ddpo sweep` and writes what each setting reaches, with the machine: `make bench-learning`.

After an interruption the command trains only the runs that are not finished. Other arguments, such as `--only` and
`--jobs`, go to `ddpo sweep`.
"""

import argparse
import json
import pathlib
import subprocess
import sys

import machine

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ddpo", type=pathlib.Path, default=ROOT / "target/release/ddpo")
    parser.add_argument("--table", type=pathlib.Path, default=HERE / "learning.toml")
    parser.add_argument("--folder", type=pathlib.Path, help="where runs are kept (default: runs/NAME for NAME.toml)")
    parser.add_argument("--out", type=pathlib.Path, help="the results as JSON")
    arguments, more = parser.parse_known_args()
    folder = (arguments.folder or ROOT / "runs" / arguments.table.stem).resolve()
    described = machine.describe()
    command = [arguments.ddpo.resolve(), "sweep", arguments.table.resolve(), "--out", folder, *more]
    ended = subprocess.run(command, cwd=ROOT)
    if ended.returncode:
        sys.exit(ended.returncode)
    if arguments.out:
        results = json.loads((folder / "sweep.json").read_text())
        arguments.out.write_text(json.dumps({"machine": described, **results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
