"""Compares `ddpo replay` with the same DDPO epoch in PyTorch, update by update."""

import copy
import json

import pytest
import torch
from diffusers import DDIMScheduler, DDPMPipeline
from safetensors.torch import load_file, save_file

import keyed_noise
import transition
from checkpoints import (
    RESNET_BLOCKS,
    RESNET_RESAMPLING,
    SKIP_BLOCKS,
    SMALL,
    THRESHOLDING,
    ZERO_SNR,
    Case,
    assert_same_scheduler,
    ddim,
    write_checkpoint,
)
from commands import ROOT

COSINE_LIMIT = 0.99
CLIP_RATIO = 1e-4
CLIP_ADVANTAGES = 10.0
LEARNING_RATE = 1e-5
MAX_GRAD_NORM = 1.0
MINI_BATCH = 4
SAMPLES = 8
STEPS = 6
# The default of `run_seed`, which draws the classes of a batch without coordinates.
RUN_SEED = 5_633_313_988

TOY = ROOT / "models" / "toy-faces-32"

REPLAY_CASES = [
    Case("replay-small", SMALL | {"sample_size": 16}, steps=STEPS, samples=SAMPLES, batch=MINI_BATCH),
    Case(
        "replay-scale-shift",
        SMALL | {"sample_size": 16, "resnet_time_scale_shift": "scale_shift", "attention_head_dim": None},
        steps=STEPS, samples=SAMPLES, batch=MINI_BATCH,
    ),  # fmt: skip
    Case(
        "replay-gelu", SMALL | {"sample_size": 16, "act_fn": "gelu"},
        {"beta_schedule": "scaled_linear", "clip_sample_range": 1.5, "timestep_spacing": "linspace"},
        DDIMScheduler, steps=STEPS, samples=SAMPLES, batch=MINI_BATCH,
    ),  # fmt: skip
    Case(
        "replay-resnet-blocks-thresholding", SMALL | {"sample_size": 16} | RESNET_BLOCKS, THRESHOLDING,
        steps=STEPS, samples=SAMPLES, batch=MINI_BATCH,
    ),  # fmt: skip
    Case(
        "replay-skip-blocks", SMALL | {"sample_size": 16} | SKIP_BLOCKS,
        steps=STEPS, samples=SAMPLES, batch=MINI_BATCH,
    ),  # fmt: skip
    Case(
        "replay-resnet-resampling-zero-snr", SMALL | {"sample_size": 16} | RESNET_RESAMPLING, ZERO_SNR,
        steps=STEPS, samples=SAMPLES, batch=MINI_BATCH,
    ),  # fmt: skip
    Case(
        "replay-classes", SMALL | {"sample_size": 16, "num_class_embeds": 3},
        steps=STEPS, samples=SAMPLES, batch=MINI_BATCH,
    ),  # fmt: skip
]


@torch.inference_mode()
def record(unet, scheduler, case):
    """Samples a batch with diffusers at eta 1 and assigns arbitrary rewards."""
    g = torch.Generator().manual_seed(31)
    scheduler.set_timesteps(case.steps)
    size = unet.config.sample_size
    x = torch.randn((case.samples, unet.config.in_channels, size, size), generator=g)
    states, log_probs, count = [x], [], unet.config.num_class_embeds
    labels = None if count is None else keyed_noise.classes(RUN_SEED, 0, case.samples, range(count))
    for t in scheduler.timesteps.tolist():
        std = transition.sigma(scheduler, t, 1.0)
        mu = transition.mean(scheduler, unet(x, t, labels).sample, t, x, 1.0)
        x = mu + std * torch.randn(x.shape, generator=g)
        states.append(x)
        if std > 0:
            log_probs.append(transition.log_prob(x, mu, std))
    classes = {} if labels is None else {"classes": labels}
    return classes | {
        "states": torch.stack(states, 1),
        "log_probs": torch.stack(log_probs, 1),
        "timesteps": scheduler.timesteps.clone(),
        "rewards": -1.0 + 0.1 * torch.randn(case.samples, generator=g),
    }


def advantages_of(batch, clip=CLIP_ADVANTAGES):
    """Standardises the rewards of a batch over all samples, or within the classes of a class-conditional model."""
    rewards, labels = batch["rewards"], batch.get("classes")
    advantages = torch.zeros_like(rewards)
    for group in [torch.ones(len(rewards), dtype=torch.bool)] if labels is None else [labels == c for c in labels.unique()]:
        if group.sum() > 1:
            advantages[group] = (rewards[group] - rewards[group].mean()) / (rewards[group].std() + 1e-6)
    return advantages.clamp(-clip, clip)


def labels_of(batch, rows):
    """Returns the classes of the samples `rows`; None for a model without classes."""
    return batch["classes"][rows] if "classes" in batch else None


