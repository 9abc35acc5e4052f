"""Writes upstream checkpoints (alcazar90/ddpo-celebahq) with the real classes.

`upstream_checkpoint/base/` is a small checkpoint of diffusers', `new.pth` and `old.pth` are `torch.save` of the dictionary with
weights, AdamW after a few steps and the best reward: one as its program wrote it at first, and one as later versions
do, with the attention's old names, a value network's optimizer, and a reward that numpy computed.
`parameters.json` has the names in the order of the optimizer's numbers.
"""

import json
import shutil

import numpy
import torch
from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel

from common import FOLDER, generator, randomize
from make_unet import OLD_NAMES

HERE = FOLDER / "upstream_checkpoint"

CONFIG = {
    "sample_size": 8,
    "block_out_channels": [4, 8],
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
    "layers_per_block": 1,
    "norm_num_groups": 2,
    "attention_head_dim": 4,
}


def trained(unet, optimizer, steps, seed):
    """Takes `steps` steps with random gradients, which suffice for a golden."""
    draw = generator(seed)
    for _ in range(steps):
        for parameter in unet.parameters():
            parameter.grad = torch.randn(parameter.shape, generator=draw)
        optimizer.step()


def old_name(name):
    for new, old in OLD_NAMES.items():
        if ".attentions." in name:
            name = name.replace(f".{new}.", f".{old}.")
    return name


def main():
    shutil.rmtree(HERE, ignore_errors=True)
    HERE.mkdir()
    unet = UNet2DModel(**CONFIG)
    randomize(unet, generator(31))
    DDPMPipeline(unet, DDPMScheduler()).save_pretrained(HERE / "base")
    names = [name for name, _ in unet.named_parameters()]
    (HERE / "parameters.json").write_text(json.dumps(names, indent=0) + "\n")

    optimizer = torch.optim.AdamW(unet.parameters(), lr=3e-4, weight_decay=1e-4)
    trained(unet, optimizer, 3, 32)
    state = unet.state_dict()
    torch.save(
        {"model_state_dict": state, "optimizer_state_dict": optimizer.state_dict(), "best_reward": -12.5},
        HERE / "new.pth",
    )
    value = torch.nn.Linear(3, 1)
    value_optimizer = torch.optim.Adam(value.parameters())
    value(torch.ones(1, 3)).sum().backward()
    value_optimizer.step()
    trained(unet, optimizer, 2, 33)
    torch.save(
        {
            "model_state_dict": {old_name(name): tensor for name, tensor in unet.state_dict().items()},
            "policy_optimizer_state_dict": optimizer.state_dict(),
            "value_optimizer_state_dict": value_optimizer.state_dict(),
            "best_reward": numpy.float64(5.58),
        },
        HERE / "old.pth",
    )


if __name__ == "__main__":
    main()
