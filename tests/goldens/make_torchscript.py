"""Writes torchscript/*: modules that need torch.jit.script and cannot be traced.

The format is described in README.md beside this file. Run by `make goldens`.
"""

import io
import zipfile
from typing import Dict, Tuple

import torch
from torch import Tensor, nn

from common import FOLDER, clear

OUT = FOLDER / "torchscript"


class Pair(nn.Module):
    def forward(self, x: Tensor) -> Tuple[Tensor, Tensor]:
        score = x.float().mean((1, 2, 3))
        return score, score


class Named(nn.Module):
    def forward(self, x: Tensor) -> Dict[str, Tensor]:
        return {"reward": x.float().mean((1, 2, 3))}


class Raising(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        if x.shape[2] != 8:
            raise ValueError(f"expected images of 8 pixels, found {x.shape[2]}")
        return x.float().mean((1, 2, 3))


class Training(nn.Module):
    """Returns the mean level in evaluation mode, and another value in training mode."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.BatchNorm2d(3, eps=1e-9, affine=False), nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.float()).mean((1, 2, 3))


def write(path, file):
    """Removes the debug information, which contains paths of this machine."""
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(path, "w") as target:
        for record in source.infolist():
            if not record.filename.endswith(".debug_pkl"):
                target.writestr(zipfile.ZipInfo(record.filename), source.read(record))


def main():
    OUT.mkdir(exist_ok=True)
    clear(OUT, "*.pt")
    for name, module in {"pair": Pair(), "named": Named(), "raising": Raising(), "training": Training()}.items():
        file = io.BytesIO()
        torch.jit.save(torch.jit.script(module.train()), file)
        write(OUT / f"{name}.pt", file)


if __name__ == "__main__":
    main()
