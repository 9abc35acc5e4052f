"""Compares an epoch of `ddpo train` with the same epoch in PyTorch, for each objective: from the recorded batch and
the keyed noise to the update of the weights and the reported loss, gradient norm and divergences."""

import copy
import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from diffusers import DDPMPipeline
from safetensors.torch import load_file

import keyed_noise
import transition
from checkpoints import SMALL, Case, ddim, write_checkpoint
from diversity import Anchors, similarities
from keyed_noise import Purpose
from test_replay import advantages_of, compare_updates, labels_of, saved_unet

COSINE_LIMIT = 0.999
SEED = 5
CLIP_ADVANTAGES = 2.5
MINI_BATCH = 4
MODEL = Case("objectives", SMALL | {"sample_size": 16}, steps=6, samples=8, batch=MINI_BATCH)


@dataclasses.dataclass
class Objective:
    """The settings of a run, as flags of `ddpo train` and as PyTorch computes with them."""

    name: str
    loss: str = "clipped"
    flags: tuple = ()
    inner_epochs: int = 2
    rate: float = 2e-5
    clip_ratio: float = 1e-4
    log_prob: str = "mean"
    kl_coef: float = 0.0
    kl_limit: float = math.inf
    diversity: float = 0.0
    anchors: int = 0
    anchor_coef: float = 1.0
    uniform: bool = False
    mini_batch: int = MINI_BATCH
    scheduler: dict = dataclasses.field(default_factory=dict)
    classes: tuple = ()
    forward: dict = dataclasses.field(default_factory=dict)


FORWARD = {"levels": 3, "source": "sampler", "max_timestep": 999, "weighting": "nft", "beta": 1.0, "adaptive": False}

OBJECTIVES = [
    Objective("clipped-is"),
    Objective("clipped-is-sum", log_prob="sum", clip_ratio=0.05, flags=("--log-prob", "sum", "--clip-ratio", "0.05")),
    Objective("clipped-is-kl", kl_coef=0.5, flags=("--kl-coef", "0.5")),
    Objective("score-function", loss="score", inner_epochs=1, mini_batch=8, flags=("--objective", "score-function")),
    Objective("window", flags=("--window", "3:drawn")),
    Objective("window-last", flags=("--window", "2:last")),
    Objective("uniform", uniform=True, flags=("--step-weights", "uniform")),
    Objective("uniform-kl-sum", uniform=True, kl_coef=0.01, log_prob="sum", clip_ratio=0.2,
              flags=("--step-weights", "uniform", "--kl-coef", "0.01", "--log-prob", "sum")),
    # Without a clip, a pair's loss in the unit "sum" has the rounding of a log-probability times its dimensions, 3e-3.
    Objective("trust-region", loss="kl", kl_limit=0.01, inner_epochs=3,
              flags=("--trust-region", "kl", "--kl-limit", "0.01", "--log-prob", "mean")),
    Objective("forward-nft", loss="forward", forward=FORWARD, flags=("--objective", "forward", "--forward-levels", 3)),
    Objective("forward-nft-beta", loss="forward", forward=FORWARD | {"beta": 0.3, "adaptive": True},
              flags=("--objective", "forward", "--forward-levels", 3, "--forward-beta", "0.3",
                     "--forward-level-weight", "adaptive")),
    Objective("forward-awm", loss="forward", clip_ratio=1e-3, forward=FORWARD | {"weighting": "advantage", "source": "all"},
              flags=("--objective", "forward", "--forward-levels", 3, "--forward-weighting", "advantage",
                     "--forward-level-source", "all", "--clip-ratio", "1e-3")),
    Objective("forward-kl", loss="forward", kl_coef=2.0, forward=FORWARD | {"max_timestep": 500},
              flags=("--objective", "forward", "--forward-levels", 3, "--kl-coef", "2.0",
                     "--forward-max-timestep", "500")),
    Objective("forward-velocity", loss="forward", forward=FORWARD, scheduler={"prediction_type": "v_prediction"},
              flags=("--objective", "forward", "--forward-levels", 3)),
    Objective("forward-sample", loss="forward", forward=FORWARD, scheduler={"prediction_type": "sample"},
              flags=("--objective", "forward", "--forward-levels", 3)),
    Objective("classes", classes=(0, 1, 2)),
    Objective("classes-listed-kl", classes=(4, 1), kl_coef=0.5, flags=("--class-labels", "4,1", "--kl-coef", "0.5")),
    Objective("classes-forward", classes=(3, 0), loss="forward", kl_coef=2.0, forward=FORWARD,
              flags=("--class-labels", "3,0", "--objective", "forward", "--forward-levels", 3, "--kl-coef", "2.0")),
    Objective("diversity", diversity=4.0, flags=("--diversity-coef", "4")),
    Objective("diversity-classes", diversity=4.0, classes=(0, 1), flags=("--diversity-coef", "4")),
    Objective("anchors", anchors=6, anchor_coef=0.01, flags=("--anchor", 6, "--anchor-coef", "0.01")),
    Objective("anchors-forward", loss="forward", anchors=6, anchor_coef=0.5, forward=FORWARD,
              scheduler={"prediction_type": "v_prediction"},
              flags=("--objective", "forward", "--forward-levels", 3, "--anchor", 6, "--anchor-coef", "0.5")),
    Objective("anchors-classes", anchors=5, anchor_coef=0.01, classes=(2, 0),
              flags=("--class-labels", "2,0", "--anchor", 5, "--anchor-coef", "0.01")),
]  # fmt: skip


