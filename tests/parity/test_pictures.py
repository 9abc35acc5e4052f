"""Compares the pixels of image files with Pillow's `Image.open(...).convert("RGB")`: every level must be equal.

Pillow writes the files; kinds that it reads but does not write are made from its files or byte by byte. The example
`pixels` of ddpo-picture reads them.
"""

import io
import struct
import warnings

import numpy
import pytest
from PIL import Image, ImageOps

from commands import run

RNG = numpy.random.default_rng(11)
# Width and height: even, odd, one pixel, long.
SIZES = [(32, 24), (31, 17), (1, 1), (3, 90), (64, 65)]


def picture(mode, size):
    """Smooth waves with noise, so that every compression has something to do."""
    width, height = size
    channels = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4, "CMYK": 4}[mode]
    y, x, c = numpy.mgrid[0:height, 0:width, 0:channels]
    levels = 128 + 90 * numpy.sin(0.21 * x + 0.13 * y + 1.7 * c) + RNG.normal(0, 12, x.shape)
    levels = numpy.clip(levels, 0, 255).astype(numpy.uint8)
    return Image.fromarray(levels[..., 0] if channels == 1 else levels, mode)


def webp(folder):
    for number, size in enumerate(SIZES):
        picture("RGB", size).save(folder / f"lossy-{number}.webp", quality=[10, 50, 80, 95, 30][number], method=number % 7)
        picture("RGBA", size).save(folder / f"lossy-alpha-{number}.webp", quality=60, alpha_quality=[100, 50][number % 2])
        picture("RGB", size).save(folder / f"lossless-{number}.webp", lossless=True, quality=[0, 40, 100][number % 3])
        picture("RGBA", size).save(folder / f"lossless-alpha-{number}.webp", lossless=True, exact=bool(number % 2))
    palette = picture("RGB", (40, 30)).quantize(9)
    palette.convert("RGB").save(folder / "lossless-palette.webp", lossless=True)
    frames = [picture("RGBA", (40, 30)) for _ in range(3)]
    frames[0].save(folder / "animated.webp", save_all=True, append_images=frames[1:], duration=40, lossless=True)
    frames[0].save(folder / "animated-lossy.webp", save_all=True, append_images=frames[1:], duration=40, quality=70)
    opaque = [picture("RGB", (33, 21)) for _ in range(2)]
    opaque[0].save(folder / "animated-opaque.webp", save_all=True, append_images=opaque[1:], quality=70)
    offset_webp(folder / "animated-offset.webp", frames[0].crop((0, 0, 20, 10)), (40, 30), (6, 8))


def offset_webp(path, image, canvas, place):
    """An animation whose first frame is a part of the canvas."""
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", lossless=True, exact=True)
    still = buffer.getvalue()
    at = still.index(b"VP8L")
    three = lambda value: struct.pack("<I", value)[:3]
    chunk = lambda name, data: name + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)
    sides = three(image.width - 1) + three(image.height - 1)
    frame = three(place[0] // 2) + three(place[1] // 2) + sides + three(40) + b"\0" + still[at:]
    body = chunk(b"VP8X", struct.pack("<I", 0x12) + three(canvas[0] - 1) + three(canvas[1] - 1))
    body += chunk(b"ANIM", struct.pack("<IH", 0xFF336699, 0)) + chunk(b"ANMF", frame)
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body)


def gif(folder):
    for number, size in enumerate(SIZES):
        image = picture("RGB", size).quantize([2, 7, 256, 31, 100][number])
        image.save(folder / f"palette-{number}.gif", interlace=number % 2)
    picture("L", (30, 20)).save(folder / "grey.gif")
    image = picture("RGB", (30, 20)).quantize(12)
    image.save(folder / "transparent.gif", transparency=3)
    frames = [picture("RGB", (30, 20)).quantize(20) for _ in range(3)]
    frames[0].save(folder / "animated.gif", save_all=True, append_images=frames[1:], disposal=2, loop=0)
    data = bytearray((folder / "transparent.gif").read_bytes())
    data[6:10] = struct.pack("<HH", 41, 33)
    at = data.rindex(b",\0\0\0\0" + struct.pack("<HH", 30, 20))
    data[at + 1 : at + 5] = struct.pack("<HH", 5, 7)
    (folder / "part-of-the-screen.gif").write_bytes(data)
    data[6:10] = struct.pack("<HH", 10, 10)
    (folder / "beyond-the-screen.gif").write_bytes(data)