def loss_of_step(unet, scheduler, batch, rows, step, column, advantages):
    """Returns the mean clipped loss of one step over the samples `rows`."""
    t = int(batch["timesteps"][step])
    x_t, x_prev = batch["states"][rows, step], batch["states"][rows, step + 1]
    mu = transition.mean(scheduler, unet(x_t, t, labels_of(batch, rows)).sample, t, x_t, 1.0)
    new = transition.log_prob(x_prev, mu, transition.sigma(scheduler, t, 1.0))
    ratio = (new - batch["log_probs"][rows, column]).exp()
    weight = -advantages[rows]
    return torch.maximum(weight * ratio, weight * ratio.clamp(1 - CLIP_RATIO, 1 + CLIP_RATIO)).mean()


def train(unet, scheduler, batch):
    """Trains one epoch in PyTorch: one AdamW step for each mini-batch of samples, in order."""
    scheduler.set_timesteps(len(batch["timesteps"]))
    advantages = advantages_of(batch)
    optimizer = torch.optim.AdamW(unet.parameters(), lr=LEARNING_RATE, weight_decay=1e-4)
    timesteps = batch["timesteps"].tolist()
    dense = [i for i, t in enumerate(timesteps) if transition.sigma(scheduler, t, 1.0) > 0]
    for rows in torch.arange(len(batch["rewards"])).split(MINI_BATCH):
        optimizer.zero_grad()
        for column, step in enumerate(dense):
            (loss_of_step(unet, scheduler, batch, rows, step, column, advantages) / len(dense)).backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), MAX_GRAD_NORM)
        optimizer.step()


def saved_unet(out, original, checkpoint):
    """Opens what ddpo saved with diffusers, and checks that its tensors and settings are those of the files, and that
    its scheduler is the checkpoint's."""
    folder = min(out.rglob("model_index.json")).parent
    pipeline = DDPMPipeline.from_pretrained(folder)
    assert_same_scheduler(pipeline, checkpoint)
    unet = pipeline.unet
    stored = load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
    state = unet.state_dict()
    assert stored.keys() == state.keys()
    assert all(torch.equal(stored[name], state[name]) for name in state), "diffusers reads back other tensors"
    settings = json.loads((folder / "unet" / "config.json").read_text())
    for key, value in original.config.items():
        if not key.startswith("_") and key in settings:
            assert list_of(settings[key]) == list_of(value), f"config.json: {key}"
    return unet


def list_of(value):
    return list(value) if isinstance(value, tuple) else value


def compare_updates(gaps, before, ours, theirs, limit=COSINE_LIMIT):
    """Compares the cosine of the two updates over all parameters, and records their relative distance."""
    names = list(before)
    a = torch.cat([(ours[n] - before[n]).double().flatten() for n in names])
    b = torch.cat([(theirs[n] - before[n]).double().flatten() for n in names])
    assert a.norm() > 0, "replay changed nothing"
    gaps.at_least("cosine", float(a @ b / (a.norm() * b.norm())), limit)
    gaps.note("distance", float((a - b).norm() / b.norm()))
    gaps.note("update_norm_ratio", float(a.norm() / b.norm()))


def compare(ddpo, gaps, unet, checkpoint, case, folder):
    """Records, replays and trains one batch."""
    batch = record(unet, ddim(checkpoint), case)
    save_file({k: v.contiguous() for k, v in batch.items()}, folder / "batch.safetensors")
    out = folder / "replayed"
    ddpo(
        "replay", "--batch", folder / "batch.safetensors", "--ddpm-ckpt", checkpoint, "--out", out,
        "--batch-size", MINI_BATCH, "--initial-lr", LEARNING_RATE, "--peak-lr", LEARNING_RATE,
        "--clip-advantages", CLIP_ADVANTAGES, "--clip-ratio", CLIP_RATIO, "--num-inner-epochs", 1,
        "--max-grad-norm", MAX_GRAD_NORM, "--weight-decay", 1e-4, "--device", "cpu", "--dtype", "f32",
        "--threads", 2,
    )  # fmt: skip
    ours = saved_unet(out, unet, checkpoint)
    before = copy.deepcopy(unet.state_dict())
    train(unet, ddim(checkpoint), batch)
    compare_updates(gaps, before, ours.state_dict(), unet.state_dict())


@pytest.mark.parametrize("case", REPLAY_CASES, ids=lambda case: case.name)
def test_replay_agrees_with_pytorch(case, ddpo, gaps, tmp_path):
    checkpoint = tmp_path / "checkpoint"
    unet = write_checkpoint(case, checkpoint, 500 + REPLAY_CASES.index(case))
    compare(ddpo, gaps, unet, checkpoint, case, tmp_path)


def test_replay_of_toy_faces_agrees_with_pytorch(ddpo, gaps, tmp_path):
    unet = DDPMPipeline.from_pretrained(TOY).unet.eval()
    compare(ddpo, gaps, unet, TOY, Case(TOY.name, {}, steps=STEPS, samples=SAMPLES), tmp_path)