def mean_square(error):
    return (error**2).flatten(1).mean(1)


def clipped(cost, log_ratio, clip):
    ratio = log_ratio.exp()
    return torch.maximum(cost * ratio, cost * ratio.clamp(1 - clip, 1 + clip))


class Chain:
    """The losses of objectives on the density of a step."""

    def __init__(self, setting, scheduler, batch, reference):
        self.setting, self.scheduler, self.batch, self.reference = setting, scheduler, batch, reference
        self.seed, self.epoch = batch["coordinates"].tolist()
        self.steps = batch["random_steps"].tolist()
        self.place = {state: place for place, state in enumerate(batch["kept_states"].tolist())}
        raw = [self.evenness(step) if setting.uniform else 1.0 for step in self.steps]
        self.weights = [value * len(raw) / sum(raw) for value in raw]

    def sigma(self, step):
        return transition.sigma(self.scheduler, int(self.batch["timesteps"][step]), 1.0)

    def evenness(self, step):
        """Returns sigma / |d mean / d output|, by the difference of two means without clipping."""
        free = type(self.scheduler).from_config(self.scheduler.config, clip_sample=False)
        free.set_timesteps(len(self.batch["timesteps"]))
        t, zero = int(self.batch["timesteps"][step]), torch.zeros(1, 1, 1, 1, dtype=torch.float64)
        slope = transition.mean(free, zero + 1, t, zero, 1.0) - transition.mean(free, zero, t, zero, 1.0)
        return self.sigma(step) / abs(slope.item())

    def losses(self, unet, rows, advantages, inner_epoch):
        """Returns the losses of the samples `rows` at every step, and the divergences that are reported."""
        setting, out = self.setting, []
        dimensions = self.batch["states"][0, 0].numel()
        factor = dimensions if setting.log_prob == "sum" else 1
        for slot, step in enumerate(self.steps):
            t, std, weight = int(self.batch["timesteps"][step]), self.sigma(step), self.weights[slot]
            x_t, x_prev = (self.batch["states"][rows, self.place[state]] for state in (step, step + 1))
            labels = labels_of(self.batch, rows)
            mu = transition.mean(self.scheduler, unet(x_t, t, labels).sample, t, x_t, 1.0)
            new, old = transition.log_prob(x_prev, mu, std), self.batch["log_probs"][rows, slot]
            log_ratio, cost = (new - old) * factor, -advantages[rows]
            if setting.loss == "score":
                loss = cost * new * factor
            elif setting.loss == "kl":
                noise = [
                    keyed_noise.normal(self.seed, Purpose.ROLLOUT, self.epoch, row, step + 1, x_t.shape[1:])
                    for row in rows.tolist()
                ]
                moved = mean_square(x_prev - std * torch.stack(noise) - mu).detach() * dimensions / (2 * std**2)
                outside = (moved > setting.kl_limit) & (advantages[rows] * log_ratio.detach() > 0)
                surrogate = cost * log_ratio.exp()
                loss = torch.where(outside, surrogate.detach(), surrogate)
            else:
                loss = clipped(cost, log_ratio, setting.clip_ratio)
            loss = weight * loss
            if setting.kl_coef:
                with torch.no_grad():
                    pretrained = transition.mean(self.scheduler, self.reference(x_t, t, labels).sample, t, x_t, 1.0)
                kl = mean_square(mu - pretrained) / (2 * std**2)
                loss = loss + setting.kl_coef * weight**2 * factor * kl
                self.kl.append(kl.detach() * dimensions)
            out.append(loss)
        return torch.stack(out)

    kl = None