def bmp(folder):
    for number, size in enumerate(SIZES):
        picture("RGB", size).save(folder / f"rgb-{number}.bmp")
        picture("RGB", size).quantize([5, 16, 256, 3, 77][number]).save(folder / f"palette-{number}.bmp")
    picture("L", (31, 20)).save(folder / "grey.bmp")
    picture("L", (31, 20)).convert("1").save(folder / "bits.bmp")
    picture("RGBA", (31, 20)).save(folder / "alpha.bmp")
    numbers = RNG.integers(0, 1 << 16, (20, 32), dtype=numpy.uint16)
    raw_bmp(folder / "15-bits.bmp", 32, 20, 16, numbers.tobytes())
    raw_bmp(folder / "16-bits.bmp", 32, 20, 16, numbers.tobytes(), masks=(0xF800, 0x7E0, 0x1F))
    wide = RNG.integers(0, 1 << 32, (20, 32), dtype=numpy.uint32).tobytes()
    raw_bmp(folder / "32-bits.bmp", 32, 20, 32, wide)
    raw_bmp(folder / "32-bits-top-down.bmp", 32, -20, 32, wide, masks=(0xFF000000, 0xFF0000, 0xFF00))
    raw_bmp(folder / "32-bits-rest.bmp", 32, 20, 32, wide, masks=(0xFF000000, 0xFF00, 0xFF))
    colours = RNG.integers(0, 256, (16, 4), dtype=numpy.uint8).tobytes()
    nibbles = RNG.integers(0, 256, (20, 16), dtype=numpy.uint8)
    raw_bmp(folder / "4-bits.bmp", 32, 20, 4, nibbles.tobytes(), colours=colours)
    raw_bmp(folder / "4-bits-odd.bmp", 31, 20, 4, nibbles.tobytes(), colours=colours)
    runs = bytes([5, 1, 0, 3, 1, 2, 3, 0, 4, 7, 0, 0, 12, 9, 0, 0, 0, 4, 3, 4, 5, 6, 8, 2, 0, 1])
    raw_bmp(folder / "runs-8.bmp", 12, 3, 8, runs, colours=colours, compression=1)
    runs = bytes([5, 0x12, 0, 6, 0x12, 0x34, 0x56, 0, 1, 7, 0, 0, 12, 0x9A, 0, 0, 0, 4, 0x34, 0x56, 8, 0x21, 0, 1])
    raw_bmp(folder / "runs-4.bmp", 12, 3, 4, runs, colours=colours, compression=2)


def raw_bmp(path, width, height, bits, data, masks=(), colours=b"", compression=0):
    """A BMP of a kind that Pillow does not write."""
    extra = struct.pack(f"<{len(masks)}I", *masks) + colours
    start = 14 + 40 + len(extra)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, 3 if masks else compression, len(data), 2835, 2835,
                         len(colours) // 4, 0)  # fmt: skip
    path.write_bytes(b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + header + extra + data)


def tiff(folder):
    for number, size in enumerate(SIZES):
        compression = ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "tiff_deflate"][number]
        for mode in ["L", "LA", "RGB", "RGBA", "CMYK"]:
            picture(mode, size).save(folder / f"{mode}-{number}.tif", compression=compression)
        picture("RGB", size).quantize(40).save(folder / f"palette-{number}.tiff", compression=compression)
        picture("L", size).convert("1").save(folder / f"bits-{number}.tif", compression=compression)
        grey = Image.fromarray(RNG.integers(0, 500, size[::-1], dtype=numpy.uint16))
        grey.save(folder / f"grey-16-{number}.tif", compression=compression)
        whole = Image.fromarray(RNG.integers(-300, 600, size[::-1], dtype=numpy.int32))
        whole.save(folder / f"whole-32-{number}.tif", compression=compression)
        real = Image.fromarray(RNG.uniform(-100, 400, size[::-1]).astype(numpy.float32))
        real.save(folder / f"float-{number}.tif", compression=compression)
    for compression in ["tiff_lzw", "tiff_adobe_deflate"]:
        picture("RGB", (31, 40)).save(folder / f"differences-{compression}.tif", compression=compression, tiffinfo={317: 2})
        grey.save(folder / f"differences-16-{compression}.tif", compression=compression, tiffinfo={317: 2})
    picture("RGB", (31, 40)).save(folder / "strips.tif", compression="tiff_lzw", tiffinfo={278: 7})
    picture("L", (31, 40)).save(folder / "inverted.tif", tiffinfo={262: 0})
    for orientation in range(1, 9):
        picture("RGB", (7, 5)).save(folder / f"turned-{orientation}.tif", tiffinfo={274: orientation})
    levels = RNG.integers(0, 1 << 16, (9, 6, 4), dtype=numpy.uint16)
    for order, kind in [("<", "little"), (">", "big")]:
        samples = lambda count: levels[..., :count].astype(f"{order}u2").tobytes()
        raw_tiff(folder / f"rgb-16-{kind}.tif", order, samples(3), 3, 16, 2)
        raw_tiff(folder / f"rgba-16-{kind}.tif", order, samples(4), 4, 16, 2, {338: 2})
        raw_tiff(folder / f"premultiplied-16-{kind}.tif", order, samples(4), 4, 16, 2, {338: 1})
        raw_tiff(folder / f"cmyk-16-{kind}.tif", order, samples(4), 4, 16, 5)
    raw_tiff(folder / "grey-16-big.tif", ">", (levels[..., 0] >> 7).astype(">u2").tobytes(), 1, 16, 1)
    eight = (levels >> 8).astype(numpy.uint8)
    raw_tiff(folder / "premultiplied.tif", "<", eight.tobytes(), 4, 8, 2, {338: 1})
    raw_tiff(folder / "ignored-fourth.tif", "<", eight.tobytes(), 4, 8, 2, {338: 0})
    raw_tiff(folder / "fill-order.tif", "<", eight[..., :3].tobytes(), 3, 8, 2, {266: 2})
    raw_tiff(folder / "4-bits.tif", "<", eight[:, :3, 0].tobytes(), 1, 4, 1)
    raw_tiff(folder / "2-bits.tif", "<", eight[:, :2, 0].tobytes(), 1, 2, 1)
    raw_tiff(folder / "4-bits-inverted.tif", "<", eight[:, :3, 0].tobytes(), 1, 4, 0)
    planes = [eight[..., channel].tobytes() for channel in range(3)]
    raw_tiff(folder / "planes.tif", "<", planes, 3, 8, 2, {284: 2})
    tiles = RNG.integers(0, 256, (4, 16, 16, 3), dtype=numpy.uint8)
    raw_tiff(folder / "tiles.tif", "<", [tile.tobytes() for tile in tiles], 3, 8, 2, {322: 16, 323: 16}, size=(25, 19))


