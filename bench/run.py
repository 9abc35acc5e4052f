"""Times ddpo against Python, interleaved, with the same weights and threads.

Writes bench/results.json. Every round of a measure times ours and Python's one after the other. The ratio is Python's
time over ours (above 1: ours is faster); the median, smallest and largest ratio are reported. `make bench` runs this
program; `--only NAME` (repeatable) runs the measures whose name contains NAME. The section "services" is compared with
plain TCP and plain Redis (services.py).
"""

import argparse
import contextlib
import dataclasses
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

os.environ.setdefault("DIFFUSERS_VERBOSITY", "critical")

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT / "tests" / "parity"))

from diffusers.utils import logging  # noqa: E402

import machine  # noqa: E402
import rewards  # noqa: E402
import services  # noqa: E402
from checkpoints import CELEBAHQ_256, Case, write_checkpoint  # noqa: E402
from worker import Worker  # noqa: E402

TOY = ROOT / "models" / "toy-faces-32"
# The shape of models/toy-faces-32, if the checkout lacks it.
TOY_SHAPE = {
    "sample_size": 32,
    "block_out_channels": [16, 32, 64, 96],
    "down_block_types": ["DownBlock2D", "DownBlock2D", "DownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D", "UpBlock2D", "UpBlock2D"],
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "attention_head_dim": 32,
}


BOTH_F32, BOTH_BF16, BF16_AND_F32 = ("f32", "f32"), ("bf16", "bf16"), ("bf16", "f32")


@dataclasses.dataclass
class Measure:
    """A measure and its target ratio."""

    name: str
    target: float
    run: callable
    rounds: int


@dataclasses.dataclass
class Bench:
    """Settings that all measures share."""

    ddpo: str
    threads: int
    folder: pathlib.Path

    def commands(self):
        """Returns the commands of our worker and of Python's."""
        return [pathlib.Path(self.ddpo).with_name("ddpo-bench-worker")], [sys.executable, str(HERE / "peer.py")]

    def checkpoint(self, name):
        """Returns the folder of a checkpoint with random weights; writes it at the first call."""
        if name == "toy" and (TOY / "model_index.json").exists():
            return TOY
        folder = self.folder / name
        if not folder.exists():
            shape = {"toy": TOY_SHAPE, "celebahq-256": CELEBAHQ_256}[name]
            write_checkpoint(Case(name, shape), folder, 600)
        return folder


def in_turns(bench, rounds, checkpoint, dtypes, request):
    """Times both workers, which keep running; the first answer of each warms up and is not counted."""
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(Worker(command)) for command in bench.commands()]
        path = str(bench.checkpoint(checkpoint))
        for worker, dtype in zip(workers, dtypes, strict=True):
            worker.ask("load", ckpt=path, dtype=dtype, threads=bench.threads)
        for worker in workers:
            worker.ask(**request)
        return [tuple(worker.ask(**request)["seconds"] for worker in workers) for _ in range(rounds)]


def sampling(checkpoint, dtypes, **request):
    """`dtypes` are ours and Python's."""
    return lambda bench, rounds: in_turns(bench, rounds, checkpoint, dtypes, {"op": "sample"} | request)


def training(checkpoint, **request):
    return lambda bench, rounds: in_turns(bench, rounds, checkpoint, BOTH_F32, {"op": "train"} | request)


def peak_memory(checkpoint, **request):
    """Measures the peak resident memory of a fresh process that loads, samples and trains one mini-batch."""

    def run(bench, rounds):
        path = str(bench.checkpoint(checkpoint))
        pairs = []
        for _ in range(rounds):
            pair = []
            for command in bench.commands():
                with Worker(command) as worker:
                    worker.ask("load", ckpt=path, dtype="f32", threads=bench.threads)
                    pair.append(worker.ask("train", **request)["peak_memory_bytes"] / 2**20)
            pairs.append(tuple(pair))
        return pairs

    return run


