"""A process that answers one JSON request a line: `ddpo-bench-worker`, or the Python peer."""

import json
import subprocess


class Worker:
    """A running worker. The end of the `with` block closes its input and waits for it to exit."""

    def __init__(self, command):
        self.command = [str(part) for part in command]

    def __enter__(self):
        self.process = subprocess.Popen(
            self.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        return self

    def __exit__(self, *_):
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.stderr.close()
        self.process.wait(timeout=60)

    def ask(self, op, **request):
        """Sends a request and returns the answer."""
        try:
            self.process.stdin.write(json.dumps({"op": op} | request) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            words = self.process.stderr.read().strip().splitlines()[-6:]
            raise RuntimeError(f"{self.command[0]} did not answer {op}: " + " / ".join(words))
        return json.loads(answer)
