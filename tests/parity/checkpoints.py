"""The checkpoints that parity compares over: random weights in every shape and layout we read."""

import dataclasses
import json
import pathlib
import shutil
import sys

import torch
from diffusers import DDIMScheduler, DDPMPipeline, DDPMScheduler, UNet2DModel

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "goldens"))
from common import generator, randomize  # noqa: E402
from make_unet import OLD_NAMES  # noqa: E402


@dataclasses.dataclass
class Case:
    """A checkpoint and how it is sampled.

    `solver` is the scheduler that samples, "ddim" or "ddpm"; `scheduler_class` writes the checkpoint's file.
    `layout` is "folders" (unet/, scheduler/) or "root" (all files at the top, as the repositories
    google/ddpm-*); `weights` is "safetensors" or "bin" (a pickle).
    """

    name: str
    unet: dict
    scheduler: dict = dataclasses.field(default_factory=dict)
    scheduler_class: type = DDPMScheduler
    layout: str = "folders"
    weights: str = "safetensors"
    old_names: bool = False
    solver: str = "ddim"
    steps: int = 10
    samples: int = 4
    batch: int = 2


SMALL = {
    "sample_size": 32,
    "block_out_channels": [32, 64],
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
    "layers_per_block": 1,
}

TINY = SMALL | {"sample_size": 16, "block_out_channels": [16, 32], "norm_num_groups": 8}

# Wide enough for the layout and the kernels of wide models.
WIDE = TINY | {"sample_size": 8, "block_out_channels": [64, 64]}

# What google/ddpm-* state in config.json, apart from sizes.
GOOGLE = {
    "attention_head_dim": None,
    "downsample_padding": 0,
    "flip_sin_to_cos": False,
    "freq_shift": 1,
    "mid_block_scale_factor": 1,
    "norm_eps": 1e-6,
    "norm_num_groups": 32,
    "layers_per_block": 2,
}

CELEBAHQ_256 = GOOGLE | {
    "sample_size": 256,
    "block_out_channels": [128, 128, 256, 256, 512, 512],
    "down_block_types": ["DownBlock2D"] * 4 + ["AttnDownBlock2D", "DownBlock2D"],
    "up_block_types": ["UpBlock2D", "AttnUpBlock2D"] + ["UpBlock2D"] * 4,
}

CASES = [
    Case("small", SMALL),
    Case(
        "google-layout-root",
        SMALL | GOOGLE | {
            "block_out_channels": [32, 32, 64],
            "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D"],
            "up_block_types": ["UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
        },
        layout="root",
        steps=40,
    ),
    Case("bin-folders", SMALL | {"attention_head_dim": 16}, weights="bin"),
    Case("bin-root-old-names", SMALL | GOOGLE, layout="root", weights="bin", old_names=True),
    Case("old-names", SMALL | {"attention_head_dim": None}, old_names=True),
    Case("scale-shift", SMALL | {"resnet_time_scale_shift": "scale_shift"}, steps=7),
    Case(
        "grey-centered-no-attention",
        SMALL | {
            "in_channels": 1,
            "out_channels": 1,
            "center_input_sample": True,
            "add_attention": False,
            "norm_num_groups": 8,
            "down_block_types": ["DownBlock2D", "DownBlock2D"],
            "up_block_types": ["UpBlock2D", "UpBlock2D"],
        },
    ),
    Case(
        # Betas a tenth of the usual: without clipping, a random model's x_0 would otherwise be
        # divided by 0.006 and no absolute limit on gaps would mean anything.
        "trailing-no-clip",
        SMALL | {"mid_block_scale_factor": 2.0**0.5, "norm_num_groups": 8},
        {"timestep_spacing": "trailing", "clip_sample": False, "set_alpha_to_one": False, "beta_end": 0.002},
        DDIMScheduler,
        steps=8,
    ),
    Case(
        "offset-alpha-not-one",
        SMALL,
        {"steps_offset": 1, "set_alpha_to_one": False, "beta_schedule": "scaled_linear"},
        DDIMScheduler,
    ),
    Case(
        "cosine-v-prediction-linspace",
        SMALL | {"freq_shift": 1, "time_embedding_dim": 96},
        {"beta_schedule": "squaredcos_cap_v2", "prediction_type": "v_prediction", "timestep_spacing": "linspace"},
        steps=6,
    ),
    Case(
        "sample-prediction-clip-range",
        SMALL | {"layers_per_block": 2},
        {"prediction_type": "sample", "clip_sample_range": 1.5},
        batch=4,
    ),
    Case("celebahq-256", CELEBAHQ_256, layout="root", steps=4, samples=1, batch=1),
]


def quick(name, unet=None, scheduler=None, **fields):
    """A case of a tiny model, sampled in a second."""
    settings = {"steps": 4, "samples": 2} | fields
    return Case(name, TINY | (unet or {}), scheduler or {}, **settings)