def jpeg(python_threads):
    """Times the reward of 512 images of 256x256; both sides must find the same sizes."""

    def run(bench, rounds):
        with contextlib.ExitStack() as stack:
            ours, python = [stack.enter_context(Worker(command)) for command in bench.commands()]
            pairs = []
            for _ in range(rounds + 1):
                a = ours.ask("jpeg", size=256, count=512, threads=bench.threads)
                b = python.ask("jpeg", size=256, count=512, threads=python_threads)
                if abs(a["kilobytes"] - b["kilobytes"]) > 1e-3:
                    raise RuntimeError(f"jpeg sizes differ: {a['kilobytes']} and {b['kilobytes']} kB")
                pairs.append((a["seconds"], b["seconds"]))
        return pairs[1:]

    return run


def first_image(checkpoint, steps):
    """Times whole processes, from their start to the saved image; the first of each warms the file cache."""

    def run(bench, rounds):
        path, threads = str(bench.checkpoint(checkpoint)), str(bench.threads)
        out = bench.folder / "first-image"
        commands = (
            [bench.ddpo, "sample", "--ddpm-ckpt", path, "--num-samples", "1", "--num-inference-steps", str(steps),
             "--eta", "1", "--seed", "0", "--threads", threads, "--out", str(out / "ours")],
            [sys.executable, str(HERE / "first_image.py"), "--ckpt", path, "--steps", str(steps),
             "--threads", threads, "--out", str(out / "python")],
        )  # fmt: skip
        return [tuple(process_seconds(command) for command in commands) for _ in range(rounds + 1)][1:]

    return run


def process_seconds(command):
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(" / ".join((done.stderr or done.stdout).strip().splitlines()[-4:]))
    return time.perf_counter() - started


MEASURES = [
    Measure("celebahq-256 sampling f32 (s)", 1.25, sampling("celebahq-256", BOTH_F32, num_samples=1, batch_size=1, steps=2), 5),
    Measure("celebahq-256 sampling bf16, Python in f32 (s)", 2.0, sampling("celebahq-256", BF16_AND_F32, num_samples=1, batch_size=1, steps=2), 5),
    Measure("celebahq-256 sampling bf16, Python in bf16 (s)", 2.0, sampling("celebahq-256", BOTH_BF16, num_samples=1, batch_size=1, steps=4), 5),
    Measure("celebahq-256 training step (s)", 1.2, training("celebahq-256", num_samples=1, steps=3, micro_batch=1), 3),
    Measure("toy sampling f32 (s)", 1.5, sampling("toy", BOTH_F32, num_samples=64, batch_size=32, steps=10), 7),
    Measure("toy training step (s)", 1.2, training("toy", num_samples=16, steps=10, micro_batch=16), 5),
    Measure("toy first image from cold start (s)", 5.0, first_image("toy", 10), 5),
    Measure("jpeg reward, Pillow in a loop (s)", 2.0, jpeg(1), 7),
    Measure("jpeg reward, Pillow in 2 threads (s)", 1.0, jpeg(2), 7),
    Measure("ViT-B/16 reward f32 (s)", 1.2, rewards.scoring("vit-b16", BOTH_F32), 7),
    Measure("ViT-B/16 reward bf16, Python in f32 (s)", 1.8, rewards.scoring("vit-b16", BF16_AND_F32), 7),
    Measure("ViT-B/16 reward bf16, Python in bf16 (s)", 1.8, rewards.scoring("vit-b16", BOTH_BF16), 7),
    Measure("CLIP ViT-L/14 reward f32 (s)", 1.2, rewards.scoring("clip-l14", BOTH_F32), 5),
    Measure("CLIP ViT-L/14 reward bf16, Python in f32 (s)", 1.8, rewards.scoring("clip-l14", BF16_AND_F32), 5),
    Measure("CLIP ViT-L/14 reward bf16, Python in bf16 (s)", 1.8, rewards.scoring("clip-l14", BOTH_BF16), 5),
    Measure("ViT preprocessing (s)", 2.0, rewards.preprocessing("vit-b16", 128), 7),
    Measure("CLIP preprocessing (s)", 2.0, rewards.preprocessing("clip-l14", 128), 7),
    Measure("celebahq-256 training peak memory (MiB)", 1.0, peak_memory("celebahq-256", num_samples=1, steps=3, micro_batch=1), 1),
    Measure("toy training peak memory (MiB)", 1.0, peak_memory("toy", num_samples=16, steps=10, micro_batch=16), 2),
]


