"""The peer of `ddpo sample --num-samples 1` from a cold start: load a pipeline, save one image."""

import argparse
import pathlib

import torch
from diffusers import DDIMPipeline

parser = argparse.ArgumentParser()
parser.add_argument("--ckpt")
parser.add_argument("--steps", type=int)
parser.add_argument("--threads", type=int)
parser.add_argument("--out", type=pathlib.Path)
arguments = parser.parse_args()

torch.set_num_threads(arguments.threads)
pipeline = DDIMPipeline.from_pretrained(arguments.ckpt)
image = pipeline(num_inference_steps=arguments.steps, eta=1.0, generator=torch.Generator().manual_seed(0)).images[0]
arguments.out.mkdir(parents=True, exist_ok=True)
image.save(arguments.out / "000000.png")
