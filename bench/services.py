"""The section "services" of the bench: throughput of trajectories and weights, and whole epochs.

Two examples of the workspace compare with a plain peer in the same run. `hops` sends trajectories of 32 MB over one hop
and over the whole path from sampler to rewarder to learner; its peer is one TCP stream. `throughput` sends weights
through Redis to four followers; its peers are SET and GET. Every byte is checked. The ratio is the peer's time over
ours, as in the whole bench. `epochs.py` compares the services with `ddpo train`, `live_page.py` a run with fifty
viewers with a run without viewers.
"""

import dataclasses
import json
import os
import pathlib
import subprocess

import epochs
import live_page

NAME = "services"
TIMEOUT_SECONDS = 900


@dataclasses.dataclass
class Example:
    """An example of the workspace and its arguments."""

    name: str
    arguments: list


def hops(rounds):
    return Example("hops", ["16", str(rounds or 7)])


def throughput(rounds):
    return Example("throughput", ["455", "4", str(rounds or 5)])


def run(root, rounds=None):
    """Returns the output of the examples and the ratios, some of them with a target."""
    way, weights = (measured(root, example(rounds)) for example in (hops, throughput))
    said([os.environ.get("CARGO", "cargo"), "build", "--release", "--locked"], root)
    epoch = epochs.measure(target_folder(root) / "release", rounds or 3)
    page = live_page.measure(target_folder(root) / "release", rounds or 6)
    pings = {step: worst["median"] for step, worst in weights["worst_ping_ms"].items()}
    ours, plain = max(pings["publish"], pings["fetch"]), max(pings["plain_set"], pings["plain_get"])
    results = [
        judged("one hop beside one TCP stream", 0.5, way["hop_to_raw"]),
        judged("whole way beside one TCP stream", 0.25, way["way_to_raw"]),
        judged("weights to 4 followers beside SET and GET", 1 / 3, inverse(weights["ratio_to_plain"])),
        ratio_of("worst PING beside that of SET and GET", {"median": plain / ours}),
        judged("epoch beside that of ddpo train", 1 / 1.1, inverse(epoch["services_to_train"])),
        judged("sampling watched", 0.95, inverse(epoch["sampling_watched_to_unwatched"])),
        judged("epoch with 50 viewers of the live page", 1 / 1.02, inverse(page["epoch_viewed_to_alone"])),
        ratio_of("processor time with 50 viewers", inverse(page["processors_viewed_to_alone"])),
    ]
    return {"results": results, "hops": way, "weights": weights, "epochs": epoch, "live_page": page}


def inverse(ratio):
    """Returns the inverse of a ratio and of its spread."""
    return {"min": 1 / ratio["max"], "median": 1 / ratio["median"], "max": 1 / ratio["min"]}


def target_folder(root):
    return pathlib.Path(os.environ.get("CARGO_TARGET_DIR", root / "target"))


def measured(root, example):
    """Builds and runs an example. Returns its line of JSON."""
    cargo = os.environ.get("CARGO", "cargo")
    build = [cargo, "build", "--release", "--locked", "--workspace", "--example", example.name]
    said(build, root)
    return json.loads(said([target_folder(root) / "release" / "examples" / example.name, *example.arguments], root))


def said(command, root):
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
    if done.returncode != 0:
        raise RuntimeError(" / ".join((done.stderr or done.stdout).strip().splitlines()[-4:]))
    return done.stdout


def ratio_of(name, ratio):
    return {"name": f"{NAME}: {name}", "ratio": ratio}


def judged(name, target, ratio):
    return ratio_of(name, ratio) | {"target": target, "met": ratio["median"] >= target}


def print_section(section):
    for result in section["results"]:
        ratio = result["ratio"]
        spread = f" ({ratio['min']:.2f}..{ratio['max']:.2f})" if "min" in ratio else ""
        line = f"{result['name']:54} ratio {ratio['median']:5.2f}{spread}"
        if "target" in result:
            line += f"  target {result['target']:g}  {'met' if result['met'] else 'NOT MET'}"
        print(line)
    peaks = section["hops"]["peak_rss_mb_by_trajectories"]
    shown = ", ".join(f"{peaks[count]} MB over {count}" for count in sorted(peaks, key=int))
    print(f"{NAME}: peak memory of the whole way: {shown} trajectories", flush=True)