def summarize(measure, pairs):
    ratios = [python / ours for ours, python in pairs]
    return {
        "name": measure.name,
        "target": measure.target,
        "met": statistics.median(ratios) >= measure.target,
        "ratio": {"median": statistics.median(ratios), "min": min(ratios), "max": max(ratios)},
        "ours": {"median": statistics.median(p[0] for p in pairs), "rounds": [p[0] for p in pairs]},
        "python": {"median": statistics.median(p[1] for p in pairs), "rounds": [p[1] for p in pairs]},
    }


def rounded(value):
    """Rounds to four digits, more than a timing is precise to."""
    if isinstance(value, float):
        return float(f"{value:.4g}")
    if isinstance(value, dict):
        return {k: rounded(v) for k, v in value.items()}
    return [rounded(v) for v in value] if isinstance(value, list) else value


def print_result(result):
    ratio = result["ratio"]
    print(
        f"{result['name']:46} ours {result['ours']['median']:9.3f}  python {result['python']['median']:9.3f}  "
        f"ratio {ratio['median']:5.2f} ({ratio['min']:.2f}..{ratio['max']:.2f})  target {result['target']:g}"
        f"  {'met' if result['met'] else 'NOT MET'}",
        flush=True,
    )


def write_results(path, description, threads, results, section):
    """Writes the results atomically."""
    document = {"machine": description, "threads": threads, "results": results, services.NAME: section}
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".json.new")
    beside.write_text(json.dumps(rounded(document), indent=1) + "\n")
    beside.replace(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ddpo", default=str(ROOT / "target/release/ddpo"))
    parser.add_argument("--only", action="append", default=[], metavar="NAME")
    parser.add_argument("--threads", type=int, default=min(2, os.cpu_count()))
    parser.add_argument("--rounds", type=int, help="instead of each measure's own number")
    parser.add_argument("--out", type=pathlib.Path, help="default: bench/results.json, for a whole run only")
    arguments = parser.parse_args()
    logging.disable_progress_bar()
    description, results, section, failed = machine.describe(), [], None, 0

    def wanted(name):
        return not arguments.only or any(part in name for part in arguments.only)

    if description["load_average_before"] > 0.5:
        print(f"warning: the load average is {description['load_average_before']}: other work disturbs the timings")
    with tempfile.TemporaryDirectory(prefix="ddpo-bench-") as folder:
        bench = Bench(arguments.ddpo, arguments.threads, pathlib.Path(folder))
        for measure in MEASURES:
            if not wanted(measure.name):
                continue
            try:
                pairs = measure.run(bench, arguments.rounds or measure.rounds)
            except (RuntimeError, OSError) as error:
                print(f"{measure.name:46} FAILED: {error}", flush=True)
                failed += 1
                continue
            results.append(summarize(measure, pairs))
            print_result(results[-1])
    if wanted(services.NAME):
        try:
            section = services.run(ROOT, arguments.rounds)
            services.print_section(section)
        except (RuntimeError, OSError, subprocess.TimeoutExpired) as error:
            print(f"{services.NAME:46} FAILED: {error}", flush=True)
            failed += 1
    out = arguments.out or (None if arguments.only or failed else HERE / "results.json")
    if out is not None and (results or section):
        write_results(out, description, arguments.threads, results, section)
        print(f"written to {os.path.relpath(out, ROOT)}")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
