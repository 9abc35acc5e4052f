"""Writes `jpeg.json`: size and CRC-32 of what Pillow encodes, for patterns that the test makes
anew by the same integer formulas, and for the face pictures beside this file.

    python -m venv /tmp/pillow && /tmp/pillow/bin/pip install pillow==12.1.0 numpy
    /tmp/pillow/bin/python rewarder/tests/goldens/make.py

The faces were written by `cargo run --release -p ddpo-rewarder --example golden_faces`.
"""

import io
import json
import pathlib
import zlib

import numpy
import PIL
from PIL import Image

HERE = pathlib.Path(__file__).parent
SIZES = [
    (1, 1), (1, 2), (2, 1), (7, 3), (8, 8), (15, 16), (16, 16), (17, 31), (31, 17), (32, 32),
    (33, 33), (100, 1), (1, 100), (63, 65), (64, 64), (128, 128), (255, 257), (256, 256),
]


def mixed(index):
    """splitmix64 of a counter, as in `tests/jpeg.rs`."""
    mask = (1 << 64) - 1
    z = (index * 0x9E3779B97F4A7C15) & mask
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & mask
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & mask
    return z ^ (z >> 31)


def level(pattern, x, y, c, width, height):
    noise = mixed((y * width + x) * 3 + c + 1) >> 56
    ramp = [
        x * 255 // max(1, width - 1),
        y * 255 // max(1, height - 1),
        (x + y) * 255 // max(1, width + height - 2),
    ][c]
    return {
        "flat": [200, 90, 40][c],
        "ramp": ramp,
        "stripes": (x // 3 + y // 5) % 2 * 170 + 40 * c,
        "grain": ramp // 2 + noise // 4,
        "noise": noise,
    }[pattern]


def encoded(image):
    buffer = io.BytesIO()
    image.save(buffer, format="JPEG", quality=95)
    return {"bytes": len(buffer.getvalue()), "crc32": zlib.crc32(buffer.getvalue())}


def main():
    assert PIL.__version__ == "12.1.0", PIL.__version__
    lines = []
    for pattern in ["flat", "ramp", "stripes", "grain", "noise"]:
        for width, height in SIZES:
            pixels = [
                [[level(pattern, x, y, c, width, height) for c in range(3)] for x in range(width)]
                for y in range(height)
            ]
            image = Image.fromarray(numpy.array(pixels, dtype=numpy.uint8))
            case = {"pattern": pattern, "width": width, "height": height}
            lines.append(json.dumps(case | encoded(image)))
    for path in sorted(HERE.glob("*.png")):
        image = Image.open(path).convert("RGB")
        case = {"pattern": path.name, "width": image.width, "height": image.height}
        lines.append(json.dumps(case | encoded(image)))
    (HERE / "jpeg.json").write_text("[\n" + ",\n".join(lines) + "\n]\n")


main()
