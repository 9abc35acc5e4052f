"""The update of alcazar90/ddpo-celebahq in PyTorch, written anew from its description."""

import dataclasses
import math

import torch

import transition

EPS = 1e-6
MAX_GRAD_NORM = 1.0


@dataclasses.dataclass
class Training:
    """The settings of an epoch. `last_step` adds the step without noise, whose density has a sigma of 1e-6."""

    batch: int
    initial_lr: float
    peak_lr: float
    warmup_pct: float = 0.1
    clip_advantages: float = 2.5
    clip_ratio: float = 1e-4
    weight_decay: float = 1e-4
    last_step: bool = False


@torch.inference_mode()
def sample(unet, scheduler, samples, batch, seed):
    """Draws trajectories, batch by batch: states [N, T + 1, C, H, W], log-probabilities [N, T] and rewards [N]."""
    g = torch.Generator().manual_seed(seed)
    size = unet.config.sample_size
    chunks = []
    for _ in range(samples // batch):
        x = torch.randn((batch, unet.config.in_channels, size, size), generator=g)
        states, log_probs = [x], []
        for t in scheduler.timesteps:
            mu, std = transition.mean(scheduler, unet(x, t).sample, t, x, 1.0), transition.sigma(scheduler, t, 1.0)
            x = mu + std * torch.randn(x.shape, generator=g)
            states.append(x)
            log_probs.append(transition.log_prob(x, mu, max(std, EPS)))
        chunks.append((torch.stack(states, 1), torch.stack(log_probs, 1)))
    states, log_probs = (torch.cat(parts) for parts in zip(*chunks))
    return states, log_probs, torch.randn(samples, generator=g)


def learning_rates(training, steps):
    """Returns the rate of each optimizer step, and the number of steps of the warm-up."""
    if training.initial_lr == training.peak_lr:
        return [training.initial_lr] * steps, 0
    warmup = max(1, int(training.warmup_pct * steps))
    floor = 0.1 * training.initial_lr
    rates = [training.initial_lr + k * (training.peak_lr - training.initial_lr) / warmup for k in range(warmup)]
    for k in range(warmup, steps):
        cosine = math.cos(math.pi * (k - warmup) / (steps - warmup))
        rates.append(floor + (training.peak_lr - floor) * (1 + cosine) / 2)
    return rates, warmup


def backward(unet, scheduler, states, log_probs, advantages, training):
    """Adds the gradient of the clipped loss: mean over samples, summed over steps."""
    for i, t in enumerate(scheduler.timesteps):
        std = transition.sigma(scheduler, t, 1.0)
        if std == 0 and not training.last_step:
            continue
        mu = transition.mean(scheduler, unet(states[:, i], t).sample, t, states[:, i], 1.0)
        ratio = (transition.log_prob(states[:, i + 1], mu, max(std, EPS)) - log_probs[:, i]).exp()
        bounded = ratio.clamp(1 - training.clip_ratio, 1 + training.clip_ratio)
        torch.maximum(-advantages * ratio, -advantages * bounded).mean().backward()


def train(unet, scheduler, states, log_probs, rewards, training):
    """Trains an epoch. Returns the norm of the gradient of each optimizer step, and whether it was clipped."""
    optimizer = torch.optim.AdamW(unet.parameters(), weight_decay=training.weight_decay)
    batches = torch.arange(len(rewards)).split(training.batch)
    rates, warmup = learning_rates(training, len(batches))
    norms = []
    for step, rows in enumerate(batches):
        optimizer.zero_grad()
        optimizer.param_groups[0]["lr"] = rates[step]
        batch = rewards[rows]
        advantages = (batch - batch.mean()) / (batch.std() + EPS)
        advantages = advantages.clamp(-training.clip_advantages, training.clip_advantages)
        backward(unet, scheduler, states[rows], log_probs[rows], advantages, training)
        clips = step > warmup
        limit = MAX_GRAD_NORM if clips else math.inf
        norm = float(torch.nn.utils.clip_grad_norm_(unet.parameters(), limit))
        norms.append((norm, clips and norm > MAX_GRAD_NORM))
        optimizer.step()
    return norms
