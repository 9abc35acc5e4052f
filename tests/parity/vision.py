"""Image models with random weights, written by transformers as their repositories have them: ViT, CLIP and the LAION head."""

import dataclasses
import json
import pathlib
import sys

import torch
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPVisionConfig,
    CLIPVisionModelWithProjection,
    ViTConfig,
    ViTForImageClassification,
)

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "goldens"))
from common import generator, randomize  # noqa: E402

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
    # Changes of config.json after the network was saved; REMOVED removes a field. The peer is read from the folder too.
    raw: dict = dataclasses.field(default_factory=dict)
    # Files with an image processor, in place of preprocessor_config.json.
    files: dict = dataclasses.field(default_factory=dict)


# In `VisionCase.raw`: the field is removed.
REMOVED = object()

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
    VisionCase("vit-split", "vit", TINY, VIT_OLD | {"size": 32}, weights="split"),
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

FEW = [(31, 17), (45, 101), (64, 64)]
SQUARE = [(32, 32)]
ACTIVATIONS = ["gelu", "gelu_python", "gelu_new", "gelu_pytorch_tanh", "gelu_python_tanh", "gelu_fast", "quick_gelu", "relu",
               "silu", "swish"]  # fmt: skip
VIT_NEW = {"size": {"height": 32, "width": 32}}
CLIP_NEW = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
CLIP_TINY = TINY | {"projection_dim": 24}
NO_LABELS = {"id2label": REMOVED, "label2id": REMOVED, "num_labels": len(AGES)}

# Every other value that the code accepts; test_vision_fields.py requires a case for each.
CASES += [VisionCase(f"vit-{act}", "vit", TINY | {"hidden_act": act}, VIT_NEW, sizes=FEW) for act in ACTIVATIONS]
CASES += [VisionCase(f"clip-{act}", "clip", CLIP_TINY | {"hidden_act": act}, CLIP_NEW, sizes=FEW) for act in ACTIVATIONS]
CASES += [VisionCase(f"vit-{name}", "vit", TINY, VIT_NEW | {"image_processor_type": name}, sizes=FEW)
          for name in ["ViTImageProcessor", "ViTImageProcessorFast", "ViTImageProcessorPil"]]
CASES += [VisionCase(f"vit-{name}", "vit", TINY, CLIP_NEW | {"image_processor_type": name}, sizes=FEW)
          for name in ["CLIPImageProcessor", "CLIPImageProcessorFast", "CLIPImageProcessorPil"]]
