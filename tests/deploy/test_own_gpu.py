"""`own-gpu`, which gives each sampler of a Compose stack one GPU, with an `nvidia-smi` that prints a given list."""

import os
import subprocess
from contextlib import ExitStack

import pytest

from stack import ROOT

OWN_GPU = ROOT / "deploy/docker/own-gpu"

# Prints what a sampler sees, then runs until it is killed.
SAMPLER = ["sh", "-c", 'echo "$CUDA_VISIBLE_DEVICES $DDPO_SAMPLER_SAMPLER_DEVICE"; exec cat']

NO_DRIVER = "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver."


def gpu(number):
    """Returns the UUID of a GPU."""
    return f"GPU-{number:08d}-d33d-2b2c-524d-9e3d8d2b8a77"


def mig(number, device):
    """Returns the UUID of a MIG device."""
    return f"MIG-{number:04d}{device:04d}-42e4-5de3-91c7-45d71c87eb3f"


def listing(*devices):
    """Returns the output of `nvidia-smi -L` for GPUs with this many MIG devices each; 0 is a GPU without MIG."""
    lines = []
    for number, parts in enumerate(devices):
        lines.append(f"GPU {number}: NVIDIA A100-SXM4-40GB (UUID: {gpu(number)})")
        lines += [f"  MIG 1g.5gb      Device {part:2d}: (UUID: {mig(number, part)})" for part in range(parts)]
    return "\n".join(lines)


