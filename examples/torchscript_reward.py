"""A reward as a TorchScript file: how red an image is.

    pip install torch
    python examples/torchscript_reward.py reward.pt
    ddpo train --config examples/quickstart.toml --reward "torchscript:reward.pt?input=float" --output-dir runs/red

The module takes pixels [B, 3, H, W] from 0 to 1 and returns one score for each image, [B]. Without `?input=float` the
pixels are u8 from 0 to 255. It runs in evaluation mode on the device of the run. The same image must always have the
same score.
"""

import sys

import torch


class Redness(torch.nn.Module):
    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        means = pixels.mean(dim=(2, 3))
        return means[:, 0] - (means[:, 1] + means[:, 2]) / 2


def main(path: str) -> None:
    torch.jit.script(Redness().eval()).save(path)
    print(f"wrote {path}")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else "reward.pt")
