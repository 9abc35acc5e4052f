"""Part of the section "services": the cost of separate services, and of a watcher.

Times the same run of the embedded model in three ways, interleaved: `ddpo train`; the three services and a Redis on
loopback; the same with `ddpo inspect --watch --images` at the sampler, which requests a picture of every state. The
time of an epoch is the time between two lines of `metrics.jsonl`.
"""

import contextlib
import json
import pathlib
import random
import socket
import statistics
import subprocess
import tempfile
import time

EPOCHS = 4
DEADLINE_SECONDS = 600

SETTINGS = f"""\
task = "jpeg compressibility"
ddpm_ckpt = "toy-faces-32"
num_epochs = {EPOCHS}
num_samples_per_epoch = 128
batch_size = 64
sample_batch_size = 64
micro_batch_size = 64
num_inference_steps = 5
initial_lr = 1e-4
peak_lr = 1e-4
eval_every_each_epoch = 100
checkpoint_every = 100
num_eval_samples = 16
"""


def measure(target, rounds):
    """Returns the seconds of epochs of all rounds for each way, without the first epoch of a run."""
    seconds = {"train": [], "services": [], "watched": []}
    sampling = {"services": [], "watched": []}
    ratios = {"services": [], "watched": []}
    for _ in range(rounds):
        alone = run_alone(target)
        apart, drawing = run_apart(target, watched=False)
        watched, drawing_watched = run_apart(target, watched=True)
        seconds["train"] += alone
        seconds["services"] += apart
        seconds["watched"] += watched
        sampling["services"] += drawing
        sampling["watched"] += drawing_watched
        ratios["services"].append(statistics.median(apart) / statistics.median(alone))
        ratios["watched"].append(statistics.median(drawing_watched) / statistics.median(drawing))
    return {
        "epochs_a_run": EPOCHS,
        "rounds": rounds,
        "epoch_seconds": {way: spread(times) for way, times in seconds.items()},
        "sampling_seconds": {way: spread(times) for way, times in sampling.items()},
        "services_to_train": spread(ratios["services"]),
        "sampling_watched_to_unwatched": spread(ratios["watched"]),
    }


def spread(values):
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def run_alone(target):
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        folder = pathlib.Path(folder)
        (folder / "run.toml").write_text(SETTINGS)
        command = [target / "ddpo", "train", "--config", "run.toml", "--output-dir", "run"]
        run = start(stack, command, folder, "train")
        return epoch_seconds(run, folder)


def run_apart(target, watched):
    """Returns the seconds of each epoch, and the seconds that the learner waited for trajectories in it."""
    with tempfile.TemporaryDirectory() as folder, contextlib.ExitStack() as stack:
        folder = pathlib.Path(folder)
        ports = dict(zip(("redis", "sampler", "rewarder", "learner"), free_ports(4)))
        (folder / "run.toml").write_text(settings_of_services(SETTINGS, ports))
        start(stack, redis(ports), folder, "redis")
        for name in ("rewarder", "sampler"):
            start(stack, service(target, name, ports), folder, name)
        learner = service(target, "learner", ports) + ["--output-dir", "run"]
        run = start(stack, learner, folder, "learner")
        if watched:
            sampler = f"127.0.0.1:{ports['sampler']}"
            # The watcher needs a sampler that answers.
            await_port(ports["sampler"])
            watch = [target / "ddpo", "inspect", sampler, "--watch", "--images", "watched"]
            start(stack, watch, folder, "watch")
        seconds = epoch_seconds(run, folder)
        if watched and not list((folder / "watched").glob("*.png")):
            raise RuntimeError("the watcher saw no picture")
        return seconds, [line["seconds_sampling"] for line in lines(folder)[1:]]


def settings_of_services(run, ports):
    return (
        f"{run}[service]\nrun_id = 'bench'\nredis_url = 'redis://127.0.0.1:{ports['redis']}'\n"
        f"metrics_listen = '127.0.0.1:0'\n"
        f"[rewarder]\nlearners = ['http://127.0.0.1:{ports['learner']}']\n"
        f"[sampler]\nrewarders = ['http://127.0.0.1:{ports['rewarder']}']\n"
    )


def redis(ports):
    return ["redis-server", "--port", str(ports["redis"]), "--bind", "127.0.0.1", "--save", ""]


def service(target, name, ports):
    return [target / f"ddpo-{name}", "--config", "run.toml", f"--listen=127.0.0.1:{ports[name]}"]


def start(stack, command, folder, name):
    log = stack.enter_context(open(folder / f"{name}.log", "wb"))
    process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log)
    stack.callback(end, process)
    return process


def end(process):
    process.kill()
    process.wait()


def free_ports(count):
    """Returns free ports below the range of outgoing connections: a service that connects could otherwise take the
    port of one that does not listen yet."""
    ports = []
    for port in random.sample(range(20000, 30000), 200):
        with contextlib.suppress(OSError), socket.socket() as one:
            one.bind(("127.0.0.1", port))
            ports.append(port)
        if len(ports) == count:
            return ports
    raise RuntimeError(f"free ports from 20000 to 30000: expected {count}, found {len(ports)}")


def await_port(port):
    deadline = time.monotonic() + 30
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if time.monotonic() > deadline:
            raise RuntimeError(f"nothing listens on port {port}")
        time.sleep(0.01)


def lines(folder):
    path = folder / "run" / "metrics.jsonl"
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def epoch_seconds(run, folder, epochs=EPOCHS, on_line=lambda: None):
    """Waits for the end of the run. Returns the seconds between the lines of its metrics."""
    seen = []
    deadline = time.monotonic() + DEADLINE_SECONDS
    while len(seen) < epochs:
        new = len(lines(folder)) - len(seen)
        seen += [time.monotonic()] * new
        if new:
            on_line()
        if run.poll() not in (None, 0) or time.monotonic() > deadline:
            tails = [f"{log.name}: {log.read_text()[-300:]}" for log in sorted(folder.glob("*.log"))]
            raise RuntimeError("the run has failed: " + " / ".join(tails))
        time.sleep(0.005)
    return [after - before for before, after in zip(seen, seen[1:])]
