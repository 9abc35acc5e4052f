"""Compares our ViT, CLIP, image processors and aesthetic head with transformers, Pillow and PyTorch.

The example `vision` of ddpo-rewarder reads models and pictures. Every case compares the levels after resizing and
cropping (which must be equal), the network's input, and its output.
"""

import functools
import json
import os
import pickle
import subprocess
import zipfile

import numpy
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import ViTForImageClassification
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

from commands import ROOT, run
from vision import AGES, CASES, Head, VisionCase, build, generator, save

OUTPUT_LIMIT = 1e-4
HEAD_LIMIT = 1e-5
VALUE_LIMIT = 1e-6

# The embedded classifier.
SHIPPED = ROOT / "models" / "toy-ages-32"


@pytest.fixture
def vision(examples):
    """Runs the example `vision`."""
    return functools.partial(run, examples / "vision")


def draw(folder, sizes):
    """Writes pictures of noise on slopes; every third also grey, with alpha, and as a JPEG."""
    folder.mkdir()
    rng = numpy.random.default_rng(31)
    for number, (width, height) in enumerate(sizes):
        y, x = numpy.mgrid[0:height, 0:width]
        levels = rng.uniform(0, 255, 3) + (x[..., None] + 2 * y[..., None]) * rng.uniform(-3, 3, 3)
        levels = levels + rng.normal(0, 40, (height, width, 3))
        image = Image.fromarray(numpy.clip(levels, 0, 255).astype(numpy.uint8))
        image.save(folder / f"{number:02}-{width}x{height}.png")
        if number % 3 == 0:
            image.convert("L").save(folder / f"{number:02}-grey.png")
            alpha = Image.fromarray(rng.integers(0, 256, (height, width), dtype=numpy.uint8))
            image.putalpha(alpha)
            image.save(folder / f"{number:02}-alpha.png")
            image.convert("RGB").save(folder / f"{number:02}.jpg")


def processor(case, root):
    named = case.processor.get("image_processor_type") or case.processor.get("feature_extractor_type")
    is_vit = named.startswith("ViT") if named else case.kind == "vit"
    kind = ViTImageProcessorPil if is_vit else CLIPImageProcessorPil
    return kind.from_pretrained(root) if case.files else kind.from_dict(case.processor)


def process(processor, image, **changes):
    return processor(image.convert("RGB"), return_tensors="pt", **changes)["pixel_values"][0]


def forward(case, model, pixels):
    """Returns logits or embeddings, computed one picture at a time."""
    outputs = []
    with torch.no_grad():
        for one in pixels:
            if case.kind == "vit":
                outputs.append(model(one[None]).logits)
            elif case.kind == "clip":
                outputs.append(model(pixel_values=one[None]).image_embeds)
            else:
                pooled = model.vision_model(pixel_values=one[None]).pooler_output
                outputs.append(model.visual_projection(pooled))
    return torch.cat(outputs)


def gap(found, expected):
    return (found.double() - expected.double()).abs().max().item()


def compare(vision, gaps, case, model, root, folder):
    """Compares a model with the folder that it is in: levels, inputs, outputs."""
    draw(folder / "pictures", case.sizes)
    kind = "vit" if case.kind == "vit" else "clip"
    vision(kind, root, folder / "pictures", folder / "ours.safetensors")
    ours = load_file(folder / "ours.safetensors")
    process_image, inputs = processor(case, root), []
    paths = sorted((folder / "pictures").iterdir())
    for path in paths:
        image = Image.open(path)
        levels = process(process_image, image, do_rescale=False, do_normalize=False)
        gaps.limit("levels", gap(ours[f"levels.{path.name}"].permute(2, 0, 1), levels), 0.0)
        inputs.append(process(process_image, image).float())
        largest = max(1.0, inputs[-1].abs().max().item())
        gaps.limit("inputs", gap(ours[f"values.{path.name}"], inputs[-1]) / largest, VALUE_LIMIT)
    expected = forward(case, model, inputs)
    # The limit is meant for outputs of about unit size, which random weights are scaled to.
    gaps.note("size", round(expected.abs().max().item(), 3))
    assert len(ours["outputs"]) == len(paths)
    gaps.limit("outputs", gap(ours["outputs"], expected), OUTPUT_LIMIT)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_random_networks_agree_with_transformers(case, vision, gaps, tmp_path):
    model = build(case)
    save(case, model, tmp_path / "model")
    if case.raw:
        model, report = type(model).from_pretrained(tmp_path / "model", output_loading_info=True)
        assert not any(report.values()), report
        model = model.eval()
    compare(vision, gaps, case, model, tmp_path / "model", tmp_path)


def test_the_embedded_classifier_agrees_with_transformers(vision, gaps, tmp_path):
    opened, report = ViTForImageClassification.from_pretrained(SHIPPED, output_loading_info=True)
    assert not any(report.values()), report
    assert [opened.config.id2label[index] for index in range(len(AGES))] == AGES
    case = VisionCase(SHIPPED.name, "vit", {}, json.loads((SHIPPED / "preprocessor_config.json").read_text()))
    compare(vision, gaps, case, opened.eval(), SHIPPED, tmp_path)
    gaps.note("parameters", sum(tensor.numel() for tensor in opened.parameters()))


def random_head(folder):
    torch.manual_seed(5)
    torch.save(Head().state_dict(), folder / "head.pth")
    return folder / "head.pth"


def published_head(folder):
    return os.environ.get("DDPO_AESTHETIC_HEAD") or pytest.skip("DDPO_AESTHETIC_HEAD does not name the published head")


@pytest.mark.parametrize("weights", [random_head, published_head])
def test_the_aesthetic_head_agrees_with_pytorch(weights, vision, gaps, tmp_path):
    path = weights(tmp_path)
    embeddings = torch.randn((64, 768), generator=generator(6))
    embeddings /= embeddings.norm(dim=-1, keepdim=True)
    save_file({"embeddings": embeddings}, tmp_path / "embeddings.safetensors")
    head = Head().eval()
    head.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
    vision("head", ".", tmp_path / "embeddings.safetensors", tmp_path / "ours.safetensors", "--head", path)
    with torch.no_grad():
        expected = head(embeddings)
    gaps.limit("outputs", gap(load_file(tmp_path / "ours.safetensors")["outputs"], expected), HEAD_LIMIT)
    gaps.note("range", f"{expected.min().item():.2f}..{expected.max().item():.2f}")


class Malice:
    """A pickle of this makes a folder when Python loads it."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def test_rejects_a_head_that_runs_code(examples, gaps, tmp_path):
    bad, target = tmp_path / "bad.pth", tmp_path / "code-ran"
    with zipfile.ZipFile(bad, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"layers.0.weight": Malice(target)}, 2))
        archive.writestr("archive/version", "3\n")
    save_file({"embeddings": torch.zeros(1, 768)}, tmp_path / "embeddings.safetensors")
    line = [examples / "vision", "head", ".", tmp_path / "embeddings.safetensors", tmp_path / "o", "--head", bad]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "refused to run" in done.stderr
    assert not target.exists()
