"""Makes the files beside it and `expected.json`: what Pillow's convert("RGB") reads in each.

    python -m venv /tmp/pillow && /tmp/pillow/bin/pip install pillow==12.1.0 numpy
    /tmp/pillow/bin/python crates/picture/tests/goldens/make.py
"""

import json
import pathlib
import struct
import zlib

import numpy
import PIL
from PIL import Image

HERE = pathlib.Path(__file__).parent
WIDTH, HEIGHT = 7, 5


def levels(channels, top):
    """A smooth pattern with every channel different, `[H, W, C]` in `[0, top]`."""
    y, x, c = numpy.meshgrid(
        numpy.arange(HEIGHT), numpy.arange(WIDTH), numpy.arange(channels), indexing="ij"
    )
    unit = (numpy.sin(0.7 * x + 0.4 * y + 1.3 * c) + 1) / 2
    return numpy.round(unit * top).astype(numpy.uint32)


def raw_png(path, depth, colour, rows, extra=b""):
    """Writes a PNG of a kind that Pillow itself does not write."""

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", WIDTH, HEIGHT, depth, colour, 0, 0, 0)
    data = zlib.compress(b"".join(b"\0" + row for row in rows))
    parts = [chunk(b"IHDR", header), extra, chunk(b"IDAT", data), chunk(b"IEND", b"")]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))


def main():
    assert PIL.__version__ == "12.1.0", PIL.__version__
    eight = lambda channels: levels(channels, 255).astype(numpy.uint8)
    rgb = Image.fromarray(eight(3))
    rgb.save(HERE / "rgb.png")
    Image.fromarray(eight(4), "RGBA").save(HERE / "alpha.png")
    Image.fromarray(eight(1)[:, :, 0], "L").save(HERE / "grey.png")
    Image.fromarray(eight(2), "LA").save(HERE / "grey-alpha.png")
    Image.fromarray(eight(1)[:, :, 0], "L").convert("1").save(HERE / "bits.png")
    rgb.quantize(5).save(HERE / "palette.png")
    rgb.quantize(5).save(HERE / "palette-transparent.png", transparency=2)
    wide = lambda channels: [row.astype(">u2").tobytes() for row in levels(channels, 65535)]
    raw_png(HERE / "grey-16.png", 16, 0, [r.astype(">u2").tobytes() for r in levels(1, 400)])
    raw_png(HERE / "rgb-16.png", 16, 2, wide(3))
    raw_png(HERE / "grey-alpha-16.png", 16, 4, wide(2))
    raw_png(HERE / "alpha-16.png", 16, 6, wide(4))
    big = Image.fromarray(eight(3)).resize((29, 23), Image.Resampling.BICUBIC)
    big.save(HERE / "default.jpg")
    big.save(HERE / "progressive.jpg", quality=90, progressive=True)
    big.save(HERE / "full-chroma.jpeg", quality=80, subsampling=0)
    big.save(HERE / "half-chroma.jpg", quality=80, subsampling=1)
    big.convert("L").save(HERE / "grey.jpg")
    big.convert("CMYK").save(HERE / "refused-cmyk.jpg")

    expected = {}
    for path in sorted(HERE.iterdir()):
        if path.suffix in {".png", ".jpg", ".jpeg"} and not path.name.startswith("refused"):
            read = Image.open(path).convert("RGB")
            pixels = numpy.asarray(read).flatten().tolist()
            expected[path.name] = {"width": read.width, "height": read.height, "pixels": pixels}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(one)}" for name, one in expected.items())
    (HERE / "expected.json").write_text("{\n" + lines + "\n}\n")


main()
