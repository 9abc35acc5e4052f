"""A denoising step of diffusers: mean, sigma and log-probability of a state."""

import math

import torch
from diffusers import DDPMScheduler
from diffusers.schedulers import scheduling_ddpm


def sigma(scheduler, t, eta):
    """Returns the standard deviation of the step from `t`; DDPM has no `eta`."""
    if isinstance(scheduler, DDPMScheduler):
        return ddpm_sigma(scheduler, t)
    stride = scheduler.config.num_train_timesteps // scheduler.num_inference_steps
    return float(eta * scheduler._get_variance(t, t - stride) ** 0.5)


def ddpm_sigma(scheduler, t):
    """Returns DDPM's standard deviation, 0 where diffusers clamps a variance of 0 to 1e-20."""
    if t == 0:
        return 0.0
    variance = scheduler._get_variance(t)
    std = float(variance if scheduler.config.variance_type == "fixed_small_log" else variance**0.5)
    return std if std > 1e-9 else 0.0


def mean(scheduler, eps, t, x_t, eta):
    """Returns the state before noise is added: the scheduler's `step` with zero noise."""
    if isinstance(scheduler, DDPMScheduler):
        original = scheduling_ddpm.randn_tensor
        scheduling_ddpm.randn_tensor = lambda *_, **__: torch.zeros_like(x_t)
        try:
            return scheduler.step(eps, t, x_t).prev_sample
        finally:
            scheduling_ddpm.randn_tensor = original

    def without_noise(eta):
        return scheduler.step(eps, t, x_t, eta=eta, variance_noise=torch.zeros_like(x_t)).prev_sample

    state = without_noise(eta)
    # diffusers takes the root of 1 - alpha_prev - sigma^2, which is 0 at a timestep without signal: on some CPUs rounding
    # makes it negative. The root of a few roundings moves the state by less than 1e-3 of sigma.
    return state if state.isfinite().all() else without_noise(eta * (1 - 2.5e-7))


def log_prob(x_prev, mu, std):
    """Returns the log-density of `x_prev` [B, C, H, W] as mean over dimensions, in f32: [B]."""
    squared = ((x_prev - mu) ** 2).flatten(1).mean(1)
    return -squared / (2 * std**2) - math.log(std) - 0.5 * math.log(2 * math.pi)
