"""Two hosts on separate networks: network namespaces with a simulated cable between them."""

import json
import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent


def why_not():
    """Returns the reason why hosts cannot be simulated here, or None."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if not pathlib.Path("/dev/net/tun").exists():
        return "/dev/net/tun does not exist"
    if subprocess.run(["ip", "-V"], capture_output=True, check=False).returncode:
        return "`ip` is not installed; hint: scripts/setup-system --install"
    probe = f"ddpo-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", probe], capture_output=True, text=True, check=False)
    if made.returncode:
        return f"could not make a network namespace: {made.stderr.strip()}"
    ip("netns", "del", probe)
    return None


def ip(*arguments):
    subprocess.run(["ip", *arguments], check=True)


class Host:
    """A network namespace with a loopback interface, and the processes started in it."""

    def __init__(self, name, device, address):
        self.name, self.address = name, address
        self._device = device
        self._started = []
        ip("netns", "add", name)

    def connect(self):
        """Connects the host's end of the cable."""
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
    """The process of link.py between the hosts."""

    def __init__(self, devices, megabits, delay_ms):
        command = [sys.executable, HERE / "link.py", *devices]
        command += [f"--megabits={megabits}", f"--delay-ms={delay_ms}"]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.hears("ready")

    def cut(self, seconds, after_bytes):
        """Cuts the cable after `after_bytes` more bytes from the first host to the second."""
        print(f"cut {seconds} after {after_bytes}", file=self._process.stdin, flush=True)

    def hears(self, word):
        line = self._process.stdout.readline().strip()
        assert line == word, f"expected {word} from link.py, found {line!r}"

    def sum(self):
        print("sum", file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def close(self):
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
