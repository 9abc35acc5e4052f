"""Compares `ddpo replay --upstream-compat` with the update of alcazar90/ddpo-celebahq over several mini-batches."""

import copy
import dataclasses
import json

import pytest
import torch
from diffusers import DDPMPipeline
from safetensors.torch import save_file

import transition
import upstream
from checkpoints import SMALL, Case, ddim, write_checkpoint
from commands import ROOT
from test_replay import saved_unet

COSINE_LIMIT = 0.999
NORM_LIMIT = 1e-3
BATCH = 4
MINI_BATCHES = 4
STEPS = 6

TOY = ROOT / "models" / "toy-faces-32"
# Its last step has no noise, as that of google/ddpm-*.
LEADING = Case("leading", SMALL | {"sample_size": 16})


@dataclasses.dataclass
class Update:
    """An epoch of four mini-batches, and which of its optimizer steps clip the norm of the gradient."""

    name: str
    checkpoint: Case | None
    training: upstream.Training
    clipped: list


def training(rate, **more):
    return upstream.Training(batch=BATCH, initial_lr=rate, peak_lr=rate, clip_advantages=10.0, **more)


WARM_UP = upstream.Training(batch=BATCH, initial_lr=1e-6, peak_lr=1e-5, warmup_pct=0.5)
SMALL_ADVANTAGES = dataclasses.replace(training(1e-5), clip_advantages=0.01)

UPDATES = [
    Update("toy-clipped", None, training(1e-6), [False, True, True, True]),
    Update("toy-warm-up", None, WARM_UP, [False, False, False, True]),
    Update("toy-not-clipped", None, SMALL_ADVANTAGES, [False] * 4),
    Update("leading-clipped", LEADING, training(1e-6), [False, True, True, True]),
    Update("leading-whole-chain", LEADING, training(1e-5, last_step=True), [False, True, True, True]),
]


def opened(update, folder):
    """Returns a model with its folder, and its scheduler."""
    if update.checkpoint is None:
        unet, path = DDPMPipeline.from_pretrained(TOY).unet.eval(), TOY
    else:
        path = folder / "checkpoint"
        unet = write_checkpoint(update.checkpoint, path, 500)
    scheduler = ddim(path)
    scheduler.set_timesteps(STEPS)
    return unet, path, scheduler


def replay(ddpo, checkpoint, batch, out, one, *more):
    """Trains the batch with ddpo, and returns what it reports."""
    ddpo(
        "replay", "--batch", batch, "--ddpm-ckpt", checkpoint, "--out", out, "--batch-size", one.batch,
        "--initial-lr", one.initial_lr, "--peak-lr", one.peak_lr, "--warmup-pct", one.warmup_pct,
        "--clip-advantages", one.clip_advantages, "--clip-ratio", one.clip_ratio, "--num-inner-epochs", 1,
        "--max-grad-norm", upstream.MAX_GRAD_NORM, "--weight-decay", one.weight_decay, "--device", "cpu",
        "--threads", 2, *more,
    )  # fmt: skip
    return json.loads((out / "metrics.json").read_text())


def change(before, unet):
    after = unet.state_dict()
    return torch.cat([(after[name] - before[name]).double().flatten() for name in before])


def cosine(a, b):
    return float(a @ b / (a.norm() * b.norm()))


@pytest.mark.parametrize("update", UPDATES, ids=lambda update: update.name)
def test_update_agrees_with_upstream(update, ddpo, gaps, tmp_path):
    unet, checkpoint, scheduler = opened(update, tmp_path)
    states, log_probs, rewards = upstream.sample(unet, scheduler, BATCH * MINI_BATCHES, BATCH, 31)
    dense = [i for i, t in enumerate(scheduler.timesteps) if transition.sigma(scheduler, t, 1.0) > 0]
    assert (len(dense) < STEPS) == (update.checkpoint is not None)
    batch = tmp_path / "batch.safetensors"
    recorded = {"states": states, "log_probs": log_probs[:, dense], "timesteps": scheduler.timesteps, "rewards": rewards}
    save_file({name: value.contiguous() for name, value in recorded.items()}, batch)

    found = replay(ddpo, checkpoint, batch, tmp_path / "compat", update.training, "--upstream-compat")
    replay(ddpo, checkpoint, batch, tmp_path / "plain", update.training)
    before = copy.deepcopy(unet.state_dict())
    ours = change(before, saved_unet(tmp_path / "compat", unet, checkpoint))
    plain = change(before, saved_unet(tmp_path / "plain", unet, checkpoint))
    norms = upstream.train(unet, scheduler, states, log_probs, rewards, update.training)
    theirs = change(before, unet)

    assert [clipped for _, clipped in norms] == update.clipped
    assert found["optimizer_steps"] == MINI_BATCHES
    mean = sum(norm for norm, _ in norms) / MINI_BATCHES
    gaps.limit("norm", abs(found["grad_norm"] / mean - 1), NORM_LIMIT)
    gaps.at_least("cosine", cosine(ours, theirs), COSINE_LIMIT)
    gaps.limit("length", abs(float(ours.norm() / theirs.norm()) - 1), NORM_LIMIT)
    gaps.note("norms", "/".join(f"{norm:.2f}" for norm, _ in norms))
    # Without the setting the update is another one, so the comparison can fail.
    gaps.limit("plain", cosine(plain, theirs), COSINE_LIMIT)


def test_the_old_name_gives_the_same_update(ddpo, gaps, tmp_path):
    update = UPDATES[0]
    unet, checkpoint, scheduler = opened(update, tmp_path)
    states, log_probs, rewards = upstream.sample(unet, scheduler, 2 * BATCH, BATCH, 32)
    batch = tmp_path / "batch.safetensors"
    recorded = {"states": states, "log_probs": log_probs, "timesteps": scheduler.timesteps, "rewards": rewards}
    save_file({name: value.contiguous() for name, value in recorded.items()}, batch)
    names = {"new": ["--upstream-compat"], "old": ["--reward_compat", "seed"]}
    for name, flags in names.items():
        replay(ddpo, checkpoint, batch, tmp_path / name, update.training, *flags)
    new, old = (saved_unet(tmp_path / name, unet, checkpoint).state_dict() for name in names)
    assert all(torch.equal(new[name], old[name]) for name in new)
