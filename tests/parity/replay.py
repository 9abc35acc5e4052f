"""Compares `ddpo replay` with the same DDPO epoch in PyTorch, update by update."""

import copy
import json

import torch
from diffusers import DDPMPipeline
from safetensors.torch import load_file, save_file

import transition
from checkpoints import SMALL, Case, ddim, write_checkpoint
from report import COSINE_LIMIT, Row

CLIP_RATIO = 1e-4
CLIP_ADVANTAGES = 10.0
LEARNING_RATE = 1e-5
MAX_GRAD_NORM = 1.0
MINI_BATCH = 4
SAMPLES = 8
STEPS = 6

REPLAY_CASES = [
    Case("replay-small", SMALL | {"sample_size": 16}, steps=STEPS, samples=SAMPLES, batch=MINI_BATCH),
    Case(
        "replay-scale-shift",
        SMALL | {"sample_size": 16, "resnet_time_scale_shift": "scale_shift", "attention_head_dim": None},
        steps=STEPS, samples=SAMPLES, batch=MINI_BATCH,
    ),  # fmt: skip
]


@torch.inference_mode()
def record(unet, scheduler, case):
    """Samples a batch with diffusers at eta 1 and invents its rewards."""
    g = torch.Generator().manual_seed(31)
    scheduler.set_timesteps(case.steps)
    size = unet.config.sample_size
    x = torch.randn((case.samples, unet.config.in_channels, size, size), generator=g)
    states, log_probs = [x], []
    for t in scheduler.timesteps.tolist():
        std = transition.sigma(scheduler, t, 1.0)
        mu = transition.mean(scheduler, unet(x, t).sample, t, x, 1.0)
        x = mu + std * torch.randn(x.shape, generator=g)
        states.append(x)
        if std > 0:
            log_probs.append(transition.log_prob(x, mu, std))
    return {
        "states": torch.stack(states, 1),
        "log_probs": torch.stack(log_probs, 1),
        "timesteps": scheduler.timesteps.clone(),
        "rewards": -1.0 + 0.1 * torch.randn(case.samples, generator=g),
    }


def advantages_of(rewards):
    advantages = (rewards - rewards.mean()) / (rewards.std() + 1e-6)
    return advantages.clamp(-CLIP_ADVANTAGES, CLIP_ADVANTAGES)


def loss_of_step(unet, scheduler, batch, rows, step, column, advantages):
    """The clipped loss of one step of the samples `rows`, the mean over them."""
    t = int(batch["timesteps"][step])
    x_t, x_prev = batch["states"][rows, step], batch["states"][rows, step + 1]
    mu = transition.mean(scheduler, unet(x_t, t).sample, t, x_t, 1.0)
    new = transition.log_prob(x_prev, mu, transition.sigma(scheduler, t, 1.0))
    ratio = (new - batch["log_probs"][rows, column]).exp()
    weight = -advantages[rows]
    return torch.maximum(weight * ratio, weight * ratio.clamp(1 - CLIP_RATIO, 1 + CLIP_RATIO)).mean()


def train(unet, scheduler, batch):
    """One epoch in PyTorch: one AdamW step for each mini-batch of samples, in order."""
    scheduler.set_timesteps(len(batch["timesteps"]))
    advantages = advantages_of(batch["rewards"])
    optimizer = torch.optim.AdamW(unet.parameters(), lr=LEARNING_RATE, weight_decay=1e-4)
    timesteps = batch["timesteps"].tolist()
    dense = [i for i, t in enumerate(timesteps) if transition.sigma(scheduler, t, 1.0) > 0]
    for rows in torch.arange(len(batch["rewards"])).split(MINI_BATCH):
        optimizer.zero_grad()
        for column, step in enumerate(dense):
            (loss_of_step(unet, scheduler, batch, rows, step, column, advantages) / len(dense)).backward()
        torch.nn.utils.clip_grad_norm_(unet.parameters(), MAX_GRAD_NORM)
        optimizer.step()


def saved_pipeline(row, out, original):
    """Opens what ddpo saved with diffusers; its tensors and settings have to be those of the files."""
    found = sorted(out.rglob("model_index.json"))
    if not found:
        row.fail("replay wrote no checkpoint (no model_index.json)")
        return None
    folder = found[0].parent
    unet = DDPMPipeline.from_pretrained(folder).unet
    stored = load_file(folder / "unet" / "diffusion_pytorch_model.safetensors")
    state = unet.state_dict()
    if stored.keys() != state.keys():
        row.fail(f"saved names differ from diffusers': {sorted(stored.keys() ^ state.keys())[:4]}")
    elif not all(torch.equal(stored[name], state[name]) for name in state):
        row.fail("diffusers reads back other tensors than were saved")
    settings = json.loads((folder / "unet" / "config.json").read_text())
    for key, value in original.config.items():
        if not key.startswith("_") and key in settings and list_of(settings[key]) != list_of(value):
            row.fail(f"config.json: {key} was {value}, saved as {settings[key]}")
    return unet


def list_of(value):
    return list(value) if isinstance(value, tuple) else value


def compare_updates(row, before, ours, theirs):
    """The cosine of the two updates over all parameters, and their relative distance."""
    names = list(before)
    a = torch.cat([(ours[n] - before[n]).double().flatten() for n in names])
    b = torch.cat([(theirs[n] - before[n]).double().flatten() for n in names])
    if not a.norm() > 0:
        row.fail("replay changed nothing")
        return
    row.at_least("cosine", float(a @ b / (a.norm() * b.norm())), COSINE_LIMIT)
    row.note("distance", float((a - b).norm() / b.norm()))
    row.note("update_norm_ratio", float(a.norm() / b.norm()))


def compare(ddpo, case, folder, seed, checkpoint=None):
    """Records, replays and trains one batch; `checkpoint` names an existing one to use."""
    row = Row(case.name)
    if checkpoint is None:
        checkpoint = folder / "checkpoint"
        unet = write_checkpoint(case, checkpoint, seed)
    else:
        unet = DDPMPipeline.from_pretrained(checkpoint).unet.eval()
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
    ours = saved_pipeline(row, out, unet)
    if ours is not None:
        before = copy.deepcopy(unet.state_dict())
        train(unet, ddim(checkpoint), batch)
        compare_updates(row, before, ours.state_dict(), unet.state_dict())
    return row