# Values of config fields that no case above has.
CASES += [
    *(quick(f"act-{name}", {"act_fn": name}) for name in ("swish", "mish", "gelu", "relu")),
    quick("act-gelu-wide", WIDE | {"act_fn": "gelu"}),
    quick("act-gelu-scale-shift", {"act_fn": "gelu", "resnet_time_scale_shift": "scale_shift"}),
    quick("no-middle-block", {"mid_block_type": None}),
    quick("rectangle", {"sample_size": [16, 32]}),
    quick("attn-groups", {"attn_norm_num_groups": 4}),
    quick("head-dim-no-divisor", {"attention_head_dim": 12}),
    quick("ignored-fields", {"dropout": 0.3, "num_train_timesteps": 500}),
    quick("trained-betas", scheduler={"trained_betas": [1e-4 * n for n in range(1, 201)], "num_train_timesteps": 200}),
    quick("trailing-48-steps", scheduler={"timestep_spacing": "trailing"}, steps=48),
    quick("thresholding-options", scheduler={"dynamic_thresholding_ratio": 0.9, "sample_max_value": 2.0}),
    quick("ddpm-fixed-small", solver="ddpm"),
    quick("ddpm-fixed-small-log", scheduler={"variance_type": "fixed_small_log"}, solver="ddpm"),
    quick("ddpm-fixed-large", scheduler={"variance_type": "fixed_large", "steps_offset": 1}, solver="ddpm"),
    quick("ddpm-sigmoid", scheduler={"beta_schedule": "sigmoid"}, solver="ddpm"),
    quick(
        "ddpm-v-prediction-linspace",
        scheduler={"prediction_type": "v_prediction", "timestep_spacing": "linspace"},
        solver="ddpm",
    ),
    quick(
        "ddpm-of-ddim-file",
        scheduler={"set_alpha_to_one": False, "prediction_type": "sample", "clip_sample_range": 1.5},
        scheduler_class=DDIMScheduler,
        solver="ddpm",
    ),
]


def rename_attention(folder, weights):
    """Rewrites a checkpoint's attention tensors under the names from before 2023."""
    path = folder / f"diffusion_pytorch_model.{weights}"
    if weights == "bin":
        tensors = torch.load(path, weights_only=True)
    else:
        from safetensors.torch import load_file, save_file

        tensors = load_file(path)
    renamed = {}
    for name, tensor in tensors.items():
        if ".attentions." in name:
            for new, old in OLD_NAMES.items():
                name = name.replace(f".{new}.", f".{old}.")
        renamed[name] = tensor
    torch.save(renamed, path) if weights == "bin" else save_file(renamed, path, {"format": "pt"})


def to_root(folder):
    """Moves unet/ and scheduler/ up, as the repositories google/ddpm-* lie."""
    for part in ("unet", "scheduler"):
        for path in (folder / part).iterdir():
            shutil.move(path, folder / path.name)
        (folder / part).rmdir()


def write_checkpoint(case, folder, seed):
    """Writes the case's checkpoint into `folder` and returns its UNet, which diffusers read back."""
    unet = UNet2DModel(**case.unet).eval()
    randomize(unet, generator(seed))
    pipeline = DDPMPipeline(unet, case.scheduler_class(**case.scheduler))
    pipeline.save_pretrained(folder, safe_serialization=case.weights == "safetensors")
    if case.old_names:
        rename_attention(folder / "unet", case.weights)
    if case.layout == "root":
        to_root(folder)
    read = DDPMPipeline.from_pretrained(folder).unet.eval()
    written = unet.state_dict()
    for name, tensor in read.state_dict().items():
        assert torch.equal(tensor, written[name]), f"{case.name}: diffusers reads back another {name}"
    return read


def ddim(folder):
    """diffusers' DDIM scheduler with the settings of a checkpoint's scheduler_config.json."""
    return scheduler_of(folder, "ddim")


def scheduler_of(folder, solver):
    """diffusers' DDIM or DDPM scheduler with the settings of a checkpoint's scheduler_config.json."""
    path = folder / "scheduler" / "scheduler_config.json"
    if not path.exists():
        path = folder / "scheduler_config.json"
    kind = {"ddim": DDIMScheduler, "ddpm": DDPMScheduler}[solver]
    return kind.from_config(json.loads(path.read_text()))


def assert_same_scheduler(pipeline, folder):
    """Checks that a pipeline has the scheduler of the checkpoint in `folder`: class and every setting."""
    expected = DDPMPipeline.from_pretrained(folder).scheduler
    assert type(pipeline.scheduler) is type(expected)
    settings = [{k: v for k, v in s.config.items() if not k.startswith("_")} for s in (pipeline.scheduler, expected)]
    assert settings[0] == settings[1]