class Forward:
    """The losses of DiffusionNFT and AWM on noised images."""

    def __init__(self, setting, scheduler, batch, reference):
        self.setting, self.scheduler, self.batch = setting, scheduler, batch
        self.reference, self.old = reference, copy.deepcopy(reference)
        self.seed, self.epoch = batch["coordinates"].tolist()
        forward = setting.forward
        whole = range(scheduler.config.num_train_timesteps - 1, -1, -1)
        candidates = batch["timesteps"].tolist() if forward["source"] == "sampler" else whole
        self.candidates = [t for t in candidates if t <= forward["max_timestep"]]

    def level(self, row, inner_epoch, slot):
        count = self.setting.forward["levels"]
        draw = keyed_noise.uniform(self.seed, Purpose.LEVEL_CHOICE, self.epoch, row, inner_epoch, count)[slot]
        return self.candidates[int((slot + draw) / count * len(self.candidates))]

    def square(self, error):
        if self.setting.forward["adaptive"]:
            return mean_square(error) / error.detach().abs().flatten(1).mean(1).clamp_min(1e-5)
        return mean_square(error)

    def losses(self, unet, rows, advantages, inner_epoch):
        setting, forward, out = self.setting, self.setting.forward, []
        x_0 = self.batch["states"][rows, -1]
        assert self.batch["kept_states"].tolist() == [len(self.batch["timesteps"])], "x_0 alone is recorded"
        for slot in range(forward["levels"]):
            step = inner_epoch * forward["levels"] + slot
            noise = torch.stack([
                keyed_noise.normal(self.seed, Purpose.FORWARD_NOISE, self.epoch, row, step, x_0.shape[1:])
                for row in rows.tolist()
            ])  # fmt: skip
            t = torch.tensor([self.level(row, inner_epoch, slot) for row in rows.tolist()])
            x_t = self.scheduler.add_noise(x_0, noise, t)
            kind = self.scheduler.config.prediction_type
            velocity = self.scheduler.get_velocity(x_0, noise, t)
            target = {"epsilon": noise, "sample": x_0, "v_prediction": velocity}[kind]
            labels = labels_of(self.batch, rows)
            new = unet(x_t, t, labels).sample
            with torch.no_grad():
                old = self.old(x_t, t, labels).sample
            a = advantages[rows]
            if forward["weighting"] == "nft":
                beta, r = forward["beta"], a / CLIP_ADVANTAGES / 2 + 0.5
                plus = beta * new + (1 - beta) * old - target
                minus = (1 + beta) * old - beta * new - target
                loss = (r * self.square(plus) + (1 - r) * self.square(minus)) * CLIP_ADVANTAGES / beta
            else:
                loss = clipped(-a, self.square(old - target) - self.square(new - target), setting.clip_ratio)
            if setting.kl_coef:
                with torch.no_grad():
                    pretrained = self.reference(x_t, t, labels).sample
                distance = mean_square(new - pretrained)
                loss = loss + setting.kl_coef * distance
                self.kl.append(distance.detach())
            out.append(loss)
        return torch.stack(out)


def train(unet, setting, scheduler, batch):
    """Trains one epoch; returns the losses, the mean gradient norm and the mean divergence."""
    scheduler.set_timesteps(len(batch["timesteps"]))
    advantages = with_diversity(setting, batch)
    anchors = anchors_of(unet, setting, scheduler, batch) if setting.anchors else None
    optimizer = torch.optim.AdamW(unet.parameters(), lr=setting.rate, weight_decay=1e-4)
    losses_of = (Forward if setting.loss == "forward" else Chain)(setting, scheduler, batch, copy.deepcopy(unet))
    losses_of.kl = []
    losses, norms, errors = [], [], []
    for inner_epoch in range(setting.inner_epochs):
        for rows in torch.arange(len(batch["rewards"])).split(setting.mini_batch):
            optimizer.zero_grad()
            each = losses_of.losses(unet, rows, advantages, inner_epoch)
            loss = each.mean()
            if anchors:
                errors.append(anchors.loss(unet, len(norms), len(rows)))
                loss = loss + setting.anchor_coef * errors[-1]
            loss.backward()
            norms.append(float(torch.nn.utils.clip_grad_norm_(unet.parameters(), 1.0)))
            losses.append(each.detach().flatten())
            optimizer.step()
    kl = float(torch.cat(losses_of.kl).mean()) if losses_of.kl else None
    error = float(torch.stack(errors).detach().mean()) if errors else None
    return torch.cat(losses).double(), np.mean(norms), kl, error


