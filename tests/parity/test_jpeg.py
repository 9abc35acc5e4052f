"""Compares the sizes that `ddpo score --task "jpeg incompressibility"` prints with Pillow's, to the byte, over images
of many kinds and sizes."""

import csv
import io
import pathlib

import numpy
import PIL
from PIL import Image, ImageDraw

PILLOW = "12.1.0"
SIZES = [
    (1, 1), (1, 2), (2, 1), (3, 7), (8, 8), (9, 8), (15, 17), (16, 16), (17, 31), (31, 17),
    (32, 32), (33, 31), (1, 90), (90, 1), (64, 64), (65, 63), (100, 37), (128, 128), (200, 150),
    (256, 256), (257, 255), (24, 24), (48, 40), (511, 300), (512, 512),
]


def flat(rng, width, height):
    return numpy.broadcast_to(rng.integers(0, 256, 3), (height, width, 3))


def gradient(rng, width, height):
    y, x = numpy.mgrid[0:height, 0:width]
    slopes = rng.uniform(-4, 4, (2, 3))
    start = rng.uniform(0, 255, 3)
    return start + x[..., None] * slopes[0] + y[..., None] * slopes[1]


def noise(rng, width, height):
    return rng.integers(0, 256, (height, width, 3))


def grain(rng, width, height):
    return gradient(rng, width, height) + rng.normal(0, 12, (height, width, 3))


def clouds(rng, width, height):
    coarse = rng.integers(0, 256, (max(2, height // 8), max(2, width // 8), 3))
    image = Image.fromarray(coarse.astype(numpy.uint8))
    return numpy.asarray(image.resize((width, height), Image.Resampling.BICUBIC))


def stripes(rng, width, height):
    y, x = numpy.mgrid[0:height, 0:width]
    period = int(rng.integers(2, 9))
    first, second = rng.integers(0, 256, (2, 3))
    return numpy.where(((x + 2 * y) // period % 2)[..., None] == 0, first, second)


def face(rng, width, height):
    image = Image.new("RGB", (width, height), tuple(rng.integers(0, 256, 3).tolist()))
    pen = ImageDraw.Draw(image)

    def oval(x, y, rx, ry, colour):
        box = [(x - rx) * width, (y - ry) * height, (x + rx) * width, (y + ry) * height]
        pen.ellipse(box, fill=tuple(colour))

    hair, skin = rng.integers(0, 120, 3).tolist(), rng.integers(120, 256, 3).tolist()
    oval(0.5, 0.45, 0.34, 0.4, hair)
    oval(0.5, 0.52, 0.28, 0.36, skin)
    for side in (-0.11, 0.11):
        oval(0.5 + side, 0.48, 0.06, 0.045, (250, 250, 250))
        oval(0.5 + side, 0.48, 0.03, 0.03, (40, 30, 30))
    oval(0.5, 0.7, 0.1, 0.03, (180, 60, 60))
    return numpy.asarray(image)


KINDS = [flat, gradient, noise, grain, clouds, stripes, face]


def draw(folder):
    """Writes the images: every kind in every size, then other file formats."""
    rng = numpy.random.default_rng(20260)
    for width, height in SIZES:
        for kind in KINDS:
            levels = numpy.clip(numpy.round(kind(rng, width, height)), 0, 255)
            image = Image.fromarray(levels.astype(numpy.uint8))
            image.save(folder / f"{kind.__name__}-{width}x{height}.png")
    for number in range(5):
        image = Image.fromarray(clouds(rng, 61 + number, 47).astype(numpy.uint8))
        image.save(folder / f"read-{number}.jpg", quality=60 + 8 * number)
        image.save(folder / f"read-{number}.jpeg", quality=90, subsampling=number % 3)
        image.save(folder / f"progressive-{number}.jpg", progressive=True)
        image.convert("L").save(folder / f"grey-{number}.png")
        image.quantize(8 + number).save(folder / f"palette-{number}.png")
        alpha = image.copy()
        alpha.putalpha(Image.fromarray(clouds(rng, 61 + number, 47)[..., 0].astype(numpy.uint8)))
        alpha.save(folder / f"alpha-{number}.png")


def pillow_kilobytes(path):
    buffer = io.BytesIO()
    Image.open(path).convert("RGB").save(buffer, format="JPEG", quality=95)
    return len(buffer.getvalue()) / 1000


def test_jpeg_sizes_equal_those_of_pillow(ddpo, gaps, tmp_path):
    assert PIL.__version__ == PILLOW
    draw(tmp_path)
    rows = csv.DictReader(io.StringIO(ddpo("score", "--task", "jpeg incompressibility", tmp_path)))
    assert rows.fieldnames == ["image", "reward", "jpeg_kilobytes"]
    # Compared to the byte, whatever the number of decimals printed.
    found = {pathlib.Path(row["image"]).name: round(float(row["reward"]), 3) for row in rows}
    assert found == {path.name: pillow_kilobytes(path) for path in tmp_path.iterdir()}
    gaps.note("images", len(found))