def raw_tiff(path, order, data, samples, bits, photometric, more={}, size=(6, 9)):
    """A TIFF of a kind that Pillow does not write; `data` is one strip, or a list of planes or tiles."""
    parts = data if isinstance(data, list) else [data]
    tags = {256: size[0], 257: size[1], 258: [bits] * samples, 259: 1, 262: photometric, 277: samples, 278: size[1], **more}
    starts, lengths = (324, 325) if 322 in tags else (273, 279)
    tags |= {starts: [0] * len(parts), lengths: [len(part) for part in parts]}
    tags = {tag: value if isinstance(value, list) else [value] for tag, value in sorted(tags.items())}
    behind = 8 + 2 + 12 * len(tags) + 4
    offset = behind + sum(4 * len(values) for values in tags.values() if len(values) > 1)
    tags[starts] = [offset + sum(map(len, parts[:index])) for index in range(len(parts))]
    entries = extra = b""
    for tag, values in tags.items():
        packed = struct.pack(f"{order}{len(values)}I", *values)
        place = packed if len(values) == 1 else struct.pack(f"{order}I", behind + len(extra))
        extra += packed if len(values) > 1 else b""
        entries += struct.pack(f"{order}HHI", tag, 4, len(values)) + place
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(tags))
    path.write_bytes(head + entries + b"\0\0\0\0" + extra + b"".join(parts))


def jpeg(folder):
    for number, size in enumerate(SIZES):
        picture("CMYK", size).save(folder / f"cmyk-{number}.jpg", quality=[30, 75, 95, 85, 60][number])
        picture("RGB", size).save(folder / f"rgb-{number}.jpg", quality=80, subsampling=number % 3)


def turned(folder):
    """Files with EXIF data that turn the image."""
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[274] = orientation
        for end, options in [("jpg", {"quality": 90}), ("png", {}), ("webp", {"lossless": True})]:
            picture("RGB", (11, 7)).save(folder / f"turned-{orientation}.{end}", exif=exif, **options)


@pytest.mark.parametrize("write", [webp, gif, bmp, tiff, jpeg, turned], ids=lambda write: write.__name__)
def test_pixels_are_equal_to_those_of_pillow(write, examples, gaps, tmp_path):
    written = tmp_path / "written"
    written.mkdir()
    write(written)
    for upright in [False, True] if write is turned else [False]:
        out = tmp_path / f"out-{upright}"
        out.mkdir()
        run(examples / "pixels", written, out, *["--upright"] * upright)
        paths = sorted(written.iterdir())
        for path in paths:
            with warnings.catch_warnings(action="ignore"):
                image = Image.open(path)
                image = (ImageOps.exif_transpose(image) if upright else image).convert("RGB")
            found = Image.open(out / f"{path.name}.ppm")
            assert found.size == image.size, path.name
            found, expected = (numpy.asarray(one, dtype=int) for one in (found, image))
            gaps.limit(path.suffix[1:], int(abs(found - expected).max()), 0)
            if (found != expected).any():
                gaps.note(path.name, int((found != expected).sum()))
    gaps.note("files", len(paths))


def test_kinds_are_many(gaps, tmp_path):
    for write in [webp, gif, bmp, tiff, jpeg]:
        write(tmp_path)
    files = len(list(tmp_path.iterdir()))
    gaps.note("files", files)
    assert files > 100
