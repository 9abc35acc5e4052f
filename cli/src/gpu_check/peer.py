"""Times diffusers' UNet2DModel in PyTorch, eager and compiled: JSON in on standard input, JSON lines out."""

import json
import statistics
import sys
import time

import torch
from diffusers import UNet2DModel

asked = json.load(sys.stdin)
device = torch.device(asked["device"])
on_gpu = device.type == "cuda"
torch.use_deterministic_algorithms(False)


def synchronise():
    if on_gpu:
        torch.cuda.synchronize(device)


def timed(run):
    for _ in range(3):
        run()
    synchronise()
    times, start = [], time.perf_counter()
    while len(times) < 3 or (time.perf_counter() - start < asked["seconds"] and len(times) < 200):
        one = time.perf_counter()
        run()
        synchronise()
        times.append(time.perf_counter() - one)
    return times


def passes(unet, batch, training):
    config = unet.config
    x = torch.randn(batch, config.in_channels, config.sample_size, config.sample_size, device=device, dtype=unet.dtype)
    x = x.to(memory_format=torch.channels_last)
    t = torch.full((batch,), 500, device=device)

    def forward():
        with torch.no_grad():
            unet(x, t).sample

    def train():
        unet(x, t).sample.float().square().mean().backward()

    return train if training else forward


for dtype in asked["arithmetics"]:
    kind = torch.bfloat16 if dtype == "bf16" else torch.float32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = dtype == "tf32"
    unet = UNet2DModel.from_config(asked["config"]).to(device, kind).to(memory_format=torch.channels_last)
    for program in ["pytorch", "pytorch_compiled"] if asked["compile"] else ["pytorch"]:
        network = torch.compile(unet) if program == "pytorch_compiled" else unet
        for batch in asked["batches"]:
            for training in [False, True]:
                answer = {"program": program, "arithmetic": dtype, "batch": batch, "training": training}
                try:
                    times = timed(passes(network, batch, training))
                    answer |= {"seconds": statistics.median(times), "range": [min(times), max(times)], "passes": len(times)}
                except Exception as error:
                    answer["failure"] = str(error).splitlines()[0]
                print(json.dumps(answer), flush=True)