CASES += [
    VisionCase("vit-skips-all", "vit", TINY, {"do_resize": None, "do_rescale": None, "do_normalize": None, "do_center_crop": None,
                                              "size": None, "resample": None, "rescale_factor": None, "image_mean": None,
                                              "image_std": None, "crop_size": None}, sizes=SQUARE),
    VisionCase("clip-skips-all", "clip", CLIP_TINY, {"do_resize": None, "do_rescale": None, "do_normalize": None,
                                                     "do_center_crop": None, "do_convert_rgb": None, "do_pad": None,
                                                     "use_square_size": None}, sizes=SQUARE),
    VisionCase("vit-false", "vit", TINY, {"do_resize": False, "do_rescale": True, "do_normalize": False, "do_center_crop": False,
                                          "do_convert_rgb": False, "do_pad": False, "pad_size": None}, sizes=SQUARE),
    VisionCase("vit-no-rescale", "vit", TINY, VIT_NEW | {"do_rescale": False, "image_mean": 127.5, "image_std": 127.5}, sizes=FEW),
    VisionCase("vit-rescale-null", "vit", TINY, VIT_NEW | {"do_rescale": None, "image_mean": [120.0, 127.5, 130.0],
                                                           "image_std": [127.5, 100.0, 127.5]}, sizes=FEW),
    VisionCase("vit-no-normalize", "vit", TINY, VIT_NEW | {"do_normalize": None, "do_convert_rgb": True, "do_resize": True,
                                                           "default_to_square": True}, sizes=FEW),
    VisionCase("vit-crop", "vit", TINY, {"size": {"shortest_edge": 36}, "do_center_crop": True, "crop_size": 32,
                                         "do_normalize": True}, sizes=FEW),
    VisionCase("vit-size-list", "vit", TINY, {"size": [32, 32], "resample": 3}, sizes=FEW),
    VisionCase("clip-resize-null", "clip", CLIP_TINY, CLIP_NEW | {"do_resize": None, "resample": None, "size": None},
               sizes=[(32, 32), (45, 101), (20, 33)]),
    VisionCase("clip-no-crop", "clip", CLIP_TINY, CLIP_NEW | {"do_center_crop": False, "use_square_size": False,
                                                              "default_to_square": False}, sizes=[(32, 32), (64, 64)]),
    VisionCase("clip-crop-list", "clip", CLIP_TINY | {"layer_norm_eps": 1e-3}, {"size": [40, 36], "crop_size": [32, 32]}, sizes=FEW),
    VisionCase("vit-multi-label", "vit", TINY, VIT_NEW, raw={"problem_type": "multi_label_classification"}, sizes=FEW),
    VisionCase("vit-single-label", "vit", TINY, VIT_NEW, raw={"problem_type": "single_label_classification"}, sizes=FEW),
    VisionCase("vit-num-labels", "vit", TINY, VIT_NEW, raw=NO_LABELS, sizes=FEW),
    VisionCase("clip-vision-config-dict", "whole-clip", CLIP_TINY, CLIP_NEW, sizes=FEW,
               raw={"vision_config": {"hidden_size": 7, "image_size": 999, "hidden_act": "relu", "layer_norm_eps": 0.5},
                    "vision_config_dict": CLIP_TINY}),
    VisionCase("clip-vision-config-null", "whole-clip", CLIP_TINY, CLIP_NEW, sizes=FEW,
               raw={"vision_config": None, "vision_config_dict": CLIP_TINY}),
    VisionCase("clip-processor-config", "whole-clip", CLIP_TINY, CLIP_NEW, sizes=FEW,
               files={"processor_config.json": {"image_processor": CLIP_NEW, "processor_class": "CLIPProcessor"}}),
    VisionCase("clip-both-processors", "whole-clip", CLIP_TINY, CLIP_NEW | {"do_normalize": False}, sizes=FEW,
               files={"processor_config.json": {"image_processor": CLIP_NEW | {"do_normalize": False}},
                      "preprocessor_config.json": CLIP_OLD | {"size": 77, "crop_size": 77}}),
    VisionCase("clip-bare-processor-config", "whole-clip", CLIP_TINY, CLIP_NEW | {"do_rescale": False}, sizes=FEW,
               files={"processor_config.json": {"processor_class": "CLIPProcessor"},
                      "preprocessor_config.json": CLIP_NEW | {"do_rescale": False}}),
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
    """Writes the model as its repository has it."""
    folder.mkdir()
    model.save_pretrained(folder, **({"max_shard_size": "50KB"} if case.weights == "split" else {}))
    if case.weights == "split":
        assert len(list(folder.glob("model-*.safetensors"))) > 1
    if case.weights == "bin":
        (folder / "model.safetensors").unlink()
        tensors = dict(model.state_dict())
        if case.kind == "whole-clip":
            # Files from before transformers 4.31 keep the indices of positions.
            count = model.vision_model.embeddings.num_positions
            tensors["vision_model.embeddings.position_ids"] = torch.arange(count)[None]
            tensors["text_model.embeddings.position_ids"] = torch.arange(77)[None]
        torch.save(tensors, folder / "pytorch_model.bin")
    for name, fields in (case.files or {"preprocessor_config.json": case.processor}).items():
        (folder / name).write_text(json.dumps(fields))
    path = folder / "config.json"
    config = json.loads(path.read_text()) | case.raw
    path.write_text(json.dumps({name: value for name, value in config.items() if value is not REMOVED}))


class Head(torch.nn.Module):
    """The layout of the LAION head's file: linear maps and dropout in one list."""

    def __init__(self):
        super().__init__()
        linear, dropout = torch.nn.Linear, torch.nn.Dropout
        self.layers = torch.nn.Sequential(
            linear(768, 1024), dropout(0.2), linear(1024, 128), dropout(0.2), linear(128, 64), dropout(0.1),
            linear(64, 16), linear(16, 1),
        )  # fmt: skip

    def forward(self, x):
        return self.layers(x)
