"""Compares our ViT, CLIP, image processors and aesthetic head with transformers, Pillow and PyTorch.

Models with random weights are written by transformers, pictures by Pillow; the example `vision` of
ddpo-rewarder reads both, and transformers reads the classifier that the project made. Every case compares the levels after resizing and cropping (to be equal),
the network's input, and the network's output.
"""

import dataclasses
import json
import os
import pathlib
import pickle
import subprocess
import sys
import zipfile

import numpy
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    ViTConfig,
    ViTForImageClassification,
)
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil
from transformers.utils import logging

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "goldens"))
from common import generator, randomize  # noqa: E402
from report import Row  # noqa: E402

logging.disable_progress_bar()

OUTPUT_LIMIT = 1e-4
HEAD_LIMIT = 1e-5
VALUE_LIMIT = 1e-6
TIMEOUT_SECONDS = 900

# The classifier that is part of the program.
SHIPPED = pathlib.Path(__file__).resolve().parents[2] / "models" / "toy-ages-32"

AGES = ["0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70"]


@dataclasses.dataclass
class VisionCase:
    """A network, its image processor, and how the files are laid out.

    `kind` is "vit", "clip" (the vision model) or "whole-clip" (with a text tower, as the openai/clip-*
    repositories); `processor` is written into preprocessor_config.json as it is.
    """

    name: str
    kind: str
    config: dict
    processor: dict
    weights: str = "safetensors"
    sizes: list = dataclasses.field(default_factory=lambda: SIZES)


# Width and height: smaller and larger than the network's, odd, long, and a single pixel.
SIZES = [(32, 32), (31, 17), (64, 65), (45, 101), (1, 1), (3, 90), (224, 224), (257, 255), (300, 224)]

TINY = {
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 96,
    "image_size": 32,
    "patch_size": 8,
}

