"""Images for `ddpo score`."""

import os
import struct
import zlib

from case import Case, links, writes

SCORE = ["score", "--task=jpeg compressibility", "--device=cpu", "--threads=1"]
SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind, data, checksum=None):
    found = zlib.crc32(kind + data) if checksum is None else checksum
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", found)


def zeros():
    """Returns 300 MiB of zeros, compressed."""
    packer = zlib.compressobj()
    return b"".join(packer.compress(b"\0" * (1 << 20)) for _ in range(300)) + packer.flush()


def png(width, height, data=b"", depth=8, colour=2, interlace=0, extra=b"", packed=None):
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlace)
    return SIGNATURE + chunk(b"IHDR", header) + extra + chunk(b"IDAT", packed or zlib.compress(data)) + chunk(b"IEND", b"")


def jpeg(width, height, components=3):
    """Returns a JPEG's header without data."""
    parts = b"".join(bytes([index + 1, 0x11, 0]) for index in range(components))
    frame = struct.pack(">HBHHB", 8 + 3 * components, 8, height, width, components) + parts
    return b"\xff\xd8\xff\xe0\x00\x10JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00\xff\xc0" + frame + b"\xff\xd9"


def image(name, content, is_accepted=False, ending="png"):
    return Case(f"image {name}", [*SCORE, f"bad.{ending}"], writes(f"bad.{ending}", content), is_accepted)


def of_picture(name, change, is_accepted=False):
    """Returns a case with a damaged copy of a valid PNG."""

    def prepare(folder):
        (folder / "bad.png").write_bytes(change((folder / "picture.png").read_bytes()))

    return Case(f"image {name}", [*SCORE, "bad.png"], prepare, is_accepted)


def loop(folder):
    (folder / "album").mkdir()
    (folder / "album/again").symlink_to("..")
    (folder / "album/picture.png").write_bytes((folder / "picture.png").read_bytes())


def odd_name(folder):
    path = os.fsencode(folder) + b"/\xff\n\x1b[2J.png"
    with open(path, "wb") as file:
        file.write(b"no picture")


ROWS = b"\0" + b"\x80" * 24

CASES = [
    image("empty", b""),
    image("of text", "no picture"),
    image("of the signature alone", SIGNATURE),
    image("without a header", SIGNATURE + chunk(b"IDAT", b"") + chunk(b"IEND", b"")),
    image("without rows", png(8, 8)),
    image("of 65535 x 65535 pixels", png(65535, 65535, ROWS)),
    image("of 2^31 - 1 pixels a side", png(2**31 - 1, 2**31 - 1, ROWS)),
    image("of 2^32 - 1 pixels a side", png(2**32 - 1, 2**32 - 1, ROWS)),
    image("of 20000 x 20000 pixels", png(20000, 20000, ROWS)),
    image("of zero width", png(0, 8, ROWS)),
    image("of zero height", png(8, 0, ROWS)),
    image("of depth 3", png(8, 8, ROWS * 8, depth=3)),
    image("of colour 5", png(8, 8, ROWS * 8, colour=5)),
    image("of a palette without a palette", png(8, 8, (b"\0" + b"\1" * 8) * 8, colour=3)),
    image("of an unknown filter", png(8, 8, (b"\x09" + b"\0" * 24) * 8)),
    image("bomb", png(8, 8, packed=zeros()), None),
    image("interlaced without data", png(8, 8, b"", interlace=1)),
    image("with a text bomb", png(8, 8, ROWS * 8, extra=chunk(b"zTXt", b"a\0\0" + zeros())), None),
    image("with a profile bomb", png(8, 8, ROWS * 8, extra=chunk(b"iCCP", b"a\0\0" + zeros())), None),
    image("with a chunk of 2^31 bytes", SIGNATURE + struct.pack(">I", 2**31) + b"IHDR"),
    image("with 100,000 chunks", png(8, 8, ROWS * 8, extra=chunk(b"tEXt", b"a\0b") * 100_000), None),
    image("with an animation", png(8, 8, ROWS * 8, extra=chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0))), None),
    of_picture("cut short", lambda content: content[: len(content) // 2]),
    of_picture("with a wrong checksum", lambda content: content[:30] + b"\0\0" + content[32:]),
    of_picture("with bytes behind it", lambda content: content + b"\0" * 1000, None),
    image("jpeg of the start alone", b"\xff\xd8", ending="jpg"),
    image("jpeg of 65500 x 65500 pixels", jpeg(65500, 65500), ending="jpg"),
    image("jpeg of zero height", jpeg(8, 0), ending="jpg"),
    image("jpeg without data", jpeg(8, 8), ending="jpg"),
    image("jpeg of 255 components", jpeg(8, 8, 255), ending="jpg"),
    image("jpeg of markers", b"\xff\xd8" + b"\xff\xe1\xff\xff" * 1000, ending="jpg"),
    image("jpeg of zeros", b"\xff\xd8\xff" + b"\0" * 100_000, ending="jpg"),
    Case("image an endless device", [*SCORE, "bad.png"], links("bad.png", "/dev/zero")),
    Case("image a link to itself", [*SCORE, "bad.png"], links("bad.png", "bad.png")),
    Case("image an odd name", [*SCORE, "."], odd_name, None),
    Case("image folder with a loop", [*SCORE, "album"], loop, True),
    Case("image folder without images", [*SCORE, "model"]),
    Case("image nothing", SCORE),
]