def with_diversity(setting, batch):
    """Returns the advantages, less the diversity term."""
    if not setting.diversity:
        return advantages_of(batch, CLIP_ADVANTAGES)
    labels = batch.get("classes")
    similar = similarities(batch["states"][:, -1], labels)
    for group in [torch.ones_like(similar, dtype=torch.bool)] if labels is None else [labels == c for c in labels.unique()]:
        similar[group] -= similar[group].mean()
    advantages = advantages_of(batch, math.inf) - setting.diversity * similar
    return advantages.clamp(-CLIP_ADVANTAGES, CLIP_ADVANTAGES).float()


def anchors_of(unet, setting, scheduler, batch):
    shape = batch["states"].shape[2:]
    return Anchors(unet, scheduler, SEED, setting.anchors, shape, setting.classes)


@pytest.mark.parametrize("setting", OBJECTIVES, ids=lambda setting: setting.name)
def test_an_epoch_agrees_with_pytorch(setting, ddpo, gaps, tmp_path):
    checkpoint, run = tmp_path / "checkpoint", tmp_path / "run"
    classes = {"num_class_embeds": max(setting.classes) + 1} if setting.classes else {}
    case = dataclasses.replace(MODEL, unet=MODEL.unet | classes, scheduler=setting.scheduler)
    unet = write_checkpoint(case, checkpoint, 700 + OBJECTIVES.index(setting))
    ddpo(
        "train", "--ddpm-ckpt", checkpoint, "--output-dir", run, "--reward", "jpeg compressibility", "--run-seed", SEED,
        "--num-epochs", 1, "--num-samples-per-epoch", case.samples, "--batch-size", setting.mini_batch,
        "--num-inference-steps", case.steps, "--num-inner-epochs", setting.inner_epochs, "--initial-lr", setting.rate,
        "--peak-lr", setting.rate, "--clip-advantages", CLIP_ADVANTAGES, "--weight-decay", 1e-4, "--record-batches",
        "--device", "cpu", "--threads", 2, *setting.flags,
    )  # fmt: skip
    batch = load_file(run / "batches" / "epoch-000001.safetensors")
    if setting.classes:
        expected = keyed_noise.classes(SEED, 0, case.samples, setting.classes)
        assert batch["classes"].tolist() == expected.tolist()
    ours = saved_unet(run / "checkpoints", unet, checkpoint)
    before = copy.deepcopy(unet.state_dict())
    losses, norm, kl, error = train(unet, setting, ddim(checkpoint), batch)
    compare_updates(gaps, before, ours.state_dict(), unet.state_dict(), COSINE_LIMIT)
    line = json.loads((run / "metrics.jsonl").read_text())
    update = line["update"] if "update" in line else line
    # Advantages of both signs cancel in the mean, so the scale is that of one loss.
    gaps.limit("loss", float(abs(update["loss"] - losses.mean()) / losses.abs().mean()), 1e-3)
    # A pair on the edge of a clip has all of its gradient or none.
    gaps.limit("norm", abs(update["grad_norm"] / norm - 1), 5e-3)
    if setting.kl_coef:
        name = "distance_to_pretrained" if setting.loss == "forward" else "kl_to_pretrained_nats"
        gaps.limit("kl", abs(update[name] / kl - 1), 5e-3)
    if setting.anchors:
        gaps.limit("anchor error", abs(update["anchor_error"] / error - 1), 1e-3)
    if setting.diversity:
        expected = float(similarities(batch["states"][:, -1], batch.get("classes")).mean())
        gaps.limit("similarity", abs(update["similarity"] - expected), 1e-5)
