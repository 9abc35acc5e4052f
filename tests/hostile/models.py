"""Configs of the UNet and the scheduler, and names of checkpoints."""

import json

from case import SAMPLE, Case, links, pipes, writes

UNET = "model/unet/config.json"
SCHEDULER = "model/scheduler/scheduler_config.json"


def with_fields(name, fields):
    """Returns a function that sets fields of a JSON file."""

    def change(folder):
        path = folder / name
        config = json.loads(path.read_text())
        config.update(fields)
        path.write_text(json.dumps(config))

    return change


def unet(name, is_accepted=False, **fields):
    return Case(f"unet {name}", SAMPLE, with_fields(UNET, fields), is_accepted)


def scheduler(name, is_accepted=False, **fields):
    return Case(f"scheduler {name}", SAMPLE, with_fields(SCHEDULER, fields), is_accepted)


def text(name, content, file=UNET):
    return Case(f"text {name}", SAMPLE, writes(file, content))


def named(name, checkpoint):
    arguments = [argument for argument in SAMPLE if not argument.startswith("--ddpm-ckpt")]
    return Case(f"name {name}", [*arguments, f"--ddpm-ckpt={checkpoint}"])


def as_folder(folder):
    (folder / UNET).unlink()
    (folder / UNET).mkdir()


CASES = [
    unet("a million layers", layers_per_block=1_000_000),
    unet("layers beyond 64 bits", layers_per_block=2**63),
    unet("no layers", layers_per_block=0),
    unet("huge widths", block_out_channels=[1_000_000_000, 1_000_000_000]),
    unet("wide blocks", block_out_channels=[65_536, 65_536]),
    unet("widths beyond 64 bits", block_out_channels=[2**62, 2**62]),
    unet("no widths", block_out_channels=[]),
    unet("negative widths", block_out_channels=[-8, 16]),
    unet("no blocks", down_block_types=[], up_block_types=[], block_out_channels=[]),
    unet("empty down blocks", down_block_types=[]),
    unet("ten thousand blocks", down_block_types=["DownBlock2D"] * 10_000, up_block_types=["UpBlock2D"] * 10_000,
         block_out_channels=[8] * 10_000),  # fmt: skip
    unet("forty blocks", down_block_types=["DownBlock2D"] * 40, up_block_types=["UpBlock2D"] * 40,
         block_out_channels=[8] * 40),  # fmt: skip
    unet("more names than widths", down_block_types=["DownBlock2D"] * 3),
    unet("a negative channel", in_channels=-3, out_channels=-3),
    unet("no channels", in_channels=0, out_channels=0),
    unet("a billion channels", in_channels=10**9, out_channels=10**9),
    unet("a huge sample", sample_size=10**9),
    unet("a sample of zero", sample_size=0),
    unet("a sample with a negative side", sample_size=[8, -8]),
    unet("a sample of three sides", sample_size=[8, 8, 8]),
    unet("no groups", norm_num_groups=0),
    unet("groups that do not divide", norm_num_groups=3),
    unet("a million groups", norm_num_groups=10**6),
    unet("a head of zero", attention_head_dim=0),
    unet("a head wider than the block", attention_head_dim=10**9),
    unet("no classes", num_class_embeds=0),
    unet("a billion classes", num_class_embeds=10**9),
    unet("classes without weights", num_class_embeds=10),
    unet("labels of another type", class_embed_type="identity"),
    unet("an unknown field", is_a_field=1),
    unet("a fraction for a count", layers_per_block=1.5),
    unet("a text for a count", layers_per_block="2"),
    unet("null for a list", block_out_channels=None),
    unet("a block with an escape", down_block_types=["\x1b[31mDownBlock2D", "AttnDownBlock2D"]),
    unet("a block with a line break", down_block_types=["Down\nBlock2D", "AttnDownBlock2D"]),
    unet("a long class name", _class_name="U" * 1_000_000),
    scheduler("no steps", num_train_timesteps=0),
    scheduler("negative steps", num_train_timesteps=-1000),
    scheduler("a billion steps", num_train_timesteps=10**9),
    scheduler("steps beyond 64 bits", num_train_timesteps=2**64),
    scheduler("negative betas", beta_start=-1.0),
    scheduler("betas above one", beta_end=5.0),
    scheduler("no betas", trained_betas=[]),
    scheduler("betas of texts", trained_betas=["a"] * 1000),
    scheduler("a million betas", trained_betas=[0.01] * 1_000_000),
    scheduler("an unknown schedule", beta_schedule="none"),
    scheduler("an unknown class", _class_name="NoSuchScheduler"),
    # Only `leading` uses the offset.
    scheduler("a huge offset", steps_offset=2**62, timestep_spacing="leading"),
    scheduler("a negative offset", steps_offset=-5, timestep_spacing="leading"),
    scheduler("an unknown spacing", timestep_spacing="wide"),
    scheduler("a clip range of zero", clip_sample_range=0.0, is_accepted=None),
    scheduler("a negative clip range", clip_sample_range=-1.0),
    text("empty", ""),
    text("a list", "[]"),
    text("a number", "7"),
    text("not a number", '{"beta_start": NaN}', SCHEDULER),
    text("beyond a double", '{"beta_start": 1e400}', SCHEDULER),
    text("null scheduler", "null", SCHEDULER),
    text("deep nesting", "[" * 1_000_000),
    text("deep objects", '{"a":' * 1_000_000),
    text("bytes", bytes(range(256))),
    text("unpaired surrogate", '{"_class_name": "\\ud800"}'),
    text("one key twice", '{"in_channels": 3, "in_channels": 3}'),
    text("spaces", b" " * (64 << 20)),
    Case("file a folder", SAMPLE, as_folder),
    Case("file a link to itself", SAMPLE, links(UNET, "config.json")),
    Case("file an endless device", SAMPLE, links(UNET, "/dev/zero")),
    Case("file a pipe", SAMPLE, pipes(UNET)),
    Case("file weights an endless device", SAMPLE,
         links("model/unet/diffusion_pytorch_model.safetensors", "/dev/zero")),  # fmt: skip
    Case("file weights a pipe", SAMPLE, pipes("model/unet/diffusion_pytorch_model.safetensors")),
    Case("file the index a list", SAMPLE, writes("model/model_index.json", "[1]"), None),
    named("empty", ""),
    named("a dash", "-"),
    named("parents", "../../../../etc"),
    named("three parts", "a/b/c"),
    named("a line break", "owner/na\nme"),
    named("an escape", "owner/\x1b[2Jname"),
    named("long", "a" * 5000),
    named("long parts", "a/" * 1000),
    named("a url", "https://huggingface.co/google/ddpm-church-256"),
    named("a device", "/dev/zero"),
]
