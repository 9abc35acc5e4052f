"""Writes vision/*: small ViT and CLIP networks of transformers with pictures, levels and outputs.

The format is described in README.md beside this file. Run by `make goldens`.
"""

import json
import os
import pickle
import zipfile

import numpy
import torch
from PIL import Image
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

from common import FOLDER, clear, generator, randomize, report, write

OUT = FOLDER / "vision"
AGES = ["0-2", "3-9", "10-19", "20-29", "30-39", "40-49", "50-59", "60-69", "more than 70"]
SMALL = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "image_size": 12,
    "patch_size": 4,
}
VIT = {"feature_extractor_type": "ViTFeatureExtractor", "image_mean": [0.5] * 3, "image_std": [0.5] * 3}
CLIP = {
    "feature_extractor_type": "CLIPFeatureExtractor",
    "do_center_crop": True,
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "resample": 3,
}
SIZES = [(12, 12), (13, 17), (40, 9)]

# Name, class, config and image processor; together they reach every field that is supported.
CASES = {
    "vit": ("vit", {}, VIT | {"size": 12, "resample": 2}),
    "vit-no-bias": ("vit", {"qkv_bias": False, "hidden_act": "gelu_new", "layer_norm_eps": 1e-6},
                    VIT | {"size": {"height": 12, "width": 12}, "resample": 3, "image_std": [0.2, 0.3, 0.4]}),
    "vit-wide": ("vit", {"image_size": [8, 15], "patch_size": [4, 5], "hidden_act": "relu"},
                 {"image_processor_type": "ViTImageProcessor", "size": {"height": 8, "width": 15}, "resample": 1}),
    "vit-rest": ("vit", {"image_size": 14, "hidden_act": "silu"}, VIT | {"size": 14, "resample": 5, "do_rescale": False,
                                                                         "do_normalize": False}),
    "vit-crop": ("vit", {}, VIT | {"size": {"shortest_edge": 13}, "resample": 4, "do_center_crop": True,
                                   "crop_size": {"height": 12, "width": 12}}),
    "clip": ("clip", {"projection_dim": 6}, CLIP | {"size": 12, "crop_size": 12}),
    "clip-crop-beyond": ("clip", {"projection_dim": 6, "hidden_act": "gelu"}, CLIP | {"size": 9, "crop_size": 12}),
    "clip-whole": ("whole-clip", {"projection_dim": 6}, CLIP | {"size": {"shortest_edge": 15},
                                                                "crop_size": {"height": 12, "width": 12}}),
}  # fmt: skip


def build(kind, config):
    if kind == "vit":
        labels = dict(enumerate(AGES))
        names = {"id2label": labels, "label2id": {name: index for index, name in labels.items()}}
        return ViTForImageClassification(ViTConfig(**config, **names))
    if kind == "clip":
        return CLIPVisionModelWithProjection(CLIPVisionConfig(**config))
    text = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1,
            "vocab_size": 5, "max_position_embeddings": 3}  # fmt: skip
    whole = CLIPConfig(text_config=text, vision_config=config, projection_dim=config["projection_dim"])
    return CLIPModel(whole)


def outputs_of(kind, model, pixels):
    with torch.no_grad():
        if kind == "vit":
            return model(pixels).logits
        if kind == "clip":
            return model(pixel_values=pixels).image_embeds
        return model.visual_projection(model.vision_model(pixel_values=pixels).pooler_output)


def age_rewards(logits):
    """Returns the age rewards of both tasks for each `--age-reward`."""
    rewards = {}
    for task, chosen in {"over50": slice(6, 9), "under30": slice(0, 4)}.items():
        wanted = torch.zeros(9, dtype=torch.bool)
        wanted[chosen] = True
        exact = logits.double()
        p = exact.softmax(-1)[:, wanted].sum(-1)
        odds = exact[:, wanted].logsumexp(-1) - exact[:, ~wanted].logsumexp(-1)
        values = {"logits": exact[:, wanted].sum(-1), "probability": p, "log-odds": odds}
        rewards |= {f"reward.{task}.{name}": value.float() for name, value in values.items()}
    return rewards


def write_case(number, name):
    kind, config, processor = CASES[name]
    g = generator(80 + number)
    model = build(kind, SMALL | config).eval()
    randomize(model, g)
    fields = CLIPImageProcessorPil if kind != "vit" else ViTImageProcessorPil
    process = fields.from_dict(processor)
    tensors = {f"weights.{key}": value for key, value in model.state_dict().items()}
    inputs = []
    for index, (width, height) in enumerate(SIZES):
        picture = torch.randint(0, 256, (height, width, 3), generator=g, dtype=torch.uint8)
        image = Image.fromarray(picture.numpy())
        levels = process(image, return_tensors="np", do_rescale=False, do_normalize=False)["pixel_values"][0]
        inputs.append(process(image, return_tensors="pt")["pixel_values"][0].float())
        tensors[f"picture.{index}"] = picture
        tensors[f"levels.{index}"] = torch.from_numpy(levels.transpose(1, 2, 0).astype(numpy.uint8))
    tensors["values"] = torch.stack(inputs)
    tensors["outputs"] = outputs_of(kind, model, tensors["values"])
    if kind == "vit":
        tensors |= age_rewards(tensors["outputs"])
    text = json.loads(model.config.to_json_string(use_diff=False))
    write(OUT / f"{name}.safetensors", tensors, {"kind": kind, "config": text, "preprocessor": processor})


class Malice:
    """A pickle of this makes the folder `code-ran` when Python loads it."""

    def __reduce__(self):
        return os.mkdir, ("code-ran",)


def write_malice():
    """Returns a torch archive whose pickle would run code; its bytes are the same every time."""
    with zipfile.ZipFile(OUT / "malicious.pth", "w") as archive:
        payload = pickle.dumps({"layers.0.weight": Malice()}, 2)
        for name, content in {"archive/data.pkl": payload, "archive/version": b"3\n"}.items():
            archive.writestr(zipfile.ZipInfo(name), content)


def main():
    clear(OUT)
    for number, name in enumerate(CASES):
        write_case(number, name)
    write_malice()
    report(OUT)


if __name__ == "__main__":
    main()