class Machine:
    """A machine whose `nvidia-smi` prints a given list, and the samplers on it."""

    def __init__(self, folder, samplers):
        self.folder, self.samplers = folder, samplers
        (folder / "bin").mkdir()
        (folder / "locks").mkdir()

    def has(self, text, status=0):
        stub = self.folder / "bin/nvidia-smi"
        stub.write_text(f"#!/bin/sh\n[ \"$*\" = -L ] || exit 2\ncat <<'END'\n{text}\nEND\nexit {status}\n")
        stub.chmod(0o755)

    def environment(self, **given):
        path = f"{self.folder / 'bin'}:{os.environ['PATH']}"
        return {"PATH": path, "GPU_LOCKS": str(self.folder / "locks"), **given}

    def launch(self, **given):
        """Starts a sampler and returns its process without waiting."""
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        environment = self.environment(**given)
        process = self.samplers.enter_context(
            subprocess.Popen([OWN_GPU, *SAMPLER], env=environment, text=True, **pipes)
        )
        self.samplers.callback(process.kill)
        return process

    def start(self, **given):
        """Starts a sampler and returns the GPU that it sees."""
        return seen_by(self.launch(**given))

    def fails(self, **given):
        """Runs `own-gpu` to its error and returns the message."""
        command = [OWN_GPU, *SAMPLER]
        done = subprocess.run(
            command, env=self.environment(**given), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        assert done.returncode == 1, done.stdout + done.stderr
        return done.stderr


def seen_by(process):
    """Returns the GPU that a sampler sees, and checks that it uses it as cuda:0."""
    line = process.stdout.readline()
    assert line, process.stderr.read()
    visible, device = line.split()
    assert device == "cuda:0"
    return visible


@pytest.fixture
def machine(tmp_path):
    with ExitStack() as samplers:
        yield Machine(tmp_path, samplers)


def test_samplers_leave_the_gpu_of_learner_and_rewarder_free(machine):
    machine.has(listing(0, 0, 0))
    assert [machine.start() for _ in range(2)] == [gpu(1), gpu(2)]


@pytest.mark.parametrize("learner", ["2", gpu(2)])
def test_samplers_avoid_the_learners_gpu_by_number_or_uuid(machine, learner):
    machine.has(listing(0, 0, 0))
    assert {machine.start(LEARNER_GPU=learner) for _ in range(2)} == {gpu(0), gpu(1)}


def test_samplers_avoid_the_rewarders_gpu(machine):
    machine.has(listing(0, 0, 0))
    given = {"LEARNER_GPU": "0", "REWARDER_GPU": "1"}
    assert [machine.start(**given) for _ in range(2)] == [gpu(2), gpu(2)]


def test_with_two_gpus_the_sampler_shares_the_rewarders_gpu(machine):
    machine.has(listing(0, 0))
    assert machine.start(LEARNER_GPU="0", REWARDER_GPU="1") == gpu(1)


def test_samplers_share_the_only_gpu(machine):
    machine.has(listing(0))
    assert [machine.start() for _ in range(2)] == [gpu(0), gpu(0)]


def test_additional_samplers_share_the_sampler_gpus(machine):
    machine.has(listing(0, 0, 0))
    started = [machine.start() for _ in range(5)]
    assert started == [gpu(1), gpu(2), gpu(1), gpu(2), gpu(1)]


@pytest.mark.parametrize("chosen", ["1 3", "1,3", " 1, 3 ", f"{gpu(1)} 3"])
def test_chosen_gpus_are_taken_in_their_order(machine, chosen):
    machine.has(listing(0, 0, 0, 0))
    assert [machine.start(SAMPLER_GPUS=chosen) for _ in range(3)] == [gpu(1), gpu(3), gpu(1)]


def test_a_gpu_is_the_same_under_its_number_and_its_uuid(machine):
    machine.has(listing(0, 0, 0))
    started = [machine.start(SAMPLER_GPUS=chosen) for chosen in ["1", f"{gpu(1)} 2"]]
    assert started == [gpu(1), gpu(2)]


def test_samplers_take_mig_devices(machine):
    machine.has(listing(0, 3))
    assert [machine.start() for _ in range(3)] == [mig(1, 0), mig(1, 1), mig(1, 2)]


@pytest.mark.parametrize("learner", ["0:0", mig(0, 0)])
def test_a_learner_on_a_mig_device_keeps_that_device_only(machine, learner):
    machine.has(listing(3))
    assert [machine.start(LEARNER_GPU=learner) for _ in range(2)] == [mig(0, 1), mig(0, 2)]


def test_samplers_take_the_chosen_mig_devices_in_order(machine):
    machine.has(listing(2, 12, 0))
    chosen = f"1:11 {mig(0, 1)} 2"
    assert [machine.start(SAMPLER_GPUS=chosen) for _ in range(3)] == [mig(1, 11), mig(0, 1), gpu(2)]


def test_a_gpu_split_by_mig_means_all_its_mig_devices(machine):
    machine.has(listing(0, 2))
    assert [machine.start(SAMPLER_GPUS="1") for _ in range(2)] == [mig(1, 0), mig(1, 1)]


def test_samplers_that_start_together_take_different_gpus(machine):
    machine.has(listing(0, 0, 4, 0))
    started = [machine.launch() for _ in range(6)]
    expected = {gpu(1), *(mig(2, part) for part in range(4)), gpu(3)}
    assert {seen_by(process) for process in started} == expected


def test_a_killed_sampler_frees_its_gpu(machine):
    machine.has(listing(0, 0, 0))
    first = machine.launch()
    assert [seen_by(first), machine.start()] == [gpu(1), gpu(2)]
    first.kill()
    first.wait()
    assert [machine.start(), machine.start()] == [gpu(1), gpu(1)]


def test_numbers_and_uuids_work_without_nvidia_smi(machine):
    machine.has(NO_DRIVER, status=9)
    chosen = "1 MIG-GPU-00000001-d33d-2b2c-524d-9e3d8d2b8a77/1/0"
    started = [machine.start(SAMPLER_GPUS=chosen) for _ in range(3)]
    assert started == [*chosen.split(), "1"]


@pytest.mark.parametrize(
    ("has", "given", "expected"),
    [
        (NO_DRIVER, {}, ["lists no GPU", "hint: check NVIDIA's driver"]),
        (NO_DRIVER, {"SAMPLER_GPUS": "0:1"}, ["0:1", "hint: give the MIG device's UUID"]),
        (listing(0, 0), {"SAMPLER_GPUS": "1 7"}, ["no GPU 7", "hint: nvidia-smi -L"]),
    ],
)
def test_a_missing_gpu_is_an_error_with_a_hint(machine, has, given, expected):
    machine.has(has)
    message = machine.fails(**given)
    assert all(part in message for part in ["own-gpu: error: ", *expected]), message


def test_a_gpu_is_shared_by_at_most_eight_samplers(machine):
    machine.has(listing(0))
    assert {machine.start() for _ in range(8)} == {gpu(0)}
    assert f"{gpu(0)} has 8 samplers already" in machine.fails()
