"""Safetensors files: weights of a checkpoint, and recorded batches."""

import json
import struct

from case import SAMPLE, Case, writes

WEIGHTS = "model/unet/diffusion_pytorch_model.safetensors"
REPLAY = ["replay", "--ddpm-ckpt=model", "--batch=batch", "--device=cpu", "--threads=1", "--out=out"]


def packed(header, data=b"", length=None):
    """Returns a file with this header, which may state another length."""
    content = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(content) if length is None else length) + content + data


def entry(shape, start, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def weights(name, content):
    return Case(f"safetensors {name}", SAMPLE, writes(WEIGHTS, content))


def batch(name, content):
    return Case(f"batch {name}", REPLAY, writes("batch", content))


def changed(name, change, is_accepted=False):
    """Returns a case whose weights are valid except for `change(header, data)`."""

    def prepare(folder):
        path = folder / WEIGHTS
        content = path.read_bytes()
        size = struct.unpack("<Q", content[:8])[0]
        header, data = json.loads(content[8 : 8 + size]), bytearray(content[8 + size :])
        changed = change(header, data)
        path.write_bytes(packed(changed if changed is not None else header, bytes(data)))

    return Case(f"weights {name}", SAMPLE, prepare, is_accepted)


def names(header):
    return [name for name in header if name != "__metadata__"]


def twice(header, data):
    """Writes the first tensor's key twice: parsers differ in which one counts."""
    first = names(header)[0]
    text = json.dumps(header)
    return (text[:-1] + f', {json.dumps(first)}: {json.dumps(header[first])}' + "}").encode()


def rename(header, data):
    header["another"] = header.pop(names(header)[0])


def reshape(header, data):
    header[names(header)[0]]["shape"].append(1)


def nan(header, data):
    data[:4] = struct.pack("<f", float("nan"))


def retype(header, data):
    header[names(header)[0]]["dtype"] = "I32"


def overlap(header, data):
    first, second = names(header)[:2]
    header[second]["data_offsets"] = header[first]["data_offsets"]


def metadata(header, data):
    header["__metadata__"] = {"a": 1}


def more_data(header, data):
    data.extend(b"\0" * 1000)


CASES = [
    weights("empty", b""),
    weights("seven bytes", b"\0" * 7),
    weights("no header", packed(b"")),
    weights("a length of 2^63", packed(b"{}", length=2**63)),
    weights("a length of 2^64 - 1", packed(b"{}", length=2**64 - 1)),
    weights("a length beyond the file", packed(b"{}", length=1 << 30)),
    weights("zeros", b"\0" * 4096),
    weights("a list", packed([])),
    weights("deep nesting", packed(b"[" * 1_000_000)),
    weights("bytes", packed(bytes(range(256)))),
    weights("reversed offsets", packed({"a": entry([1], 4, 0)}, b"\0" * 4)),
    weights("offsets beyond the data", packed({"a": entry([1 << 30], 0, 1 << 32)}, b"\0" * 4)),
    weights("offsets of 2^64 - 1", packed({"a": entry([1], 2**64 - 5, 2**64 - 1)}, b"\0" * 4)),
    weights("a negative side", packed({"a": entry([-1], 0, 4)}, b"\0" * 4)),
    weights("a product beyond 64 bits", packed({"a": entry([2**32, 2**32, 2**32], 0, 4)}, b"\0" * 4)),
    weights("a million sides", packed({"a": entry([1] * 1_000_000, 0, 4)}, b"\0" * 4)),
    weights("an unknown dtype", packed({"a": entry([1], 0, 4, "F33")}, b"\0" * 4)),
    weights("300,000 tensors", packed({f"t{n}": entry([0], 0, 0) for n in range(300_000)})),
    weights("a name with an escape", packed({"\x1b[2J": entry([1], 0, 4)}, b"\0" * 4)),
    changed("with one key twice", twice),
    changed("with another name", rename),
    changed("with another shape", reshape),
    changed("with a value that is not a number", nan),
    changed("of another dtype", retype),
    changed("that overlap", overlap),
    changed("with metadata of numbers", metadata),
    changed("with more data than tensors", more_data),
    batch("empty", b""),
    batch("without tensors", packed({})),
    batch("of empty tensors", packed({name: entry([0], 0, 0) for name in ("states", "log_probs", "rewards", "timesteps")})),
    batch("of a billion samples", packed({"rewards": entry([10**9], 0, 4 * 10**9)})),
    batch("bytes", bytes(range(256))),
]
