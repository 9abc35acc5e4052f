"""Compares `ddpo evaluate` with diffusers, transformers and Pillow: the reward of the predicted image at each step,
the age reward, and the features of the reward's network."""

import csv
import io
import json

import numpy
import torch
from diffusers import UNet2DModel
from PIL import Image
from safetensors.torch import load_file
from transformers import ViTForImageClassification
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from checkpoints import ddim
from commands import ROOT

MODELS = ROOT / "models"
STEPS, SAMPLES, SEED = 5, 4, 9

# A predicted level may be rounded the other way, which changes a few bytes of a file of a thousand.
KILOBYTES_LIMIT = 0.02
REWARD_LIMIT = 1e-3
FEATURE_LIMIT = 1e-4


def kilobytes(pixels):
    """Returns the size of the JPEG of levels `[H, W, 3]`."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=95)
    return buffer.tell() / 1000


def compare_path(gaps, out, states):
    """Compares rewards with the JPEG size of the image that diffusers predicts from each recorded state."""
    unet = UNet2DModel.from_pretrained(MODELS / "toy-faces-32" / "unet").eval()
    scheduler = ddim(MODELS / "toy-faces-32")
    scheduler.set_timesteps(STEPS)
    with open(out / "reward_trajectory.csv", newline="") as file:
        found = {(int(line["sample"]), int(line["step"])): line for line in csv.DictReader(file)}
    assert len(found) == SAMPLES * STEPS
    for step, timestep in enumerate(scheduler.timesteps):
        x_t = states[:, step]
        image = scheduler.step(unet(x_t, timestep).sample, timestep, x_t, eta=0.0).pred_original_sample
        levels = ((image / 2 + 0.5).clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1).numpy()
        for sample in range(SAMPLES):
            line = found[sample, step]
            assert int(line["timestep"]) == int(timestep), f"step {step}"
            gaps.limit("path kB", abs(-float(line["jpeg compressibility"]) - kilobytes(levels[sample])), KILOBYTES_LIMIT)


def compare_network(gaps, out):
    """Compares the classifier's reward and features on the images as they were written."""
    root = MODELS / "toy-ages-32"
    model = ViTForImageClassification.from_pretrained(root).eval()
    processor = ViTImageProcessorPil.from_dict(json.loads((root / "preprocessor_config.json").read_text()))
    features = torch.from_numpy(numpy.load(out / "features" / "toy-faces-32" / "eta-1.npy"))
    with open(out / "rewards.csv", newline="") as file:
        lines = list(csv.DictReader(file))
    for line, ours in zip(lines, features, strict=True):
        image = Image.open(out / "images" / "toy-faces-32" / "eta-1" / f"{line['seed']}-{int(line['sample']):06}.png")
        pixels = processor(image.convert("RGB"), return_tensors="pt")["pixel_values"]
        seen = model.vit(pixels).last_hidden_state[0, 0]
        gaps.limit("features", (ours - seen / seen.norm()).abs().max().item(), FEATURE_LIMIT)
        logits = model(pixels).logits[0].double()
        expected = logits[6:].logsumexp(0) - logits[:6].logsumexp(0)
        gaps.limit("reward", abs(float(line["over50 years old"]) - expected.item()), REWARD_LIMIT)
        gaps.limit("file kB", abs(-float(line["jpeg compressibility"]) - kilobytes(numpy.asarray(image.convert("RGB")))), 1e-6)


@torch.inference_mode()
def test_evaluate_agrees_with_diffusers_and_transformers(ddpo, gaps, tmp_path):
    out, drawn = tmp_path / "out", tmp_path / "drawn"
    common = ["--num-samples", SAMPLES, "--num-inference-steps", STEPS, "--batch-size", SAMPLES, "--device", "cpu",
              "--threads", 2, "--eta", 1]  # fmt: skip
    ddpo("evaluate", "toy-faces-32", "--out", out, "--seeds", SEED, "--reward", "over50", "--reward", "jpeg compressibility",
         "--reward-model", "toy-ages-32", "--age-reward", "log-odds", *common)  # fmt: skip
    ddpo("sample", "--ddpm-ckpt", "toy-faces-32", "--out", drawn, "--seed", SEED, "--save-trajectories", *common)
    compare_path(gaps, out, load_file(drawn / "trajectories.safetensors")["states"])
    compare_network(gaps, out)
