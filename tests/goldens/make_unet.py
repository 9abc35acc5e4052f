"""Writes unet/*.safetensors: blocks and small models of diffusers with inputs and outputs.

The format is described in README.md beside this file. Run by `make goldens`.
"""

import torch
from diffusers import UNet2DModel
from diffusers.models.attention_processor import Attention
from diffusers.models.downsampling import Downsample2D
from diffusers.models.embeddings import TimestepEmbedding, get_timestep_embedding
from diffusers.models.resnet import ResnetBlock2D
from diffusers.models.unets.unet_2d_blocks import (
    AttnDownBlock2D,
    AttnUpBlock2D,
    DownBlock2D,
    UNetMidBlock2D,
    UpBlock2D,
)
from diffusers.models.upsampling import Upsample2D

from common import FOLDER, clear, generator, randomize, report, write

OUT = FOLDER / "unet"
TEMB = 32

OLD_NAMES = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def weights_of(module, old_names=False):
    """The tensors of `module` under `weights.`; `old_names` spells attention as before 2023."""
    tensors = {}
    for name, tensor in module.state_dict().items():
        if old_names and ".attentions." in f".{name}":
            for new, old in OLD_NAMES.items():
                name = name.replace(f".{new}.", f".{old}.")
        tensors[f"weights.{name}"] = tensor
    return tensors


def block(name, seed, module, config, sample_shape, temb=False, residuals=()):
    """Runs one block and writes it. `residuals` are channel counts of an up block's skips."""
    g = generator(seed)
    randomize(module, g)
    module.eval()
    sample = torch.randn(sample_shape, generator=g)
    tensors = {"input.sample": sample, **weights_of(module)}
    arguments = [sample]
    if residuals:
        skips = [torch.randn((sample_shape[0], c, *sample_shape[2:]), generator=g) for c in residuals]
        tensors |= {f"input.residual.{i}": skip for i, skip in enumerate(skips)}
        arguments.append(tuple(skips))
    if temb:
        tensors["input.temb"] = torch.randn((sample_shape[0], TEMB), generator=g)
        arguments.append(tensors["input.temb"])
    with torch.no_grad():
        output = module(*arguments)
    if isinstance(output, tuple):
        output, skips = output
        tensors |= {f"output.residual.{i}": skip for i, skip in enumerate(skips)}
    tensors["output.sample"] = output
    write(OUT / f"block-{name}.safetensors", tensors, {"kind": type(module).__name__, "config": config})


def resnet(**kwargs):
    return ResnetBlock2D(temb_channels=TEMB, **kwargs)


def attention(channels, head_dim, groups, eps=1e-5):
    return Attention(
        channels,
        heads=channels // head_dim,
        dim_head=head_dim,
        eps=eps,
        norm_num_groups=groups,
        residual_connection=True,
        bias=True,
        upcast_softmax=True,
        _from_deprecated_attn_block=True,
    )


def write_leaf_blocks():
    """Residual blocks, attention, resampling and time embeddings."""
    for name, kwargs in {
        "resnet-same": {"in_channels": 16, "out_channels": 16, "groups": 8, "eps": 1e-6},
        "resnet-widen": {"in_channels": 8, "out_channels": 16, "groups": 4, "eps": 1e-5},
        "resnet-scale-shift": {"in_channels": 16, "out_channels": 8, "groups": 8, "eps": 1e-5,
                               "time_embedding_norm": "scale_shift"},
        "resnet-output-scale": {"in_channels": 8, "out_channels": 8, "groups": 8, "eps": 1e-5,
                                "output_scale_factor": 2.0**0.5},
        "resnet-gelu": {"in_channels": 8, "out_channels": 8, "groups": 4, "eps": 1e-5, "non_linearity": "gelu"},
        "resnet-mish-scale-shift": {"in_channels": 8, "out_channels": 8, "groups": 4, "eps": 1e-5,
                                    "non_linearity": "mish", "time_embedding_norm": "scale_shift"},
    }.items():
        shape = (2, kwargs["in_channels"], 8, 8)
        block(name, 10, resnet(**kwargs), kwargs | {"temb_channels": TEMB}, shape, temb=True)

    for name, kwargs in {
        "attention-one-head": {"channels": 16, "head_dim": 16, "groups": 8, "eps": 1e-6},
        "attention-head-dim8": {"channels": 32, "head_dim": 8, "groups": 32, "eps": 1e-5},
        "attention-no-norm": {"channels": 16, "head_dim": 8, "groups": None, "eps": 1e-5},
    }.items():
        block(name, 20, attention(**kwargs), kwargs, (2, kwargs["channels"], 4, 8))

    for padding in (0, 1):
        kwargs = {"channels": 8, "use_conv": True, "out_channels": 8, "padding": padding, "name": "op"}
        block(f"downsample-pad{padding}", 30, Downsample2D(**kwargs), kwargs, (2, 8, 8, 12))
    kwargs = {"channels": 8, "use_conv": True, "out_channels": 8}
    block("upsample", 31, Upsample2D(**kwargs), kwargs, (2, 8, 4, 6))

    for flip in (False, True):
        for shift in (0, 1):
            config = {"embedding_dim": 16, "flip_sin_to_cos": flip, "downscale_freq_shift": shift}
            timesteps = torch.tensor([0, 1, 7, 250, 500, 999])
            embedding = get_timestep_embedding(timesteps, **config)
            write(OUT / f"block-timesteps-flip{int(flip)}-shift{shift}.safetensors",
                  {"input.timesteps": timesteps, "output.sample": embedding},
                  {"kind": "Timesteps", "config": config})
    kwargs = {"in_channels": 16, "time_embed_dim": TEMB}
    block("time-embedding", 32, TimestepEmbedding(**kwargs), kwargs, (3, 16))


