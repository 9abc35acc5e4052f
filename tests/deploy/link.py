"""Simulates a cable between two hosts with two tun devices.

    link.py NAME_A NAME_B --megabits 100 --delay-ms 50

Forwards packets between the devices at the given rate, with the given delay, or drops them. tc and netem do the same,
but not every kernel has netem; this program needs only tun. The hosts' own TCP runs over it and sees a slow link with a
queue.

Reads one command a line from standard input and answers on standard output:

    cut SECONDS after BYTES   drops all packets for SECONDS, starting after BYTES more bytes from a to b. Prints `cut`,
                              later `mended`
    sum                       prints the forwarded and dropped packets so far as JSON

Exits at the end of standard input.
"""

import argparse
import collections
import errno
import fcntl
import json
import os
import select
import struct
import sys
import time

TUNSETIFF = 0x400454CA
IFF_TUN, IFF_NO_PI = 0x0001, 0x1000

# Packets in a queue before it drops, as in netem.
LONGEST_QUEUE = 1000
LARGEST_PACKET = 1 << 16


def tun(name):
    """Makes the device `name`. It exists while the file is open, in any namespace."""
    device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH", name.encode(), IFF_TUN | IFF_NO_PI))
    return device


class Direction:
    """One direction of the cable."""

    def __init__(self, source, target, rate, delay):
        self.source, self._target = source, target
        self._rate, self._delay = rate, delay
        self._free_at = 0.0
        self._on_the_way = collections.deque()
        self.bytes = self.packets = self.dropped = 0

    def take(self, is_cut):
        """Reads every packet that waits at the source."""
        while True:
            try:
                packet = os.read(self.source, LARGEST_PACKET)
            except BlockingIOError:
                return
            now = time.monotonic()
            if is_cut or len(self._on_the_way) >= LONGEST_QUEUE + self._rate * self._delay / 1500:
                self.dropped += 1
                continue
            # A packet is sent after its predecessor and arrives one delay later.
            self._free_at = max(now, self._free_at) + len(packet) / self._rate
            self._on_the_way.append((self._free_at + self._delay, packet))
            self.bytes += len(packet)
            self.packets += 1

    def give(self):
        """Writes the packets that have arrived to the target. Returns the time of the next arrival, or None."""
        while self._on_the_way:
            due, packet = self._on_the_way[0]
            if due > time.monotonic():
                return due
            self._on_the_way.popleft()
            try:
                os.write(self._target, packet)
            except OSError:
                # The target device is down or full: the packet is lost.
                self.dropped += 1
        return None

    def lose(self):
        """Drops all packets in flight."""
        self.dropped += len(self._on_the_way)
        self._on_the_way.clear()

    def sum(self):
        return {"bytes": self.bytes, "packets": self.packets, "dropped": self.dropped}


class Cable:
    """Both directions, and whether the cable is cut."""

    def __init__(self, names, rate, delay):
        a, b = (tun(name) for name in names)
        self.ways = [Direction(a, b, rate, delay), Direction(b, a, rate, delay)]
        self._cut_at_bytes = self._mend_at = None
        self._cut_for = 0.0

    def command(self, line):
        match line.split():
            case ["cut", seconds, "after", count]:
                self._cut_for = float(seconds)
                self._cut_at_bytes = self.ways[0].bytes + int(count)
            case ["sum"]:
                say(json.dumps([way.sum() for way in self.ways]))
            case _:
                sys.exit(f"error: expected cut or sum, found {line!r}")

    def step(self):
        """Waits for a packet, a command or a due time, and handles it. Returns False at the end of input."""
        dues = [due for due in (way.give() for way in self.ways) if due is not None]
        dues += [self._mend_at] if self._mend_at is not None else []
        wait = max(0.0, min(dues) - time.monotonic()) if dues else None
        ready, _, _ = select.select([way.source for way in self.ways] + [0], [], [], wait)
        for way in self.ways:
            if way.source in ready:
                way.take(self._mend_at is not None)
        now = time.monotonic()
        if self._cut_at_bytes is not None and self.ways[0].bytes >= self._cut_at_bytes:
            self._cut_at_bytes, self._mend_at = None, now + self._cut_for
            for way in self.ways:
                way.lose()
            say("cut")
        if self._mend_at is not None and now >= self._mend_at:
            self._mend_at = None
            say("mended")
        if 0 in ready:
            line = sys.stdin.readline()
            if not line:
                return False
            self.command(line)
        return True


def say(line):
    print(line, flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs=2)
    parser.add_argument("--megabits", type=float, required=True)
    parser.add_argument("--delay-ms", type=float, required=True)
    arguments = parser.parse_args()
    cable = Cable(arguments.names, arguments.megabits * 1e6 / 8, arguments.delay_ms / 1e3)
    say("ready")
    try:
        while cable.step():
            pass
    except OSError as error:
        # A host was removed together with its device.
        if error.errno != errno.EBADFD:
            raise


if __name__ == "__main__":
    main()
