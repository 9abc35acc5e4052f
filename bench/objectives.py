"""The cost of each objective for the learner, and what more samplers are worth: `bench/objectives.py`.

The same short run of the embedded model with 40 steps, for DDPO, a window of four steps and the forward objective with
four noise levels:

- `ddpo train`, one thread: seconds of sampling and of training for each query (one trajectory). F, the time of one
  forward pass of the UNet on one image, is the sampling time over the number of steps. A backward pass is about 2 F.
- The three services with one learner and 1, 2 and 3 samplers, one thread each: seconds of an epoch. On-policy, sampler
  and learner take turns, so a query takes at least sampling / n + training seconds; that is the prediction.
- Bytes that a query sends to the learner, counted by `ddpo_bytes_total`, and what they are at 3 x 256 x 256.
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import statistics
import tempfile
import urllib.request

import epochs
import machine
from epochs import spread

STEPS = 40
SAMPLES = 16
EPOCHS = 4
IMAGE_256 = 3 * 256 * 256 * 4
IMAGE_TOY = 3 * 32 * 32 * 4

SETTINGS = f"""\
task = "jpeg compressibility"
ddpm_ckpt = "toy-faces-32"
num_epochs = {EPOCHS}
num_samples_per_epoch = {SAMPLES}
batch_size = 8
sample_batch_size = 8
micro_batch_size = 32
num_inference_steps = {STEPS}
initial_lr = 1e-5
peak_lr = 1e-5
eval_every_each_epoch = 100
checkpoint_every = 100
num_eval_samples = 2
threads = 1
"""

# Passes of the UNet that the learner needs for a query: a backward pass counts as two. With two optimizer steps an
# epoch, the second mini-batch of the forward objective also evaluates the old policy.
ARMS = {
    "ddpo": ("", 3 * STEPS),
    "window 4": ('window = "4:drawn"\n', 3 * 4),
    "forward 4": ('objective = "forward"\nforward_levels = 4\n', 3 * 4 + 4 / 2),
}


def main():
    arguments = parse()
    # Processes start in folders of their runs.
    target = arguments.target.resolve()
    described = machine.describe()
    results = {name: {"train": [], "services": {1: [], 2: [], 3: []}, "bytes": []} for name in ARMS}
    for _ in range(arguments.rounds):
        for name, (more, _) in ARMS.items():
            results[name]["train"].append(alone(target, SETTINGS + more))
            for samplers in (1, 2, 3):
                seconds, size = apart(target, SETTINGS + more, samplers)
                results[name]["services"][samplers].append(seconds)
                results[name]["bytes"].append(size)
    document = {
        "machine": described,
        "steps": STEPS,
        "samples_an_epoch": SAMPLES,
        "rounds": arguments.rounds,
        "arms": {name: summary(name, found, results["ddpo"]) for name, found in results.items()},
    }
    print(json.dumps(document["arms"], indent=1))
    if arguments.out:
        arguments.out.write_text(json.dumps(document, indent=1) + "\n")


def parse():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", type=pathlib.Path, default=machine.ROOT / "target/release")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=pathlib.Path, help="the results as JSON")
    return parser.parse_args()


def alone(target, settings):
    """Returns the seconds of sampling and of training for each query, without the first epoch."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        folder = pathlib.Path(folder)
        (folder / "run.toml").write_text(settings)
        command = [target / "ddpo", "train", "--config", "run.toml", "--output-dir", "run"]
        epochs.epoch_seconds(epochs.start(stack, command, folder, "train"), folder, EPOCHS)
        lines = epochs.lines(folder)[1:]
        return [statistics.median(line[name] for line in lines) / SAMPLES for name in ("seconds_sampling", "seconds_training")]


def apart(target, settings, samplers):
    """Returns the seconds of an epoch for each query, and the bytes of a query that reach the learner."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        folder = pathlib.Path(folder)
        names = [f"sampler-{index}" for index in range(samplers)]
        ports = dict(zip(["redis", "rewarder", "learner", "metrics", *names], epochs.free_ports(4 + samplers)))
        settings = epochs.settings_of_services(settings, ports) + "sampler_threads = 1\n"
        (folder / "run.toml").write_text(settings)
        epochs.start(stack, epochs.redis(ports), folder, "redis")
        epochs.start(stack, epochs.service(target, "rewarder", ports), folder, "rewarder")
        for name in names:
            command = [target / "ddpo-sampler", "--config", "run.toml", f"--listen=127.0.0.1:{ports[name]}"]
            epochs.start(stack, command, folder, name)
        command = epochs.service(target, "learner", ports)
        command += ["--output-dir", "run", f"--metrics-listen=127.0.0.1:{ports['metrics']}"]
        run = epochs.start(stack, command, folder, "learner")
        received = []
        seconds = epochs.epoch_seconds(run, folder, EPOCHS, lambda: received.append(bytes_received(ports["metrics"])))
        # The learner may end before it is asked after its last line.
        sizes = [after - before for before, after in zip(received, received[1:]) if after]
        return statistics.median(seconds) / SAMPLES, statistics.median(sizes) / SAMPLES


def bytes_received(port):
    with contextlib.suppress(OSError):
        text = urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5).read().decode()
        found = re.search(r'^ddpo_bytes_total\{[^}]*direction="in"[^}]*\} (\S+)', text, re.M)
        return float(found.group(1)) if found else None
    return None


def summary(name, found, base):
    sampling, training = (spread([pair[index] for pair in found["train"]]) for index in (0, 1))
    forward = sampling["median"] / STEPS
    size = statistics.median(found["bytes"])
    rows = {}
    for samplers, seconds in found["services"].items():
        predicted = sampling["median"] / samplers + training["median"]
        rows[samplers] = {
            "seconds_a_query": spread(seconds),
            "predicted": predicted,
            "speed_up_over_ddpo_with_one": statistics.median(base["services"][1]) / statistics.median(seconds),
        }
    return {
        "sampling_seconds": sampling,
        "training_seconds": training,
        "forward_passes_expected": ARMS[name][1],
        "forward_passes_measured": training["median"] / forward,
        "bytes_toy": size,
        "states": size / IMAGE_TOY,
        "bytes_256": size / IMAGE_TOY * IMAGE_256,
        "services": rows,
    }


if __name__ == "__main__":
    os.chdir(machine.ROOT)
    main()
