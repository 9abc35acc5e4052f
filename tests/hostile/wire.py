"""Bytes of a network: frames that arrive at the gRPC ports of services, and replies of Redis."""

import random
import struct

from case import Case, writes
from frames import (
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, RST_STREAM, SETTINGS, WINDOW_UPDATE, call,
    data, frame, message, request, send,
)  # fmt: skip

RUN = """
ddpm_ckpt = "toy-faces-32"
task = "jpeg compressibility"
output_dir = "run"
num_epochs = 1
num_samples_per_epoch = 4
batch_size = 4
num_inference_steps = 2
threads = 1
device = "cpu"
"""
OPENED = PREFACE + frame(SETTINGS)
TRAJECTORIES = {
    "ddpo-learner": "/ddpo.v1.Learner/SubmitScoredTrajectories",
    "ddpo-rewarder": "/ddpo.v1.Rewarder/SubmitTrajectories",
}
DESCRIBE = "/ddpo.v1.Learner/DescribeRun"


def arguments(program, name):
    run = f"--run-id={name.replace(' ', '-')}"
    return ["--config=run.toml", run] if program == "ddpo-learner" else [run, *PEERS.get(program, [])]


PEERS = {
    "ddpo-rewarder": ["--learners=http://127.0.0.1:1", "--reward-device=cpu", "--reward-threads=1"],
    "ddpo-sampler": ["--rewarders=http://127.0.0.1:1", "--sampler-device=cpu", "--sampler-threads=1"],
}


def at_port(program, name, attack):
    """Returns a case of frames that arrive at a service."""
    name = f"{program.removeprefix('ddpo-')} frames {name}"
    return Case(name, arguments(program, name), writes("run.toml", RUN), None, program=program, attack=attack)


def raw(content):
    """Returns an attack with these bytes on one connection."""
    return lambda port: send(port, content)


def calls(program, *contents):
    """Returns an attack of one call for each content, on the stream of trajectories."""

    def attack(port):
        for content in contents:
            send(port, OPENED + call(TRAJECTORIES[program]) + data(content, 1, END_STREAM))

    return attack


def changed(program):
    """Returns an attack with 100 connections whose bytes are those of a call, with some changed."""

    def attack(port):
        chance = random.Random(1)
        for _ in range(100):
            content = bytearray(OPENED + call(TRAJECTORIES[program]) + data(message(chance.randbytes(100))))
            for _ in range(chance.randrange(1, 6)):
                content[chance.randrange(len(PREFACE), len(content))] = chance.randrange(256)
            send(port, bytes(content))

    return attack


def protobuf(program):
    """Returns an attack with messages that are not, or barely, protobuf."""
    chance = random.Random(2)
    nested = b""
    for _ in range(2000):
        nested = b"\x12" + varint(len(nested)) + nested
    messages = [chance.randbytes(size) for size in (1, 10, 1000, 50_000)]
    # A length of 2^63, groups without an end, a chunk without a header, and a slot of 2^32 - 1.
    slot = b"\x08" + varint((1 << 32) - 1) + b"\x12\x00"
    messages += [b"\x12" + varint(1 << 63), b"\x13" * 50_000, b"\x1a\x00", slot]
    return calls(program, *(message(content) for content in [*messages, nested]))


def varint(number):
    digits = b""
    while number >= 128:
        digits += bytes([number % 128 + 128])
        number //= 128
    return digits + bytes([number])


def resets(program):
    """Opens and resets 20000 streams on one connection."""
    block = request(TRAJECTORIES[program])
    cancel = struct.pack(">I", 8)
    streams = range(1, 40001, 2)
    pairs = (frame(HEADERS, END_HEADERS, id, block) + frame(RST_STREAM, 0, id, cancel) for id in streams)
    return raw(OPENED + b"".join(pairs))


