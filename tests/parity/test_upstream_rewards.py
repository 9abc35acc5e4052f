"""Compares the rewards of a run with `--upstream-compat` with those of alcazar90/ddpo-celebahq: each task's conversion to
8 bits, then Pillow, transformers and PyTorch."""

import csv
import io
import json

import numpy
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection, ViTForImageClassification
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from checkpoints import SMALL, Case, write_checkpoint
from commands import ROOT
from vision import CLIP_OLD, TINY, Head, VisionCase, generator, randomize, save

REWARD_LIMIT = 1e-4
SAMPLES = 4
STEPS = 5
SEED = 17
AGES = ROOT / "models" / "toy-ages-32"

# Without clipping, so that images leave [-1, 1].
CHECKPOINT = Case("free", SMALL, {"clip_sample": False, "beta_end": 0.002})
CLIP = VisionCase("clip-768", "clip", TINY | {"projection_dim": 768}, CLIP_OLD | {"size": 32, "crop_size": 32})


def jpeg_levels(x):
    """Maps [0, 1] to 8 bits."""
    return torch.round(x * 255).clamp(0, 255).to(torch.uint8).permute(1, 2, 0).numpy()


def age_levels(x):
    """Maps [-1, 1] to 8 bits and drops the fraction."""
    return ((torch.clip(x, -1, 1) * 0.5 + 0.5) * 255).permute(1, 2, 0).numpy().astype("uint8")


def aesthetic_levels(x):
    """Maps [-1, 1] to 8 bits with rounding."""
    unit = (x * 0.5 + 0.5).clamp(0, 1).permute(1, 2, 0).numpy()
    return (unit * 255).round().astype(numpy.uint8)


def jpeg_kilobytes(levels):
    buffer = io.BytesIO()
    Image.fromarray(levels).save(buffer, format="JPEG", quality=95)
    return -buffer.tell() / 1000


def over50(levels):
    """Sums the logits of the ages from 50."""
    processor = ViTImageProcessorPil.from_dict(json.loads((AGES / "preprocessor_config.json").read_text()))
    model = ViTForImageClassification.from_pretrained(AGES).eval()
    return float(model(processor(levels, return_tensors="pt")["pixel_values"]).logits[0, 6:].sum())


class Aesthetic:
    """A small CLIP and a head with the published head's layout, both with random weights."""

    def __init__(self, folder):
        self.clip = CLIPVisionModelWithProjection(CLIPVisionConfig(**CLIP.config)).eval()
        self.head = Head().eval()
        randomize(self.clip, generator(5))
        randomize(self.head, generator(6))
        save(CLIP, self.clip, folder / "clip")
        torch.save(self.head.state_dict(), folder / "head.pth")
        self.processor = CLIPImageProcessorPil.from_dict(CLIP.processor)

    def __call__(self, levels):
        pixels = self.processor(Image.fromarray(levels), return_tensors="pt")["pixel_values"]
        embedding = self.clip(pixel_values=pixels).image_embeds
        return float(self.head(embedding / embedding.norm()))


def rewards_of_run(ddpo, folder, reward, held_out, *flags):
    """Returns the images that a run evaluates, its rewards and its held-out rewards."""
    common = ["--ddpm-ckpt", folder / "checkpoint", "--num-inference-steps", STEPS, "--device", "cpu", "--threads", 2]
    ddpo("train", "--reward", reward, "--eval-reward", held_out, "--output-dir", folder / "run", "--num-epochs", 1,
         "--num-samples-per-epoch", 2, "--batch-size", 2, "--num-eval-samples", SAMPLES, "--sample-batch-size", SAMPLES,
         "--eval-rnd-seed", SEED, "--eval-every-each-epoch", 1, "--upstream-compat", *common, *flags)  # fmt: skip
    ddpo("sample", "--out", folder / "drawn", "--num-samples", SAMPLES, "--batch-size", SAMPLES, "--seed", SEED,
         "--save-trajectories", *common)  # fmt: skip
    images = load_file(folder / "drawn" / "trajectories.safetensors")["states"][:, -1]
    with open(folder / "run" / "eval" / "epoch-000000.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    column = next(name for name in rows[0] if name.startswith("eval:") and "/" not in name)
    return images, [float(row["reward"]) for row in rows], [float(row[column]) for row in rows]


def largest_gap(found, images, levels, reward):
    return max(abs(value - reward(levels(x))) for x, value in zip(images, found, strict=True))


@pytest.mark.parametrize("pair", ["over50-jpeg", "jpeg-over50", "aesthetic-jpeg"])
@torch.inference_mode()
def test_rewards_agree_with_upstream(pair, ddpo, gaps, tmp_path):
    write_checkpoint(CHECKPOINT, tmp_path / "checkpoint", 900)
    aesthetic = Aesthetic(tmp_path)
    networks = ["--reward-model", tmp_path / "clip", "--aesthetic-head", tmp_path / "head.pth"]
    rewards = {
        "jpeg": ("jpeg compressibility", jpeg_levels, jpeg_kilobytes, []),
        "over50": ("over50", age_levels, over50, ["--reward-model", "toy-ages-32"]),
        "aesthetic": ("aesthetic", aesthetic_levels, aesthetic, networks),
    }
    trained, held_out = (rewards[name] for name in pair.split("-"))
    images, first, second = rewards_of_run(ddpo, tmp_path, trained[0], held_out[0], *trained[3], *held_out[3])
    assert len(first) == SAMPLES
    outside = float((images.abs() > 1).float().mean())
    assert outside > 0.05, "images stay inside [-1, 1]"
    gaps.note("outside", outside)
    for name, found, (_, levels, reward, _) in [("reward", first, trained), ("held_out", second, held_out)]:
        gaps.limit(name, largest_gap(found, images, levels, reward), REWARD_LIMIT)
        for other in {jpeg_levels, age_levels, aesthetic_levels} - {levels}:
            assert largest_gap(found, images, other, reward) > REWARD_LIMIT, f"{name}: {other.__name__} passes too"
