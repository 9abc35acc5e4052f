"""A denoising step of diffusers: mean, sigma and log-probability of a state."""

import math

import torch


def sigma(scheduler, t, eta):
    """Returns the standard deviation of the step from `t`."""
    stride = scheduler.config.num_train_timesteps // scheduler.num_inference_steps
    return float(eta * scheduler._get_variance(t, t - stride) ** 0.5)


def mean(scheduler, eps, t, x_t, eta):
    """Returns the state before noise is added: `DDIMScheduler.step` with zero noise."""
    return scheduler.step(eps, t, x_t, eta=eta, variance_noise=torch.zeros_like(x_t)).prev_sample


def log_prob(x_prev, mu, std):
    """Returns the log-density of `x_prev` [B, C, H, W] as mean over dimensions, in f32: [B]."""
    squared = ((x_prev - mu) ** 2).flatten(1).mean(1)
    return -squared / (2 * std**2) - math.log(std) - 0.5 * math.log(2 * math.pi)