def header_list(size):
    """Returns the frames of a call with a header list of this size."""
    block = request(DESCRIBE, *((f"x-{index}", b"x" * 1000) for index in range(size // 1000)))
    parts = [block[at : at + 16384] for at in range(0, len(block), 16384)]
    first, *rest = parts
    return frame(HEADERS, 0, 1, first) + b"".join(frame(CONTINUATION, 0, 1, part) for part in rest)


# A window of 2^31 - 1, and a setting of the largest frame that is not valid.
WIDEST, FULL = b"\x7f\xff\xff\xff", b"\0\5\0\0\0\0"
JUNK = random.Random(0).randbytes(1 << 20)
FRAMES = [
    at_port("ddpo-rewarder", "of random bytes", raw(JUNK)),
    at_port("ddpo-rewarder", "of random bytes after the preface", raw(PREFACE + JUNK)),
    at_port("ddpo-rewarder", "of HTTP 1", raw(b"GET / HTTP/1.1\r\nhost: " + b"x" * 1_000_000 + b"\r\n\r\n")),
    at_port("ddpo-rewarder", "of TLS", raw(b"\x16\x03\x01\xff\xff\x01" + bytes(100_000))),
    at_port("ddpo-rewarder", "of 16 MiB", raw(OPENED + frame(DATA, 0, 1, bytes((1 << 24) - 1)))),
    at_port("ddpo-rewarder", "with headers of junk", raw(OPENED + frame(HEADERS, END_HEADERS, 1, JUNK[:16384]))),
    at_port("ddpo-rewarder", "with endless headers", raw(OPENED + header_list(20_000_000))),
    at_port("ddpo-rewarder", "with rapid resets", resets("ddpo-rewarder")),
    at_port("ddpo-rewarder", "with half a million pings", raw(OPENED + frame(PING, 0, 0, bytes(8)) * 500_000)),
    at_port("ddpo-rewarder", "with settings of junk", raw(PREFACE + frame(SETTINGS, 0, 0, FULL * 2000) * 100)),
    at_port("ddpo-rewarder", "with windows that overflow", raw(OPENED + frame(WINDOW_UPDATE, 0, 0, WIDEST) * 1000)),
]  # fmt: skip
for each in TRAJECTORIES:
    FRAMES += [
        at_port(each, "with bytes changed", changed(each)),
        at_port(each, "with messages of junk", protobuf(each)),
        at_port(each, "with a message of 4 GiB", calls(each, message(bytes(30_000), (1 << 32) - 1))),
        at_port(each, "with a compressed message", calls(each, message(bytes(1000), is_compressed=1))),
    ]


def redis(program, name, answer):
    """Returns a case of replies that a service gets from Redis."""
    name = f"{program.removeprefix('ddpo-')} redis {name}"
    return Case(name, arguments(program, name), writes("run.toml", RUN), None, program=program, answer=answer)


def always(reply):
    return lambda words: reply


def polite(replies, rest=b"$-1\r\n"):
    """Returns a Redis that connects, and then answers each command by name; `rest` answers the others."""
    start = {b"CLIENT": b"+OK\r\n", b"PING": b"+PONG\r\n", b"INFO": bulk(b"redis_mode:standalone\r\n")}
    return lambda words: {**start, **replies}.get(words[0].upper(), rest)


def bulk(content):
    return b"$%d\r\n%s\r\n" % (len(content), content)


def array(*words):
    return b"*%d\r\n" % len(words) + b"".join(bulk(word) for word in words)


def closing(start, part=b"", count=0):
    """Returns a Redis that closes each connection in the middle of a reply, after `count` parts."""

    def answer(words):
        yield start
        for _ in range(count):
            yield part
        raise EOFError

    return answer


HUGE = b"4611686018427387904"
REDIS = [
    redis("ddpo-sampler", "of random bytes", always(JUNK[:100_000])),
    redis("ddpo-learner", "of HTTP", always(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
    redis("ddpo-sampler", "with a length of 2 to the 62", always(b"$" + HUGE + b"\r\nabc")),
    redis("ddpo-learner", "with an array of 2 to the 62", always(b"*" + HUGE + b"\r\n:1\r\n")),
    redis("ddpo-sampler", "with a map of 2 to the 62", always(b"%" + HUGE + b"\r\n:1\r\n")),
    redis("ddpo-sampler", "with negative lengths", always(b"$-5\r\n*-9\r\n%-1\r\n|-1\r\n~-1\r\n=-1\r\n!-1\r\n")),
    redis("ddpo-sampler", "with lengths of letters", always(b"$abc\r\n")),
    redis("ddpo-learner", "with arrays in arrays", always(b"*1\r\n" * 100_000)),
    redis("ddpo-sampler", "with an error of ten megabytes", always(b"-ERR " + b"x" * 10_000_000 + b"\r\n")),
    redis("ddpo-learner", "with an error with escapes", always(b"-ERR \x1b[2J\rfaked\n\r\n")),
    redis("ddpo-sampler", "of another type", always(b":1\r\n")),
    redis("ddpo-learner", "with pushes", always(b">2\r\n$10\r\ninvalidate\r\n*0\r\n")),
    redis("ddpo-sampler", "that breaks off", closing(b"$100\r\nabc")),
    redis("ddpo-learner", "that breaks off", closing(b"$100\r\nabc")),
    redis("ddpo-sampler", "without an answer", polite({b"GET": b""})),
    redis("ddpo-learner", "without an answer", polite({b"EVALSHA": b""})),
    redis("ddpo-sampler", "with a specification of junk", polite({b"GET": bulk(b"[" * 1_000_000)})),
    redis("ddpo-sampler", "with a specification of another type", polite({b"GET": array(b"a", b"b")})),
    redis("ddpo-learner", "with a lease of 2 to the 70", polite({b"EVALSHA": array(b"ok", str(1 << 70).encode())})),
    redis("ddpo-learner", "with a lease of bytes", polite({b"EVALSHA": array(b"ok", b"\xff\xfe")})),
    redis("ddpo-learner", "with a lease and no more", polite({b"EVALSHA": array(b"ok", b"7")}, b":1\r\n")),
    redis("ddpo-learner", "with a lease of nobody", polite({b"EVALSHA": array()})),
    redis("ddpo-sampler", "with five million numbers", closing(b"*" + HUGE + b"\r\n", b":1\r\n" * 1000, 5000)),
    redis("ddpo-sampler", "with a value of 100 MB", closing(b"$" + HUGE + b"\r\n", bytes(100_000), 1000)),
]  # fmt: skip

CASES = [*FRAMES, *REDIS]
