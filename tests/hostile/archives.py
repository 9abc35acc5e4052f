"""`.pth` files: archives, pickles, and the code in them."""

import io
import struct
import zipfile

from case import Case, links, pipes, writes

CONVERT = ["convert", "bad.pth", "--ddpm-ckpt=model", "--out=out"]
PROTOCOL = b"\x80\x02"


def archive(pickle, more=(), name="a/data.pkl"):
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as file:
        file.writestr(name, pickle)
        for other, data in more:
            file.writestr(other, data)
    return content.getvalue()


def bomb():
    """Returns an archive whose pickle has 300 MiB of zeros."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a/data.pkl", "w") as data:
        for _ in range(300):
            data.write(b"\0" * (1 << 20))
    return content.getvalue()


def file(name, content):
    return Case(f"archive {name}", CONVERT, writes("bad.pth", content))


def pickle(name, content, more=()):
    return Case(f"pickle {name}", CONVERT, writes("bad.pth", archive(content, more)))


def text(words):
    return b"X" + struct.pack("<I", len(words)) + words.encode()


def tensor(size, storage=16):
    """Returns `{"w": a tensor of `size` values in a storage that states `storage` values}`."""
    number = lambda value: b"\x8a\x08" + struct.pack("<q", value)  # noqa: E731
    stored = b"(" + text("storage") + b"ctorch\nFloatStorage\n" + text("0") + text("cpu") + number(storage) + b"tQ"
    view = number(0) + number(size) + b"\x85" + number(1) + b"\x85" + b"\x89}"
    return PROTOCOL + b"}" + text("model_state_dict") + b"}" + text("w") + b"ctorch._utils\n_rebuild_tensor_v2\n(" + stored + view + b"tRss."


def shared():
    """Returns dictionaries in which each level refers twice to the level below: 2^40 values."""
    out = PROTOCOL + b"}q\x00"
    for level in range(40):
        out += bytes([0x7D, 0x71, level + 1, 0x28, 0x4B, 1, 0x68, level, 0x4B, 2, 0x68, level, 0x75])
    return out + b"."


def claims_less(folder):
    """Writes an archive whose directory states another size than the data has."""
    content = bytearray(archive(b"\x80\x02}."))
    at = content.rindex(b"PK\x01\x02")
    content[at + 20 : at + 28] = struct.pack("<II", 0xFFFFFFF0, 0xFFFFFFF0)
    (folder / "bad.pth").write_bytes(content)


def of_model(change):
    """Returns a function that damages the valid `model.pth`."""

    def prepare(folder):
        content = bytearray((folder / "model.pth").read_bytes())
        (folder / "bad.pth").write_bytes(change(content))

    return prepare


GLOBAL = b"cposix\nsystem\n(" + text("touch hacked") + b"tR."

CASES = [
    file("empty", b""),
    file("of text", "no archive"),
    file("without entries", archive(b"")[-22:]),
    file("legacy torch", b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."),
    file("without a pickle", archive(b"", name="a/other")),
    file("bomb", bomb()),
    file("with parents", archive(b"\x80\x02}.", [("../../escape", b"x")])),
    file("with two pickles", archive(b"\x80\x02}.", [("b/data.pkl", b"\x80\x02}.")])),
    file("of 50,000 entries", archive(b"\x80\x02}.", [(f"a/data/{n}", b"") for n in range(50_000)])),
    file("in an archive", archive(archive(b"\x80\x02}."))),
    file("of a megabyte of PK", b"PK\x05\x06" * 250_000),
    Case("archive that claims another size", CONVERT, claims_less),
    Case("archive cut short", CONVERT, of_model(lambda content: content[: len(content) // 2])),
    Case("archive with bytes in front", CONVERT, of_model(lambda content: b"MZ" * 1000 + content), None),
    Case("archive with a flipped byte", CONVERT, of_model(lambda c: c[:2000] + bytes([c[2000] ^ 0xFF]) + c[2001:]), None),
    Case("archive a pipe", CONVERT, pipes("bad.pth")),
    Case("archive an endless device", CONVERT, links("bad.pth", "/dev/zero")),
    Case("archive a folder", CONVERT, lambda folder: (folder / "bad.pth").mkdir()),
    pickle("empty", b""),
    pickle("without an end", b"\x80\x02}"),
    pickle("of an unknown opcode", b"\x80\x02\xff."),
    pickle("that runs a command", PROTOCOL + GLOBAL),
    pickle("that builds an object", PROTOCOL + b"cbuiltins\nobject\n)\x81}b."),
    pickle("that evaluates", PROTOCOL + b"cbuiltins\neval\n(" + text("1+1") + b"tR."),
    pickle("with an extension", PROTOCOL + b"\x82\x01."),
    pickle("of a list that contains itself", PROTOCOL + b"}" + text("a") + b"]q\x00h\x00as."),
    pickle("of deep lists", PROTOCOL + b"]" * 500_000 + b"a" * 499_999 + b"."),
    pickle("of marks", PROTOCOL + b"(" * 1_000_000 + b"."),
    pickle("of shared dictionaries", shared()),
    pickle("with an empty stack", PROTOCOL + b"a."),
    pickle("with a text of 2^63 bytes", PROTOCOL + b"\x8d" + struct.pack("<Q", 2**63) + b"."),
    pickle("with a text of 2 GiB", PROTOCOL + b"X" + struct.pack("<I", 2**31 - 1) + b"."),
    pickle("with a long number", PROTOCOL + b"\x8b" + struct.pack("<I", 1 << 20) + b"\x7f" * (1 << 20) + b"."),
    pickle("with a missing memo", PROTOCOL + b"h\x07."),
    pickle("with a frame of 2^63 bytes", b"\x80\x04\x95" + struct.pack("<Q", 2**63) + b"}."),
    pickle("of protocol 255", b"\x80\xff}."),
    pickle("of a number", PROTOCOL + b"K\x07."),
    pickle("of a tensor beyond its storage", tensor(17), [("a/data/0", b"\0" * 64)]),
    pickle("of a tensor of 2^62 values", tensor(2**62, 2**62), [("a/data/0", b"\0" * 64)]),
    pickle("of a negative size", tensor(-1), [("a/data/0", b"\0" * 64)]),
    pickle("of a missing storage", tensor(16)),
    pickle("of a name with an escape", PROTOCOL + b"c\x1b[2Jos\nsystem\n."),
]
