"""The form of a case, and commands that many cases share."""

import dataclasses
from collections.abc import Callable
from pathlib import Path


@dataclasses.dataclass
class Case:
    """A hostile input."""

    name: str
    arguments: list[str]
    # Changes the folder, which has the files of tiny.py.
    prepare: Callable[[Path], object] | None = None
    # Whether the command must succeed; None if it may do either.
    is_accepted: bool | None = False
    environment: dict[str, str] = dataclasses.field(default_factory=dict)
    # Returns further faults of a command that has ended well.
    after: Callable[[Path], list[str]] | None = None
    # The program: `ddpo`, or a service, which ends on SIGTERM after the attack.
    program: str = "ddpo"
    # Attacks a running service at its gRPC port.
    attack: Callable[[int], object] | None = None
    # Answers a command of a service as Redis, with bytes or with parts. Without it, Redis is a real one.
    answer: Callable[[list[bytes]], object] | None = None


SAMPLE = ["sample", "--ddpm-ckpt=model", "--num-samples=1", "--num-inference-steps=2", "--device=cpu", "--threads=1",
          "--out=out"]  # fmt: skip
DRY_RUN = ["train", "--dry-run", "--output-dir=run"]


def writes(name, content):
    """Returns a function that writes a file."""

    def write(folder):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)

    return write


def links(name, target):
    """Returns a function that puts a symbolic link in the place of a file."""

    def link(folder):
        path = folder / name
        path.unlink(missing_ok=True)
        path.symlink_to(target)

    return link


def pipes(name):
    """Returns a function that puts a named pipe, which nobody writes to, in the place of a file."""

    def pipe(folder):
        import os

        path = folder / name
        path.unlink(missing_ok=True)
        os.mkfifo(path)

    return pipe
