"""The checkpoint that most cases damage: a random UNet2DModel of 8 x 8 pixels, as a folder and as a .pth file."""

import json
import subprocess

UNET = {
    "_class_name": "UNet2DModel",
    "sample_size": 8,
    "in_channels": 3,
    "out_channels": 3,
    "block_out_channels": [8, 16],
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
    "layers_per_block": 1,
    "norm_num_groups": 4,
}


def write(binary, folder, environment):
    """Writes `model/`, `model.pth` and `picture.png` into `folder`."""

    def ddpo(*arguments):
        command = [str(binary), *map(str, arguments)]
        subprocess.run(command, check=True, cwd=folder, env=environment, stdout=subprocess.DEVNULL)

    (folder / "unet.json").write_text(json.dumps(UNET))
    ddpo("pretrain", "--unet-config", "unet.json", "--faces", 1, "--steps", 1, "--batch-size", 1, "--out", "model",
         "--device", "cpu")  # fmt: skip
    ddpo("convert", "model", "--out", "model.pth")
    ddpo("sample", "--ddpm-ckpt", "model", "--num-samples", 1, "--num-inference-steps", 2, "--device", "cpu", "--out", ".")
    (folder / "000000.png").rename(folder / "picture.png")
