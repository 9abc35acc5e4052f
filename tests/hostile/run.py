"""Gives `ddpo` hostile inputs, and checks how it refuses them.

    python3 tests/hostile/run.py target/release/ddpo           runs all cases
    python3 tests/hostile/run.py target/release/ddpo pickle    runs the cases whose name contains `pickle`
    python3 tests/hostile/run.py target/release/ddpo --services     runs the cases of services; --commands, the others

Each command has ten seconds and 1 GiB of resident memory. It must succeed, or print one line that begins with
`error: ` and says each thing once. It must not panic, crash, or leave a child. A service keeps running under an attack
and ends on SIGTERM, or ends with one such line; those attacked at their ports need `redis-server`. Needs no package.
"""

import contextlib
import dataclasses
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import cases
import service
import tiny

SECONDS = 10
KIBIBYTES = 1 << 20
# A message of clap has a usage and a hint after its first line.
USAGE_STATUS = 2
STATUSES = (0, 1, USAGE_STATUS)
PANICS = ("panicked", "inside the program", "RUST_BACKTRACE", "terminate called", "core dumped", "memory allocation")
CHARACTERS = 5000
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


@dataclasses.dataclass
class Ended:
    """The end of a process: status (negative for a signal), output, and resources."""

    status: int
    stderr: str
    is_late: bool
    kibibytes: int
    seconds: float


def environment(more):
    """Returns the environment of a command: the caller's without settings and without network."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DDPO_", "HF_", "OTEL_"))}
    return {**kept, "HF_HUB_OFFLINE": "1", "HOME": "/nonexistent", **more}


def execute(command, folder, more):
    """Runs a command and returns its end. os.wait4 gives the peak memory of this child alone."""
    process = subprocess.Popen(command, cwd=folder, env=environment(more), stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)  # fmt: skip
    late = threading.Event()
    timer = threading.Timer(SECONDS, lambda: (late.set(), process.kill()))
    timer.start()
    stderr = process.stderr.read().decode(errors="replace")
    _, status, usage = os.wait4(process.pid, 0)
    timer.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    seconds = usage.ru_utime + usage.ru_stime
    return Ended(process.returncode, stderr, late.is_set(), usage.ru_maxrss, seconds)


def execute_service(program, case, folder, store):
    """Runs the case of a service and returns its end and the faults of the attack."""
    more = environment(case.environment)
    ran, usage, is_late, found = service.execute(program, case, folder, more, store, SECONDS)
    seconds = usage.ru_utime + usage.ru_stime
    return Ended(ran.process.returncode, ran.text(), is_late, usage.ru_maxrss, seconds), found


def repeated(message):
    """Returns a part of a message, between colons, that occurs twice."""
    pieces = [piece.strip() for piece in re.split(r": |; ", message)]
    long = [piece for piece in pieces if len(piece) > 12]
    return next((piece for piece in long if long.count(piece) > 1), None)


def faults(case, ended):
    """Yields what is wrong with the end of a case."""
    if ended.is_late:
        yield f"took more than {SECONDS} s"
        return
    if ended.status not in STATUSES:
        yield f"ended with status {ended.status}"
    if ended.kibibytes > KIBIBYTES:
        yield f"took {ended.kibibytes >> 10} MiB"
    for word in PANICS:
        if word in ended.stderr:
            yield f"printed {word!r}"
    if case.is_accepted is not None and case.is_accepted != (ended.status == 0):
        yield "was refused" if case.is_accepted else "was accepted"
    if ended.status == 0:
        return
    lines = ended.stderr.splitlines()
    errors = [line for line in lines if line.startswith("error: ")]
    if len(errors) != 1:
        yield f"printed {len(errors)} lines that begin with `error: `"
    elif ended.status != USAGE_STATUS and lines[-1] != errors[0]:
        yield "printed more after the error"
    if any(CONTROL.search(line) for line in errors):
        yield "printed a control character"
    if any(len(line) > CHARACTERS for line in errors):
        yield f"printed more than {CHARACTERS} characters"
    for line in errors:
        if repeated(line):
            yield f"said twice: {repeated(line)!r}"


def check(binary, case, base, store):
    """Runs one case in its own folder and returns the faults."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        shutil.copytree(base, folder, dirs_exist_ok=True)
        if case.prepare:
            case.prepare(folder)
        program = binary.with_name(case.program)
        if case.program == "ddpo":
            ended, found = execute([str(program), *case.arguments], folder, case.environment), []
        else:
            ended, found = execute_service(program, case, folder, store)
        found += faults(case, ended)
        if not found and case.after:
            found = list(case.after(folder))
    said = ended.stderr.strip().splitlines()[-1:] or [""]
    mark = "FAULT" if found else "ok"
    print(f"{mark:5} {case.name:44} {ended.seconds:5.1f} s {ended.kibibytes >> 10:5} MiB  {said[0][:160]}", flush=True)
    for fault in found:
        print(f"      {fault}")
    if found:
        print("      " + ended.stderr.strip()[:2000].replace("\n", "\n      "), flush=True)
    return found


def main(arguments):
    if not arguments:
        sys.exit("expected the path of ddpo")
    kinds = {"--commands": cases.COMMANDS, "--services": cases.SERVICES}
    binary, words = Path(arguments[0]).resolve(), [word for word in arguments[1:] if word not in kinds]
    named = [kinds[word] for word in arguments[1:] if word in kinds] or [cases.ALL]
    chosen = [case for case in named[0] if all(word in case.name for word in words)]
    names = [case.name for case in cases.ALL]
    if len(set(names)) != len(names):
        sys.exit(f"expected names that differ, found {sorted(name for name in names if names.count(name) > 1)}")
    with contextlib.ExitStack() as stack:
        base, folder = (stack.enter_context(tempfile.TemporaryDirectory()) for _ in range(2))
        tiny.write(binary, Path(base), environment({}))
        store = None
        if any(case.attack for case in chosen):
            store = service.Store(folder)
            stack.callback(store.close)
        failed = [case.name for case in chosen if check(binary, case, base, store)]
    print(f"{len(chosen)} hostile inputs, {len(failed)} with faults")
    if failed:
        sys.exit("faults: " + ", ".join(failed))


if __name__ == "__main__":
    main(sys.argv[1:])
