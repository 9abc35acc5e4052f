"""The checkpoints that parity compares over: random weights in every shape and layout we read."""

import dataclasses
import json
import pathlib
import shutil
import sys

import torch
from diffusers import (
    DDIMScheduler,
    DDPMPipeline,
    DDPMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    UNet2DModel,
)

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "goldens"))
from common import generator, randomize  # noqa: E402
from make_unet import OLD_NAMES  # noqa: E402


@dataclasses.dataclass
class Case:
    """A checkpoint and how it is sampled.

    `solver` is the scheduler that samples, "ddim" or "ddpm"; `scheduler_class` writes the checkpoint's file.
    `layout` is "folders" (unet/, scheduler/), "root" (all files at the top, as the repositories google/ddpm-*)
    or "accelerate" (checkpoint-500/unet/); `weights` is "safetensors", "bin" (a pickle) or a name of FORMS.
    `inside` is the path in the checkpoint that ddpo gets.
    """

    name: str
    unet: dict
    scheduler: dict = dataclasses.field(default_factory=dict)
    scheduler_class: type = DDPMScheduler
    layout: str = "folders"
    weights: str = "safetensors"
    old_names: bool = False
    inside: str = ""
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


RESNET_RESAMPLING = {
    "down_block_types": ["AttnDownBlock2D", "DownBlock2D"],
    "downsample_type": "resnet",
    "upsample_type": "resnet",
}
RESNET_BLOCKS = {
    "down_block_types": ["ResnetDownsampleBlock2D", "ResnetDownsampleBlock2D"],
    "up_block_types": ["ResnetUpsampleBlock2D", "ResnetUpsampleBlock2D"],
}
SKIP_BLOCKS = {
    "block_out_channels": [32, 64],
    "down_block_types": ["SkipDownBlock2D", "AttnSkipDownBlock2D"],
    "up_block_types": ["AttnSkipUpBlock2D", "SkipUpBlock2D"],
}
ZERO_SNR = {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction", "timestep_spacing": "trailing"}
THRESHOLDING = {"thresholding": True, "dynamic_thresholding_ratio": 0.9, "sample_max_value": 2.5}
SOLVER = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}

CASES += [
    quick("resnet-resampling", RESNET_RESAMPLING),
    quick("resnet-blocks", RESNET_BLOCKS),
    quick("resnet-blocks-scale-shift", RESNET_BLOCKS | {"resnet_time_scale_shift": "scale_shift"}),
    quick("resnet-blocks-wide", WIDE | RESNET_BLOCKS),
    quick("skip-blocks", SKIP_BLOCKS),
    quick("skip-blocks-wide", SKIP_BLOCKS | {"block_out_channels": [64, 64]}),
    quick("zero-snr", scheduler=ZERO_SNR),
    quick("ddpm-zero-snr", scheduler=ZERO_SNR, solver="ddpm"),
    quick("ddpm-laplace", scheduler={"beta_schedule": "laplace"}, solver="ddpm"),
    quick("thresholding", scheduler=THRESHOLDING),
    quick("ddpm-thresholding", scheduler=THRESHOLDING, solver="ddpm"),
    quick("of-pndm-file", scheduler=SOLVER, scheduler_class=PNDMScheduler),
    quick("of-dpm-solver-file", scheduler=SOLVER, scheduler_class=DPMSolverMultistepScheduler),
    quick("ddpm-of-euler-file", scheduler=SOLVER, scheduler_class=EulerDiscreteScheduler, solver="ddpm"),
    *(quick(f"weights-{form}", weights=form) for form in ("fp16", "f64", "shards", "bin-shards", "legacy", "pytorch-model")),
    quick("weights-one-file", inside="unet/diffusion_pytorch_model.safetensors"),
    quick("weights-accelerate", layout="accelerate", inside="checkpoint-500"),
    quick("classes", {"num_class_embeds": 3}, samples=4),
    quick("classes-scale-shift", {"num_class_embeds": 5, "resnet_time_scale_shift": "scale_shift", "act_fn": "gelu"}),
    quick("classes-wide", WIDE | {"num_class_embeds": 1000, "time_embedding_dim": 96}),
    quick("ddpm-classes", {"num_class_embeds": 1, "in_channels": 1, "out_channels": 1}, solver="ddpm"),
]


def legacy(pipeline, folder):
    """The format of torch.save before PyTorch 1.6."""
    pipeline.save_pretrained(folder, safe_serialization=False)
    path = folder / "unet" / "diffusion_pytorch_model.bin"
    torch.save(torch.load(path, weights_only=True), path, _use_new_zipfile_serialization=False)


def pytorch_model(pipeline, folder):
    """The name that PyTorch users and accelerate give a pickle."""
    pipeline.save_pretrained(folder, safe_serialization=False)
    path = folder / "unet" / "diffusion_pytorch_model.bin"
    path.rename(path.with_name("pytorch_model.bin"))


def shards(pipeline, folder, safe=True):
    """Several files and an index."""
    pipeline.save_pretrained(folder, safe_serialization=safe)
    size = sum(p.numel() * 4 for p in pipeline.unet.parameters())
    for path in (folder / "unet").glob("diffusion_pytorch_model.*"):
        path.unlink()
    pipeline.unet.save_pretrained(folder / "unet", safe_serialization=safe, max_shard_size=size // 3)
    assert len(list((folder / "unet").glob("*-of-*"))) > 1


def of_type(dtype, **fields):
    """Tensors of another type. The random values are bfloat16's, which lose nothing."""

    def write(pipeline, folder):
        pipeline.unet.to(dtype)
        pipeline.save_pretrained(folder, **fields)
        pipeline.unet.to(torch.float32)

    return write


FORMS = {
    "safetensors": lambda pipeline, folder: pipeline.save_pretrained(folder),
    "bin": lambda pipeline, folder: pipeline.save_pretrained(folder, safe_serialization=False),
    "fp16": of_type(torch.float16, variant="fp16"),
    "f64": of_type(torch.float64),
    "shards": shards,
    # diffusers writes these and does not read them from a local folder.
    "bin-shards": lambda pipeline, folder: shards(pipeline, folder, safe=False),
    "legacy": legacy,
    "pytorch-model": pytorch_model,
}


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
    FORMS[case.weights](pipeline, folder)
    if case.old_names:
        rename_attention(folder / "unet", case.weights)
    if case.layout == "root":
        to_root(folder)
    if case.layout == "accelerate":
        (folder / "checkpoint-500").mkdir()
        shutil.move(folder / "unet", folder / "checkpoint-500" / "unet")
    if case.layout == "accelerate" or case.weights in ("pytorch-model", "bin-shards"):
        return unet
    variant = {"variant": "fp16"} if case.weights == "fp16" else {}
    read = DDPMPipeline.from_pretrained(folder, **variant).unet.eval().to(torch.float32)
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
