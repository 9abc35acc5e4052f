"""A sampler and a learner on two hosts, a slow link between them, which is cut for 20 s in mid-batch."""

import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unittest

from engine import plain_environment
from folders import last_checkpoint
from hosts import Cable, Host, why_not
from waiting import until

ROOT = pathlib.Path(__file__).resolve().parents[2]
RELEASE = ROOT / "target/release"
SETTINGS = pathlib.Path(__file__).with_name("two_hosts.toml")

MEGABITS = 100
# Each way, as netem has it: 100 ms there and back.
DELAY_MS = 50
CUT_SECONDS = 20

TOKEN = "two-hosts-token-0123456789"
PASSWORD = "two-hosts-password"

# Sends itself 10 MB from one host to the other, and prints the seconds for connecting and for sending.
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
door = socket.create_server((sys.argv[1], 9000))
print("listening", flush=True)
peer, _ = door.accept()
while peer.recv(1 << 20):
    pass
peer.sendall(b"!")
"""


class TwoHosts(unittest.TestCase):
    def setUp(self):
        if reason := why_not():
            self.skipTest(reason)
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="ddpo-two-hosts-"))
        self.addCleanup(shutil.rmtree, self.folder)
        # Names of devices have 15 characters at most.
        mine = os.getpid()
        devices = [f"ddpo{mine}a", f"ddpo{mine}b"]
        self.cable = Cable(devices, MEGABITS, DELAY_MS)
        self.addCleanup(self.cable.close)
        self.far, self.near = (
            self.host(f"ddpo-{mine}-{place}", device, f"10.77.0.{number}")
            for number, (place, device) in enumerate(zip(["far", "near"], devices), 1)
        )

    def host(self, name, device, address):
        host = Host(name, device, address)
        self.addCleanup(host.close)
        host.connect()
        return host

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
        """The last checkpoint of the same run in one process."""
        folder = self.folder / "one-process"
        folder.mkdir()
        command = [RELEASE / "ddpo", "train", f"--config={SETTINGS}"]
        subprocess.run(command, cwd=folder, env=plain_environment(), check=True, capture_output=True)
        return last_checkpoint(folder / "run")

    def epochs(self):
        metrics = self.folder / "run/metrics.jsonl"
        return len(metrics.read_text().splitlines()) if metrics.exists() else 0

    def test_the_link_is_what_it_says(self):
        log = self.folder / "receiver.log"
        self.near.start(log, sys.executable, "-c", RECEIVER, self.near.address)
        until("the receiver", lambda: b"listening" in log.read_bytes())
        sender = self.far.inside(sys.executable, "-c", SENDER, self.near.address)
        connecting, sending = map(
            float, subprocess.run(sender, check=True, capture_output=True, text=True).stdout.split()
        )
        rate = 80 / sending
        print(f"measured: connecting {connecting * 1e3:.0f} ms, {rate:.0f} Mbit/s", flush=True)
        self.assertGreaterEqual(connecting, 2 * DELAY_MS / 1e3)
        self.assertLessEqual(rate, MEGABITS)

    def test_a_cut_costs_time_and_nothing_else(self):
        name, expected = self.trained()
        self.redis()
        learner = self.service(self.near, "learner", 50053)
        self.service(self.near, "rewarder", 50052, f"--learners=http://{self.near.address}:50053")
        sampler = self.service(
            self.far, "sampler", 50051, f"--rewarders=http://{self.near.address}:50052"
        )
        began = time.monotonic()
        until("the first epoch", lambda: learner.poll() is not None or self.epochs() >= 1)
        # A trajectory is 135 kB: the cut comes while a batch of the next epoch is on the link.
        self.cable.cut(CUT_SECONDS, 300_000)
        self.cable.hears("cut")
        cut, reached = time.monotonic(), self.epochs()
        self.cable.hears("mended")
        self.assertGreaterEqual(time.monotonic() - cut, CUT_SECONDS - 0.1)
        self.assertEqual(self.epochs(), reached, "the learner went on without its sampler")
        self.assertEqual((learner.poll(), sampler.poll()), (None, None), self.logs())
        mended = time.monotonic()
        until("the learner", lambda: learner.poll() is not None)
        ended = time.monotonic()
        self.assertEqual(learner.returncode, 0, self.logs())
        ways = self.cable.sum()
        self.assertGreater(ways[0]["dropped"], 0, "the cut hit nothing")
        found = last_checkpoint(self.folder / "run")
        self.assertEqual(found, (name, expected), self.logs())
        print(
            f"measured: {ended - began:.0f} s in all, {ended - mended:.0f} s of them after the cut of "
            f"{CUT_SECONDS} s; {ways[0]['bytes'] >> 20} MiB there, {ways[1]['bytes'] >> 20} MiB back, "
            f"{ways[0]['dropped'] + ways[1]['dropped']} packets lost; {len(expected)} files the same",
            flush=True,
        )


if __name__ == "__main__":
    unittest.main()
