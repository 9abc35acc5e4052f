"""Compares a TorchScript reward with the same module in PyTorch."""

import csv

import numpy
import pytest
import torch
from PIL import Image
from torch import nn

LIMIT = 1e-5
SIZES = [(12, 12), (13, 17), (12, 12), (40, 9), (12, 12)]


class Network(nn.Module):
    """Layers that training and evaluation compute differently, and a loop that only a script keeps."""

    def __init__(self, levels: bool):
        super().__init__()
        self.levels = levels
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.GELU(), nn.Dropout(0.5))
        self.rest = nn.ModuleList([nn.Conv2d(8, 8, 3, padding=1) for _ in range(3)])
        self.head = nn.Linear(8, 1)

    def forward(self, x):
        if self.levels:
            x = x.float() / 255
        x = self.first(x)
        for layer in self.rest:
            if bool(x.mean() > 0):
                x = x + layer(x).tanh()
        return self.head(x.mean((2, 3)))


def write_pictures(folder):
    rng = numpy.random.default_rng(3)
    folder.mkdir()
    for index, (width, height) in enumerate(SIZES):
        pixels = rng.integers(0, 256, (height, width, 3)).astype(numpy.uint8)
        Image.fromarray(pixels).save(folder / f"{index}.png")
    return sorted(folder.iterdir())


def randomize(module):
    torch.manual_seed(4)
    with torch.no_grad():
        for tensor in module.state_dict().values():
            if tensor.is_floating_point():
                tensor.copy_(torch.rand_like(tensor) + 0.1)
        for name, tensor in module.named_parameters():
            tensor.copy_(torch.randn_like(tensor) * 0.3)


@pytest.mark.parametrize("levels", [True, False], ids=["levels", "float"])
def test_torchscript_scores_equal_those_of_pytorch(levels, ddpo, gaps, tmp_path):
    """Compares `ddpo score` on a file saved in training mode with the module in evaluation mode."""
    module = Network(levels)
    randomize(module)
    torch.jit.script(module.train()).save(str(tmp_path / "reward.pt"))
    pictures = write_pictures(tmp_path / "pictures")
    source = f"torchscript:{tmp_path / 'reward.pt'}" + ("" if levels else "?input=float")
    printed = ddpo("score", "--reward", source, "--device", "cpu", tmp_path / "pictures")
    found = {line["image"]: float(line["reward"]) for line in csv.DictReader(printed.splitlines())}
    module.eval()
    for path in pictures:
        pixels = torch.from_numpy(numpy.asarray(Image.open(path)).copy()).permute(2, 0, 1)[None]
        with torch.no_grad():
            expected = module(pixels if levels else pixels.float() / 255).item()
        gaps.limit("score", abs(found[str(path)] - expected) / max(1.0, abs(expected)), LIMIT)
