"""Writes pixels.json: the 8-bit levels that each reward of alcazar90/ddpo-celebahq sees, by torch and numpy.

The format is described in README.md beside this file. Run by `make goldens`.
"""

import json

import numpy
import torch

from common import FOLDER, generator

BOUNDS = [0.0, -0.0, 1.0, -1.0, 0.5, -0.5, 1.5, -1.5, 2.0, -2.0, 1e6, -1e6, 1e-6, -1e-6, 1e-38]


def neighbours(values):
    """Returns f32 values with their next smaller and next larger ones."""
    values = numpy.asarray(values, dtype=numpy.float32)
    return numpy.concatenate([values, numpy.nextafter(values, -numpy.inf), numpy.nextafter(values, numpy.inf)])


def states():
    """Returns f32 values: around whole and half levels of both ranges, around their bounds, and random."""
    levels = numpy.arange(-1, 257, 4)
    marks = numpy.concatenate([levels, levels + 0.5]) / 255
    random = torch.randn(200, generator=generator(17)).numpy()
    return torch.from_numpy(numpy.concatenate([neighbours(BOUNDS), neighbours(marks), neighbours(marks * 2 - 1), random]))


def aesthetic(x):
    """Half to even, by numpy, on f32."""
    unit = torch.clamp(x * 0.5 + 0.5, 0, 1)
    return numpy.round(unit.numpy() * 255).astype(numpy.uint8)


def ages(x):
    """No rounding: the conversion to 8 bits drops the fraction."""
    unit = torch.clip(x, -1, 1) * 0.5 + 0.5
    return (unit * 255).numpy().astype("uint8")


def jpeg(x):
    """Half to even, by torch, from [0, 1]."""
    return torch.round(x * 255).clamp(0, 255).to(torch.uint8).numpy()


def main():
    x = states()
    bits = x.numpy().view(numpy.uint32).tolist()
    levels = {name.__name__: name(x).tolist() for name in (aesthetic, ages, jpeg)}
    lines = [f' "{name}": {json.dumps(values)}' for name, values in {"bits": bits, **levels}.items()]
    (FOLDER / "pixels.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")


if __name__ == "__main__":
    main()
