"""Compares the sizes that `ddpo score --task "jpeg incompressibility"` prints with Pillow's.

    .venv/bin/python tests/parity/jpeg.py --ddpo target/release/ddpo [--folder DIR]

Draws images of many kinds and sizes into a folder, scores the folder with ddpo, encodes the
same files with Pillow 12.1.0 at quality 95, and compares to the byte. Ends with 1 and names the
images if any differ.
"""

import argparse
import csv
import io
import pathlib
import subprocess
import sys
import tempfile

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
    return f"{len(buffer.getvalue()) / 1000:.3f}"


def ddpo_kilobytes(ddpo, folder):
    command = [ddpo, "score", "--task", "jpeg incompressibility", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    if done.returncode != 0:
        sys.exit(f"jpeg: {' '.join(command)} ended with {done.returncode}\n{done.stderr}")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    if not rows or list(rows[0]) != ["image", "reward", "jpeg_kilobytes"]:
        sys.exit(f"jpeg: expected the columns image,reward,jpeg_kilobytes, found\n{done.stdout[:400]}")
    return {pathlib.Path(row["image"]).name: row["reward"] for row in rows}


def same(found, expected):
    """Compares kilobytes to the byte, whatever the number of decimals printed."""
    try:
        return f"{float(found):.3f}" == expected
    except (TypeError, ValueError):
        return False


def compare(ddpo, folder):
    """Draws into the empty folder and compares; gives the numbers of images and of equals."""
    draw(folder)
    paths = sorted(folder.iterdir())
    found = ddpo_kilobytes(ddpo, folder)
    equal = 0
    for path in paths:
        expected = pillow_kilobytes(path)
        if same(found.get(path.name), expected):
            equal += 1
        else:
            print(f"jpeg: {path.name}: expected {expected} kB, found {found.get(path.name)}")
    if len(found) != len(paths):
        print(f"jpeg: expected {len(paths)} rows, found {len(found)}")
        equal = min(equal, len(paths) - 1)
    return len(paths), equal


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ddpo", required=True, help="the ddpo binary")
    parser.add_argument("--folder", help="where to put the folder of images; it is removed after")
    arguments = parser.parse_args()
    if PIL.__version__ != PILLOW:
        sys.exit(f"jpeg: expected Pillow {PILLOW}, found {PIL.__version__}")
    with tempfile.TemporaryDirectory(prefix="jpeg-parity-", dir=arguments.folder) as folder:
        count, equal = compare(arguments.ddpo, pathlib.Path(folder))
    print(f"jpeg: {count} images, {equal} equal")
    if equal != count:
        sys.exit(1)


if __name__ == "__main__":
    main()
