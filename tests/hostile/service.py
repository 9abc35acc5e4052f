"""Runs a service while a case attacks it: its ports, or its connection to Redis."""

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

import frames

LOOK = 0.02
# A service that waits ends on SIGTERM after this time; the case has ten seconds in all.
WAITS = 1.5


def until(seconds, look):
    """Calls `look` until it returns a true value, for at most `seconds`, and returns the value."""
    deadline = time.monotonic() + seconds
    while not (seen := look()) and time.monotonic() < deadline:
        time.sleep(LOOK)
    return seen


class Service:
    """A service whose log is a file of JSON lines."""

    def __init__(self, command, folder, environment):
        self.log = folder / "service.log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                                            stdout=subprocess.DEVNULL, stderr=log)  # fmt: skip

    def text(self):
        return self.log.read_text(errors="replace")

    def has_ended(self):
        """Returns whether the process has ended; its status stays for os.wait4."""
        flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
        return os.waitid(os.P_PID, self.process.pid, flags) is not None

    def line(self, message):
        """Returns the first line of the log with this message."""
        lines = [line for line in self.text().splitlines() if message in line]
        return json.loads(lines[0]) if lines else None

    def port(self):
        """Waits until the service listens, and returns the port of gRPC; None if it ends before."""
        line = until(5, lambda: self.has_ended() or self.line('"listening"'))
        return None if line in (None, True) else int(line["address"].rpartition(":")[2])

    def is_ready(self):
        """Returns whether the readiness probe answers with 200."""
        address = self.line('"listening"')["metrics"]
        try:
            urllib.request.urlopen(f"http://{address}/readyz", timeout=2).close()
        except OSError:
            return False
        return True


def endure(service, case, redis):
    """Attacks a service, and ends it with SIGTERM if it still runs. Yields faults."""
    port = service.port()
    if port is None:
        return
    if case.attack:
        if case.program == "ddpo-learner" and not until(6, service.is_ready):
            yield "was not ready"
        case.attack(port)
        if service.has_ended():
            yield "ended"
        elif not frames.answers(port):
            yield "does not answer any more"
    else:
        until(WAITS, service.has_ended)
        if not redis.answers:
            yield "did not ask Redis"
    if not service.has_ended():
        service.process.send_signal(signal.SIGTERM)


def execute(program, case, folder, environment, store, seconds):
    """Runs the case of a service. Returns its log, its resources, whether it was killed after `seconds`, and faults."""
    redis = FakeRedis(case.answer) if case.answer else store
    url = [] if redis is None else [f"--redis-url={redis.url}"]
    common = ["--listen=127.0.0.1:0", "--metrics-listen=127.0.0.1:0", "--log-format=json"]
    service = Service([str(program), *common, *case.arguments, *url], folder, environment)
    late = threading.Event()
    timer = threading.Timer(seconds, lambda: (late.set(), service.process.kill()))
    timer.start()
    found = list(endure(service, case, redis))
    _, status, usage = os.wait4(service.process.pid, 0)
    timer.cancel()
    service.process.returncode = os.waitstatus_to_exitcode(status)
    if case.answer:
        redis.close()
    return service, usage, late.is_set(), found


class Store:
    """A redis-server on a Unix socket in `folder`, without persistence."""

    def __init__(self, folder):
        folder = Path(folder)
        self.url = f"unix://{folder}/redis.sock"
        options = ["--port", "0", "--unixsocket", f"{folder}/redis.sock", "--save", "", "--appendonly", "no"]
        program = shutil.which("redis-server") or "redis-server"
        self.process = subprocess.Popen([program, *options], cwd=folder, stdout=subprocess.DEVNULL)
        if not until(5, (folder / "redis.sock").exists):
            raise RuntimeError("redis-server did not start")

    def close(self):
        self.process.kill()
        self.process.wait()


class FakeRedis:
    """A server on loopback that gives each connection to `answer`, with the commands that arrive on it."""

    def __init__(self, answer):
        self.answer = answer
        self.answers = 0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"redis://127.0.0.1:{self.listener.getsockname()[1]}"
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        with connection:
            try:
                for words in commands(connection.makefile("rb")):
                    reply = self.answer(words)
                    for part in [reply] if isinstance(reply, bytes) else reply:
                        connection.sendall(part)
                        self.answers += 1
            except (OSError, ValueError, EOFError):
                return

    def close(self):
        self.listener.close()


def commands(stream):
    """Yields the commands of a client, each as a list of words."""
    while line := stream.readline():
        words = []
        for _ in range(int(line[1:])):
            length = int(stream.readline()[1:])
            words.append(stream.read(length + 2)[:length])
        yield words