# The fields that google/vit-* and nateraw/vit-age-classifier, and openai/clip-*, have in their files.
VIT_OLD = {"feature_extractor_type": "ViTFeatureExtractor", "do_normalize": True, "do_resize": True,
           "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5], "resample": 2}  # fmt: skip
CLIP_OLD = {"feature_extractor_type": "CLIPFeatureExtractor", "do_center_crop": True, "do_normalize": True,
            "do_resize": True, "image_mean": [0.48145466, 0.4578275, 0.40821073],
            "image_std": [0.26862954, 0.26130258, 0.27577711], "resample": 3}  # fmt: skip

CASES = [
    VisionCase("vit-tiny", "vit", TINY, VIT_OLD | {"size": 32}),
    VisionCase("vit-no-bias-bin", "vit", TINY | {"qkv_bias": False, "hidden_act": "gelu_new", "layer_norm_eps": 1e-6},
               VIT_OLD | {"size": {"height": 32, "width": 32}, "resample": 3}, weights="bin"),
    VisionCase("vit-wide-relu", "vit", TINY | {"image_size": [24, 40], "patch_size": [8, 10], "hidden_act": "relu"},
               {"image_processor_type": "ViTImageProcessor", "size": {"height": 24, "width": 40}, "resample": 1,
                "image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}),
    VisionCase("vit-quick-gelu-no-rescale", "vit", TINY | {"hidden_act": "quick_gelu", "num_attention_heads": 1},
               VIT_OLD | {"size": 32, "do_rescale": False, "do_normalize": False, "resample": 4}),
    VisionCase("vit-silu-rest", "vit", TINY | {"image_size": 35, "hidden_act": "silu"},
               VIT_OLD | {"size": 35, "rescale_factor": 0.00784313725490196, "resample": 5}),
    VisionCase("clip-tiny", "clip", TINY | {"projection_dim": 24}, CLIP_OLD | {"size": 32, "crop_size": 32}),
    VisionCase("clip-whole", "whole-clip", TINY | {"projection_dim": 24},
               CLIP_OLD | {"size": {"shortest_edge": 40}, "crop_size": {"height": 32, "width": 32}}),
    VisionCase("clip-crop-beyond-gelu", "whole-clip", TINY | {"projection_dim": 16, "hidden_act": "gelu"},
               CLIP_OLD | {"size": 21, "crop_size": 32}, weights="bin"),
    VisionCase("vit-b16", "vit", {}, VIT_OLD | {"size": 224}, sizes=[(256, 256), (181, 240)]),
    VisionCase("clip-l14", "clip",
               {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16,
                "patch_size": 14, "projection_dim": 768},
               CLIP_OLD | {"size": 224, "crop_size": 224}, sizes=[(256, 256), (181, 240)]),
]  # fmt: skip


def build(case):
    """The network of a case with random weights."""
    if case.kind == "vit":
        labels = dict(enumerate(AGES))
        model = ViTForImageClassification(ViTConfig(**case.config, id2label=labels, label2id={v: k for k, v in labels.items()}))
    elif case.kind == "clip":
        model = CLIPVisionModelWithProjection(CLIPVisionConfig(**case.config))
    else:
        text = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 99}
        width = case.config["projection_dim"]
        model = CLIPModel(CLIPConfig(text_config=text, vision_config=case.config, projection_dim=width))
    randomize(model, generator(700 + CASES.index(case)))
    return model.eval()


def save(case, model, folder):
    """Writes the model as its repository would have it."""
    folder.mkdir()
    model.save_pretrained(folder)
    if case.weights == "bin":
        (folder / "model.safetensors").unlink()
        tensors = dict(model.state_dict())
        if case.kind == "whole-clip":
            # Files from before transformers 4.31 keep the indices of positions.
            count = model.vision_model.embeddings.num_positions
            tensors["vision_model.embeddings.position_ids"] = torch.arange(count)[None]
            tensors["text_model.embeddings.position_ids"] = torch.arange(77)[None]
        torch.save(tensors, folder / "pytorch_model.bin")
    (folder / "preprocessor_config.json").write_text(json.dumps(case.processor))


def draw(folder, sizes):
    """Pictures of noise on slopes; grey ones, some with alpha, and a JPEG."""
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


def processor(case):
    kind = ViTImageProcessorPil if case.kind == "vit" else CLIPImageProcessorPil
    return kind.from_dict(case.processor)


def process(processor, image, **changes):
    return processor(image.convert("RGB"), return_tensors="pt", **changes)["pixel_values"][0]


def forward(case, model, pixels):
    """Logits or embeddings, one picture at a time."""
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


def run(vision, *arguments):
    done = subprocess.run([vision, *map(str, arguments)], capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
    if done.returncode != 0:
        raise OSError(f"vision {arguments[0]} ended with {done.returncode}: {done.stderr.strip()[-600:]}")


def gap(found, expected):
    return (found.double() - expected.double()).abs().max().item()


def compare_random(vision, case, folder):
    """One case with random weights."""
    model = build(case)
    save(case, model, folder / "model")
    return compare(vision, case, model, folder / "model", folder)


def compare_shipped(vision, folder):
    """The classifier of the project's own, opened by transformers as it lies there."""
    opened, report = ViTForImageClassification.from_pretrained(SHIPPED, output_loading_info=True)
    case = VisionCase(SHIPPED.name, "vit", {}, json.loads((SHIPPED / "preprocessor_config.json").read_text()))
    row = compare(vision, case, opened.eval(), SHIPPED, folder)
    if any(report.values()):
        row.fail(f"expected every tensor to fit, found {report}")
    if [opened.config.id2label[index] for index in range(len(AGES))] != AGES:
        row.fail(f"expected the labels {AGES}, found {opened.config.id2label}")
    row.note("parameters", sum(tensor.numel() for tensor in opened.parameters()))
    return row


def compare(vision, case, model, root, folder):
    """A network and the folder that it is in: levels, inputs, outputs."""
    row = Row(case.name)
    draw(folder / "pictures", case.sizes)
    kind = "vit" if case.kind == "vit" else "clip"
    run(vision, kind, root, folder / "pictures", folder / "ours.safetensors")
    ours = load_file(folder / "ours.safetensors")
    process_image, inputs = processor(case), []
    paths = sorted((folder / "pictures").iterdir())
    for path in paths:
        image = Image.open(path)
        levels = process(process_image, image, do_rescale=False, do_normalize=False)
        row.limit("levels", gap(ours[f"levels.{path.name}"].permute(2, 0, 1), levels), 0.0)
        inputs.append(process(process_image, image).float())
        largest = max(1.0, inputs[-1].abs().max().item())
        row.limit("inputs", gap(ours[f"values.{path.name}"], inputs[-1]) / largest, VALUE_LIMIT)
    expected = forward(case, model, inputs)
    # The limit is meant for outputs of about unit size, which random weights are scaled to.
    row.note("size", round(expected.abs().max().item(), 3))
    row.limit("outputs", gap(ours["outputs"], expected), OUTPUT_LIMIT)
    if len(paths) != len(ours["outputs"]):
        row.fail(f"expected {len(paths)} outputs, found {len(ours['outputs'])}")
    return row


class Head(torch.nn.Module):
    """The layout of the LAION head's file: maps and dropout in one list."""

    def __init__(self):
        super().__init__()
        linear, dropout = torch.nn.Linear, torch.nn.Dropout
        self.layers = torch.nn.Sequential(
            linear(768, 1024), dropout(0.2), linear(1024, 128), dropout(0.2), linear(128, 64), dropout(0.1),
            linear(64, 16), linear(16, 1),
        )  # fmt: skip

    def forward(self, x):
        return self.layers(x)


def compare_head(vision, folder):
    """A head of the same layout with random weights, and the real one where the variable names it."""
    row = Row("aesthetic-head")
    made = folder / "head.pth"
    torch.manual_seed(5)
    torch.save(Head().state_dict(), made)
    paths = {"made": made}
    if os.environ.get("DDPO_AESTHETIC_HEAD"):
        paths["real"] = pathlib.Path(os.environ["DDPO_AESTHETIC_HEAD"])
    embeddings = torch.randn((64, 768), generator=generator(6))
    embeddings /= embeddings.norm(dim=-1, keepdim=True)
    save_file({"embeddings": embeddings}, folder / "embeddings.safetensors")
    for name, path in paths.items():
        head = Head().eval()
        head.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        run(vision, "head", ".", folder / "embeddings.safetensors", folder / "ours.safetensors", "--head", path)
        with torch.no_grad():
            expected = head(embeddings)
        row.limit(name, gap(load_file(folder / "ours.safetensors")["outputs"], expected), HEAD_LIMIT)
        row.note(f"{name} range", f"{expected.min().item():.2f}..{expected.max().item():.2f}")
    return row


class Malice:
    """A pickle of this makes a folder when Python loads it."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return os.mkdir, (str(self.target),)


def compare_malice(vision, folder):
    """A head that wants code to run is refused, and the code does not run."""
    row, target = Row("malicious-head"), folder / "code-ran"
    with zipfile.ZipFile(folder / "bad.pth", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"layers.0.weight": Malice(target)}, 2))
        archive.writestr("archive/version", "3\n")
    save_file({"embeddings": torch.zeros(1, 768)}, folder / "embeddings.safetensors")
    line = [vision, "head", ".", folder / "embeddings.safetensors", folder / "o", "--head", folder / "bad.pth"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=TIMEOUT_SECONDS)
    if done.returncode == 0 or "refused to run" not in done.stderr:
        row.fail(f"expected a refusal, found {done.returncode}: {done.stderr.strip()}")
    if target.exists():
        row.fail("the code ran")
    return row


def comparisons(vision):
    """Name and function of every comparison."""
    for case in CASES:
        yield case.name, lambda folder, c=case: compare_random(vision, c, folder)
    yield SHIPPED.name, lambda folder: compare_shipped(vision, folder)
    yield "aesthetic-head", lambda folder: compare_head(vision, folder)
    yield "malicious-head", lambda folder: compare_malice(vision, folder)