def write_composed_blocks():
    """Down, mid and up blocks, with and without attention and resampling."""
    common = {"temb_channels": TEMB, "resnet_groups": 8, "resnet_eps": 1e-5}
    for name, kind, extra in [
        ("down", DownBlock2D, {"num_layers": 2, "add_downsample": True, "downsample_padding": 1}),
        ("down-last", DownBlock2D, {"num_layers": 1, "add_downsample": False}),
        ("attn-down-pad0", AttnDownBlock2D, {"num_layers": 1, "attention_head_dim": 8, "downsample_padding": 0}),
    ]:
        kwargs = common | {"in_channels": 8, "out_channels": 16} | extra
        block(name, 40, kind(**kwargs), kwargs, (2, 8, 8, 8), temb=True)
    for name, extra in {
        "mid": {"attention_head_dim": 16},
        "mid-head-dim8-scale": {"attention_head_dim": 8, "output_scale_factor": 2.0**0.5},
        "mid-no-attention": {"add_attention": False, "attention_head_dim": 16},
        "mid-scale-shift": {"resnet_time_scale_shift": "scale_shift", "attention_head_dim": 8},
    }.items():
        kwargs = common | {"in_channels": 16} | extra
        block(name, 50, UNetMidBlock2D(**kwargs), kwargs, (2, 16, 4, 4), temb=True)
    for name, kind, extra in [
        ("up", UpBlock2D, {"num_layers": 2, "add_upsample": True}),
        ("up-last", UpBlock2D, {"num_layers": 2, "add_upsample": False}),
        ("attn-up", AttnUpBlock2D, {"num_layers": 2, "attention_head_dim": 8}),
    ]:
        kwargs = common | {"in_channels": 8, "prev_output_channel": 16, "out_channels": 8} | extra
        block(name, 60, kind(**kwargs), kwargs, (2, 16, 4, 4), temb=True, residuals=(8, 8))


BASE = {
    "sample_size": 16,
    "in_channels": 3,
    "out_channels": 3,
    "block_out_channels": [8, 16],
    "down_block_types": ["DownBlock2D", "AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"],
    "layers_per_block": 1,
    "norm_num_groups": 8,
    "attention_head_dim": 8,
}

NARROW = {"block_out_channels": [8, 8]}

# One level.
TINY = {
    "sample_size": 8,
    "block_out_channels": [8],
    "down_block_types": ["AttnDownBlock2D"],
    "up_block_types": ["AttnUpBlock2D"],
    "norm_num_groups": 4,
}

