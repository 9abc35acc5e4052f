"""Two hosts on networks of their own, as network namespaces with a cable between them."""

import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


def why_not():
    """Why there can be no hosts here, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not pathlib.Path("/dev/net/tun").exists():
        return "there is no /dev/net/tun"
    if subprocess.run(["ip", "-V"], capture_output=True, check=False).returncode:
        return "there is no `ip`; scripts/setup-system --install"
    probe = f"ddpo-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"no network namespace can be made: {made.stderr.strip()}"
    ip("netns", "del", probe)
    return None


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


class Host:
    """A network namespace with a loopback interface, and the processes that were started in it."""

    def __init__(self, name, device, address):
        self.name, self.address = name, address
        self._device = device
        self._started = []
        ip("netns", "add", name)

    def connect(self):
        """Plugs the cable's end in."""
        ip("link", "set", self._device, "netns", self.name)
        for device in ["lo", self._device]:
            ip("-n", self.name, "link", "set", device, "up")
        ip("-n", self.name, "address", "add", f"{self.address}/24", "dev", self._device)

    def inside(self, *command):
        return ["ip", "netns", "exec", self.name, *map(str, command)]

    def start(self, log, *command, **more):
        """Starts a process with its output in the file `log`."""
        with open(log, "wb") as file:
            process = subprocess.Popen(
                self.inside(*command), stdout=file, stderr=subprocess.STDOUT, **more
            )
        self._started.append(process)
        return process

    def close(self):
        for process in self._started:
            process.kill()
            process.wait()
        ip("netns", "del", self.name)


class Cable:
    """The process between the hosts: see link.py."""

    def __init__(self, devices, megabits, delay_ms):
        command = [sys.executable, HERE / "link.py", *devices]
        command += [f"--megabits={megabits}", f"--delay-ms={delay_ms}"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.hears("ready")

    def cut(self, seconds, after_bytes):
        """Cuts the cable once that many more bytes have gone from the first host to the second."""
        print(f"cut {seconds} after {after_bytes}", file=self._process.stdin, flush=True)

    def hears(self, word):
        line = self._process.stdout.readline().strip()
        assert line == word, f"expected {word} of the cable, found {line!r}"

    def sum(self):
        print("sum", file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def close(self):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
