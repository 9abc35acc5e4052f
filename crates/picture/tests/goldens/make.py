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


def other_formats(rgb, big, eight):
    """WebP, GIF, BMP and TIFF; `tests/parity/test_pictures.py` compares more kinds."""
    alpha = Image.fromarray(eight(4), "RGBA")
    big.save(HERE / "lossy.webp", quality=60)
    alpha.save(HERE / "lossless.webp", lossless=True, exact=True)
    frames = [alpha, alpha.transpose(Image.Transpose.ROTATE_180)]
    frames[0].save(HERE / "animated.webp", save_all=True, append_images=frames[1:], lossless=True)
    palette = rgb.quantize(5)
    palette.save(HERE / "frame.gif", transparency=1, interlace=True)
    small = palette.crop((1, 1, 5, 4))
    small.save(HERE / "offset.gif")
    # The first frame covers a part of the screen.
    data = bytearray((HERE / "offset.gif").read_bytes())
    data[6:10] = struct.pack("<HH", WIDTH, HEIGHT)
    at = data.index(b",\0\0\0\0")
    data[at + 1 : at + 5] = struct.pack("<HH", 2, 1)
    (HERE / "offset.gif").write_bytes(data)
    rgb.save(HERE / "rgb.bmp")
    alpha.save(HERE / "alpha.bmp")
    palette.save(HERE / "palette.bmp")
    rgb.convert("1").save(HERE / "bits.bmp")
    runs = palette.convert("P")
    rgb.save(HERE / "lzw.tif", compression="tiff_lzw", tiffinfo={317: 2})
    alpha.save(HERE / "deflate.tiff", compression="tiff_adobe_deflate")
    runs.save(HERE / "packbits.tif", compression="packbits")
    Image.fromarray(levels(1, 400)[:, :, 0].astype(numpy.uint16)).save(HERE / "grey-16.tif")
    rgb.convert("CMYK").save(HERE / "cmyk.tif")
    rgb.save(HERE / "turned.tif", tiffinfo={274: 6})


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
    big.convert("CMYK").save(HERE / "cmyk.jpg")
    other_formats(rgb, big, eight)

    expected = {}
    for path in sorted(HERE.iterdir()):
        if path.suffix not in {".py", ".json"}:
            read = Image.open(path).convert("RGB")
            pixels = numpy.asarray(read).flatten().tolist()
            expected[path.name] = {"width": read.width, "height": read.height, "pixels": pixels}
    lines = ",\n".join(f"{json.dumps(name)}: {json.dumps(one)}" for name, one in expected.items())
    (HERE / "expected.json").write_text("{\n" + lines + "\n}\n")


main()