# Each model changes what its name says; together they have every value that is accepted, which
# crates/diffusion/tests/accepted.rs checks.
MODELS = {
    "base": {},
    "google-layout": {
        "attention_head_dim": None,
        "downsample_padding": 0,
        "flip_sin_to_cos": False,
        "freq_shift": 1,
        "norm_eps": 1e-6,
        "block_out_channels": [8, 8, 16],
        "down_block_types": ["DownBlock2D", "AttnDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
    },
    "old-names": NARROW
    | {"attention_head_dim": None, "downsample_padding": 0, "flip_sin_to_cos": False, "freq_shift": 1},
    "layers2": NARROW | {"layers_per_block": 2},
    "scale-shift": NARROW | {"resnet_time_scale_shift": "scale_shift"},
    "scale-shift-attn-groups": NARROW | {"resnet_time_scale_shift": "scale_shift", "attn_norm_num_groups": 4},
    "centered": NARROW | {"center_input_sample": True},
    "no-attention": NARROW | {
        "add_attention": False,
        "down_block_types": ["DownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "UpBlock2D"],
    },
    "mid-scale": NARROW | {"mid_block_scale_factor": 2.0**0.5, "attention_head_dim": 4},
    "groups32": {
        "norm_num_groups": 32,
        "block_out_channels": [32],
        "down_block_types": ["AttnDownBlock2D"],
        "up_block_types": ["AttnUpBlock2D"],
        "attention_head_dim": None,
        "time_embedding_dim": 16,
        "sample_size": 8,
    },
    "grey": NARROW | {"in_channels": 1, "out_channels": 1},
    "grey-to-colour": NARROW | {"in_channels": 1, "out_channels": 3, "sample_size": [8, 16]},
    "time-embedding-dim": NARROW | {"time_embedding_dim": 24, "flip_sin_to_cos": False, "freq_shift": 0},
    "swish": TINY | {"act_fn": "swish"},
    "mish": TINY | {"act_fn": "mish"},
    "gelu": TINY | {"act_fn": "gelu"},
    "relu": TINY | {"act_fn": "relu"},
    "gelu-scale-shift": TINY | {"act_fn": "gelu", "resnet_time_scale_shift": "scale_shift"},
    "no-middle-no-size": TINY | {"mid_block_type": None, "sample_size": None},
    "attn-groups": TINY | {"attn_norm_num_groups": 2},
    "head-dim-no-divisor": TINY | {"attention_head_dim": 5},
    # diffusers ignores these fields: dropout in evaluation, the other one with positional embeddings.
    "ignored": TINY | {"dropout": 0.3, "num_train_timesteps": 500},
    # Residual blocks that halve and double the sides.
    "resnet-resampling": NARROW | {
        "down_block_types": ["AttnDownBlock2D", "DownBlock2D"],
        "downsample_type": "resnet",
        "upsample_type": "resnet",
    },
    "resnet-blocks": NARROW | {
        "down_block_types": ["ResnetDownsampleBlock2D", "ResnetDownsampleBlock2D"],
        "up_block_types": ["ResnetUpsampleBlock2D", "ResnetUpsampleBlock2D"],
    },
    "resnet-blocks-scale-shift": NARROW | {
        "down_block_types": ["ResnetDownsampleBlock2D", "ResnetDownsampleBlock2D"],
        "up_block_types": ["ResnetUpsampleBlock2D", "ResnetUpsampleBlock2D"],
        "resnet_time_scale_shift": "scale_shift",
    },
    "resnet-mixed-gelu": NARROW | {
        "down_block_types": ["ResnetDownsampleBlock2D", "AttnDownBlock2D"],
        "up_block_types": ["AttnUpBlock2D", "ResnetUpsampleBlock2D"],
        "act_fn": "gelu",
        "upsample_type": "resnet",
    },
    # The blocks of NCSN++, which pass an image on.
    "skip-blocks": {
        "down_block_types": ["SkipDownBlock2D", "SkipDownBlock2D"],
        "up_block_types": ["SkipUpBlock2D", "SkipUpBlock2D"],
    },
    "skip-blocks-outside": NARROW | {
        "down_block_types": ["SkipDownBlock2D", "DownBlock2D"],
        "up_block_types": ["UpBlock2D", "SkipUpBlock2D"],
        "center_input_sample": True,
    },
    "attn-skip-blocks": TINY | {
        "block_out_channels": [32],
        "down_block_types": ["AttnSkipDownBlock2D"],
        "up_block_types": ["AttnSkipUpBlock2D"],
    },
    "classes": TINY | {"num_class_embeds": 5},
    "classes-scale-shift": TINY | {"num_class_embeds": 3, "resnet_time_scale_shift": "scale_shift", "act_fn": "gelu"},
}


def write_models():
    for number, (name, changes) in enumerate(MODELS.items()):
        config = BASE | changes
        g = generator(100 + number)
        model = UNet2DModel(**config).eval()
        randomize(model, g)
        size = config["sample_size"] or 8
        height, width = size if isinstance(size, list) else (size, size)
        sample = torch.randn((2, config["in_channels"], height, width), generator=g)
        timesteps = torch.tensor([3, 871])
        classes = config.get("num_class_embeds")
        labels = {"input.labels": torch.tensor([classes - 1, 0])} if classes else {}
        with torch.no_grad():
            output = model(sample, timesteps, labels.get("input.labels")).sample
        old = name == "old-names"
        stored = {k: v for k, v in model.config.items() if not k.startswith("_")}
        stored["_class_name"] = "UNet2DModel"
        tensors = weights_of(model, old) | labels | {
            "input.sample": sample,
            "input.timesteps": timesteps,
            "output.sample": output,
        }
        write(OUT / f"model-{name}.safetensors", tensors, {"kind": "UNet2DModel", "config": stored})


if __name__ == "__main__":
    torch.set_num_threads(1)
    clear(OUT)
    write_leaf_blocks()
    write_composed_blocks()
    write_models()
    report(OUT)
