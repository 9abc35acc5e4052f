"""Scoring by networks: ViT-B/16 and CLIP ViT-L/14 with random weights, against transformers.

Both sides prepare and score the same pictures and must agree on the rewards. The image processors are also timed alone.
"""

import contextlib
import math

import torch

import vision
from worker import Worker

SIZE = 256
# Pictures in a round, for one or two seconds.
COUNTS = {"vit-b16": 16, "clip-l14": 4}
TASKS = {"vit-b16": "over50 years old", "clip-l14": "aesthetic score"}
FAMILIES = {"vit-b16": "vit", "clip-l14": "clip"}
# Tolerances relative to the largest reward. The two sides round to bfloat16 differently.
TOLERANCES = {"f32": 1e-3, "bf16": 0.1}


def model(bench, name):
    """Returns the folder of a network; writes it at the first call."""
    folder = bench.folder / name
    if not folder.exists():
        case = next(case for case in vision.CASES if case.name == name)
        vision.save(case, vision.build(case), folder)
    return folder


def head(bench):
    path = bench.folder / "head.pth"
    if not path.exists():
        torch.manual_seed(5)
        torch.save(vision.Head().state_dict(), path)
    return path


def agree(pair, tolerance):
    largest = max(1.0, max(abs(value) for value in pair[1]["rewards"]))
    gap = max(abs(a - b) for a, b in zip(pair[0]["rewards"], pair[1]["rewards"], strict=True))
    if not gap <= tolerance * largest:
        raise RuntimeError(f"rewards differ by {gap}: {pair[0]['rewards']} and {pair[1]['rewards']}")


def scoring(name, dtypes):
    """Measures the seconds to score; `dtypes` are ours and Python's."""

    def run(bench, rounds):
        request = {"task": TASKS[name], "model": str(model(bench, name)), "threads": bench.threads}
        request["head"] = str(head(bench)) if name == "clip-l14" else None
        pairs = []
        with contextlib.ExitStack() as stack:
            workers = [stack.enter_context(Worker(command)) for command in bench.commands()]
            for worker, dtype in zip(workers, dtypes, strict=True):
                worker.ask("reward", dtype=dtype, **request)
            for _ in range(rounds + 1):
                pair = [worker.ask("score", size=SIZE, count=COUNTS[name]) for worker in workers]
                agree(pair, max(TOLERANCES[dtype] for dtype in dtypes))
                pairs.append(tuple(answer["seconds"] for answer in pair))
        return pairs[1:]

    return run


def preprocessing(name, count):
    """Measures the seconds to make a network's inputs; Python uses the processor on Pillow."""

    def run(bench, rounds):
        request = {"model": str(model(bench, name)), "family": FAMILIES[name], "size": SIZE}
        request |= {"count": count, "threads": bench.threads}
        pairs = []
        with contextlib.ExitStack() as stack:
            workers = [stack.enter_context(Worker(command)) for command in bench.commands()]
            for _ in range(rounds + 1):
                pair = [worker.ask("preprocess", **request) for worker in workers]
                if not math.isclose(pair[0]["mean"], pair[1]["mean"], abs_tol=1e-5):
                    raise RuntimeError(f"inputs differ: means {pair[0]['mean']} and {pair[1]['mean']}")
                pairs.append(tuple(answer["seconds"] for answer in pair))
        return pairs[1:]

    return run
