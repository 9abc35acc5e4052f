"""A sampler and a learner on two hosts with a slow link, which is cut for 20 s in the middle of a batch."""

import os
import pathlib
import subprocess
import sys
import time
from contextlib import closing

import pytest

from engine import plain_environment
from folders import last_checkpoint
from hosts import Cable, Host, why_not
from waiting import until

ROOT = pathlib.Path(__file__).resolve().parents[2]
RELEASE = ROOT / "target/release"
SETTINGS = pathlib.Path(__file__).with_name("two_hosts.toml")

MEGABITS = 100
# One way, as in netem; the round trip takes 100 ms.
DELAY_MS = 50
CUT_SECONDS = 20

TOKEN = "two-hosts-token-0123456789"
PASSWORD = "two-hosts-password"

# Sends 10 MB from one host to the other, and prints the seconds for connecting and for sending.
SENDER = """
import socket, sys, time
began = time.monotonic()
peer = socket.create_connection((sys.argv[1], 9000))
connected = time.monotonic()
peer.sendall(bytes(10_000_000))
peer.shutdown(socket.SHUT_WR)
peer.recv(1)
print(connected - began, time.monotonic() - connected)
"""
RECEIVER = """
import socket, sys
listener = socket.create_server((sys.argv[1], 9000))
print("listening", flush=True)
peer, _ = listener.accept()
while peer.recv(1 << 20):
    pass
peer.sendall(b"!")
"""


@pytest.fixture
def link(tmp_path):
    if reason := why_not():
        pytest.skip(reason)
    # Names of devices have 15 characters at most.
    mine = os.getpid()
    names = [f"ddpo{mine}a", f"ddpo{mine}b"]
    with (
        closing(Cable(names, MEGABITS, DELAY_MS)) as cable,
        closing(Host(f"ddpo-{mine}-far", names[0], "10.77.0.1")) as far,
        closing(Host(f"ddpo-{mine}-near", names[1], "10.77.0.2")) as near,
    ):
        for host in (far, near):
            host.connect()
        yield Link(tmp_path, cable, far, near)


class Link:
    """Two hosts, the cable between them, and the processes of a run."""

    def __init__(self, folder, cable, far, near):
        self.folder, self.cable, self.far, self.near = folder, cable, far, near

    def service(self, host, name, port, *more):
        environment = {
            **plain_environment(),
            "DDPO_SERVICE_TOKEN": TOKEN,
            "DDPO_SERVICE_REDIS_URL": f"redis://:{PASSWORD}@{self.near.address}:6379",
            "OMP_WAIT_POLICY": "passive",
        }
        listen = [f"--listen={host.address}:{port}", f"--metrics-listen={host.address}:{port + 1000}"]
        command = [RELEASE / f"ddpo-{name}", f"--config={SETTINGS}", *listen, *more]
        return host.start(self.folder / f"{name}.log", *command, cwd=self.folder, env=environment)

    def redis(self):
        log = self.folder / "redis.log"
        self.near.start(
            log, "redis-server", "--bind", self.near.address, "--requirepass", PASSWORD,
            "--save", "", "--appendonly", "no", cwd=self.folder,
        )
        until("Redis", lambda: b"Ready to accept" in log.read_bytes())

    def logs(self):
        tails = []
        for log in sorted(self.folder.glob("*.log")):
            lines = log.read_text(errors="replace").splitlines()[-30:]
            tails.append("\n".join([f"---- {log.name}", *lines]))
        return "\n".join(tails)

    def trained(self):
        """Returns the last checkpoint of the same run in one process."""
        folder = self.folder / "one-process"
        folder.mkdir()
        command = [RELEASE / "ddpo", "train", f"--config={SETTINGS}"]
        subprocess.run(command, cwd=folder, env=plain_environment(), check=True, capture_output=True)
        return last_checkpoint(folder / "run")

    def epochs(self):
        metrics = self.folder / "run/metrics.jsonl"
        return len(metrics.read_text().splitlines()) if metrics.exists() else 0


def test_the_link_has_the_stated_delay_and_rate(link):
    log = link.folder / "receiver.log"
    link.near.start(log, sys.executable, "-c", RECEIVER, link.near.address)
    until("the receiver", lambda: b"listening" in log.read_bytes())
    sender = link.far.inside(sys.executable, "-c", SENDER, link.near.address)
    done = subprocess.run(sender, check=True, capture_output=True, text=True)
    connecting, sending = map(float, done.stdout.split())
    rate = 80 / sending
    print(f"measured: connecting {connecting * 1e3:.0f} ms, {rate:.0f} Mbit/s")
    assert connecting >= 2 * DELAY_MS / 1e3
    assert rate <= MEGABITS


def test_a_cut_link_delays_the_run_without_changing_the_checkpoint(link):
    name, expected = link.trained()
    link.redis()
    learner = link.service(link.near, "learner", 50053)
    link.service(link.near, "rewarder", 50052, f"--learners=http://{link.near.address}:50053")
    sampler = link.service(link.far, "sampler", 50051, f"--rewarders=http://{link.near.address}:50052")
    began = time.monotonic()
    until("the first epoch", lambda: learner.poll() is not None or link.epochs() >= 1)
    # A trajectory is 135 kB: the cut comes while a batch of the next epoch is on the link.
    link.cable.cut(CUT_SECONDS, 300_000)
    link.cable.hears("cut")
    cut, reached = time.monotonic(), link.epochs()
    link.cable.hears("mended")
    assert time.monotonic() - cut >= CUT_SECONDS - 0.1
    assert link.epochs() == reached, "the learner continued without its sampler"
    assert (learner.poll(), sampler.poll()) == (None, None), link.logs()
    mended = time.monotonic()
    until("the learner", lambda: learner.poll() is not None)
    ended = time.monotonic()
    assert learner.returncode == 0, link.logs()
    ways = link.cable.sum()
    assert ways[0]["dropped"] > 0, "the cut dropped no packet"
    assert last_checkpoint(link.folder / "run") == (name, expected), link.logs()
    print(
        f"measured: {ended - began:.0f} s in all, {ended - mended:.0f} s of them after the cut of "
        f"{CUT_SECONDS} s; {ways[0]['bytes'] >> 20} MiB there, {ways[1]['bytes'] >> 20} MiB back, "
        f"{ways[0]['dropped'] + ways[1]['dropped']} packets lost; {len(expected)} files the same"
    )
