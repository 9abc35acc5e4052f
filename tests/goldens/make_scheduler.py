"""Writes scheduler/*.safetensors: every step of diffusers' DDIM and DDPM schedulers.

The format is described in README.md beside this file. Run by `make goldens`.
"""

import diffusers
import numpy as np
import torch
from diffusers import DDIMScheduler, DDPMScheduler
from diffusers.schedulers import scheduling_ddpm

from common import FOLDER, clear, generator, report, write

OUT = FOLDER / "scheduler"
SHAPE = (2, 3, 2, 2)

TRAINED_BETAS = [float(b) for b in np.linspace(1e-4, 0.03, 200).astype(np.float32)]

# Options of `thresholding`, which is off.
THRESHOLDING_OPTIONS = {"dynamic_thresholding_ratio": 0.9, "sample_max_value": 2.0}

THRESHOLDING = {"thresholding": True, "dynamic_thresholding_ratio": 0.9, "sample_max_value": 2.5}

ZERO_SNR = {"rescale_betas_zero_snr": True, "prediction_type": "v_prediction", "timestep_spacing": "trailing"}

# Options of diffusers before 2023.
OLD_OPTIONS = {"tensor_format": "pt", "timestep_values": [1, 2], "skip_prk_steps": True}

# Name: (scheduler settings, eta, number of inference steps).
DDIM = {
    "default": ({}, 1.0, 10),
    "eta0": ({}, 0.0, 10),
    "eta-half": ({}, 0.5, 10),
    "no-clip": ({"clip_sample": False}, 1.0, 10),
    "clip-range": ({"clip_sample_range": 2.5}, 1.0, 5),
    "alpha-not-one": ({"set_alpha_to_one": False}, 1.0, 10),
    "offset1": ({"steps_offset": 1}, 1.0, 10),
    "offset1-alpha-not-one": ({"steps_offset": 1, "set_alpha_to_one": False, "clip_sample": False}, 1.0, 10),
    "trailing": ({"timestep_spacing": "trailing"}, 1.0, 10),
    "trailing-uneven": ({"timestep_spacing": "trailing"}, 0.5, 7),
    "trailing-alpha-not-one": ({"timestep_spacing": "trailing", "set_alpha_to_one": False}, 1.0, 8),
    "linspace": ({"timestep_spacing": "linspace"}, 1.0, 10),
    "linspace-uneven": ({"timestep_spacing": "linspace", "clip_sample": False}, 1.0, 7),
    "leading-uneven": ({}, 1.0, 7),
    "sample-prediction": ({"prediction_type": "sample"}, 1.0, 6),
    "v-prediction": ({"prediction_type": "v_prediction"}, 1.0, 6),
    "v-prediction-no-clip": ({"prediction_type": "v_prediction", "clip_sample": False}, 0.0, 6),
    "scaled-linear": ({"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}, 1.0, 10),
    "cosine": ({"beta_schedule": "squaredcos_cap_v2"}, 1.0, 10),
    "trained-betas": ({"trained_betas": TRAINED_BETAS, "num_train_timesteps": 200}, 1.0, 10),
    "four-steps": ({}, 1.0, 4),
    "forty-steps": ({"clip_sample": False}, 1.0, 40),
    "fifty-steps-eta-half": ({}, 0.5, 50),
    "short-training": ({"num_train_timesteps": 50}, 1.0, 50),
}

# Name: (scheduler settings, number of inference steps).
DDPM = {
    "fixed-small": ({"variance_type": "fixed_small"}, 10),
    "fixed-small-log": ({"variance_type": "fixed_small_log"}, 10),
    "fixed-large": ({"variance_type": "fixed_large"}, 10),
    "fixed-small-no-clip": ({"variance_type": "fixed_small", "clip_sample": False}, 10),
    "fixed-large-no-clip": ({"variance_type": "fixed_large", "clip_sample": False, "clip_sample_range": 2.0}, 5),
    "clip-range": ({"clip_sample_range": 2.0}, 5),
    "sample-prediction": ({"prediction_type": "sample"}, 6),
    "v-prediction": ({"prediction_type": "v_prediction"}, 6),
    "cosine": ({"beta_schedule": "squaredcos_cap_v2"}, 10),
    "trailing": ({"timestep_spacing": "trailing"}, 7),
    "linspace": ({"timestep_spacing": "linspace"}, 7),
    "full-length": ({"num_train_timesteps": 50}, 50),
}

# Files of one scheduler that the other one reads, as diffusers' `from_config` does, and options that one
# or both ignore. Name: (class that reads, class of the file, the file's settings, eta, steps).
FILES = {
    "ddim-of-fixed-large-file": (DDIMScheduler, DDPMScheduler, {"variance_type": "fixed_large"}, 1.0, 4),
    "ddim-of-fixed-small-log-file": (DDIMScheduler, DDPMScheduler, {"variance_type": "fixed_small_log"}, 1.0, 4),
    "ddim-thresholding-options": (DDIMScheduler, DDIMScheduler, THRESHOLDING_OPTIONS, 1.0, 4),
    "ddim-old-options": (DDIMScheduler, DDIMScheduler, OLD_OPTIONS, 1.0, 4),
    # numpy rounds the timesteps of some numbers of steps, such as 48, in its own way.
    "ddim-trailing-48": (DDIMScheduler, DDIMScheduler, {"timestep_spacing": "trailing"}, 1.0, 48),
    "ddpm-of-ddim-file": (DDPMScheduler, DDIMScheduler, {"set_alpha_to_one": False, "steps_offset": 1}, None, 5),
    "ddpm-offset1-fixed-large": (DDPMScheduler, DDPMScheduler, {"steps_offset": 1, "variance_type": "fixed_large"}, None, 5),
    "ddpm-thresholding-options": (DDPMScheduler, DDPMScheduler, THRESHOLDING_OPTIONS, None, 4),
    "ddpm-old-options": (DDPMScheduler, DDPMScheduler, OLD_OPTIONS, None, 4),
    "ddpm-sigmoid": (DDPMScheduler, DDPMScheduler, {"beta_schedule": "sigmoid"}, None, 10),
    "ddpm-scaled-linear": (
        DDPMScheduler, DDPMScheduler, {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}, None, 5,
    ),
    "ddpm-trained-betas": (DDPMScheduler, DDPMScheduler, {"trained_betas": TRAINED_BETAS, "num_train_timesteps": 200}, None, 5),
    # The first step starts where the cumulative alpha is 0. With eta 1, the weight of the noise in its mean is 0, and
    # diffusers' rounding to f32 leaves 2e-4.
    "ddim-zero-snr": (DDIMScheduler, DDIMScheduler, ZERO_SNR, 0.5, 6),
    "ddim-zero-snr-leading": (DDIMScheduler, DDIMScheduler, {"rescale_betas_zero_snr": True}, 0.5, 6),
    "ddpm-zero-snr": (DDPMScheduler, DDPMScheduler, ZERO_SNR, None, 6),
    "ddpm-laplace": (DDPMScheduler, DDPMScheduler, {"beta_schedule": "laplace"}, None, 10),
    "ddim-thresholding": (DDIMScheduler, DDIMScheduler, THRESHOLDING, 1.0, 5),
    "ddpm-thresholding": (DDPMScheduler, DDPMScheduler, THRESHOLDING | {"prediction_type": "sample"}, None, 5),
    "ddim-thresholding-default": (DDIMScheduler, DDIMScheduler, {"thresholding": True, "clip_sample_range": 3.0}, 1.0, 4),
}  # fmt: skip

# Files of 2022, without the fields that diffusers has added since. Name: (class that reads, the file, eta, steps).
OLD_FILES = {
    "ddpm-old-file": (DDPMScheduler, {
        "_class_name": "DDPMScheduler", "_diffusers_version": "0.1.1", "beta_end": 0.02, "beta_schedule": "linear",
        "beta_start": 0.0001, "clip_sample": True, "num_train_timesteps": 1000, "trained_betas": None,
        "variance_type": "fixed_small",
    }, None, 5),
    "ddim-old-file": (DDIMScheduler, {
        "_class_name": "DDIMScheduler", "_diffusers_version": "0.2.0", "beta_end": 0.02, "beta_schedule": "linear",
        "beta_start": 0.0001, "clip_sample": False, "num_train_timesteps": 1000,
    }, 1.0, 5),
    "ddpm-predicts-epsilon": (DDPMScheduler, {"_class_name": "DDPMScheduler", "predict_epsilon": True}, None, 4),
}  # fmt: skip

# Classes of solvers, whose files DDIM and DDPM read in turn.
SOLVERS = [
    "PNDMScheduler",
    "DPMSolverMultistepScheduler",
    "DPMSolverSinglestepScheduler",
    "UniPCMultistepScheduler",
    "DEISMultistepScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "HeunDiscreteScheduler",
    "LMSDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "DDIMParallelScheduler",
    "DDPMParallelScheduler",
]
SOLVER_SETTINGS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def inputs(seed, steps):
    """One independent state, model output and noise for each step, the states wide enough to clip."""
    g = generator(seed)
    sample = 1.3 * torch.randn((steps, *SHAPE), generator=g)
    model_output = torch.randn((steps, *SHAPE), generator=g)
    noise = torch.randn((steps, *SHAPE), generator=g)
    return sample, model_output, noise


def ddim_step(scheduler, eta):
    """Returns step(model_output, t, sample, noise) and sigma(t) of a DDIM scheduler."""
    stride = scheduler.config.num_train_timesteps // scheduler.num_inference_steps

    def step(model_output, t, sample, noise):
        return scheduler.step(model_output, t, sample, eta=eta, variance_noise=noise).prev_sample

    return step, lambda t: eta * scheduler._get_variance(t, t - stride) ** 0.5


def ddpm_step(scheduler):
    """The same for DDPM, whose step draws its noise through a function of its module."""

    def step(model_output, t, sample, noise):
        original = scheduling_ddpm.randn_tensor
        scheduling_ddpm.randn_tensor = lambda *_, **__: noise
        try:
            return scheduler.step(model_output, t, sample).prev_sample
        finally:
            scheduling_ddpm.randn_tensor = original

    def sigma(t):
        if t == 0:
            return torch.tensor(0.0)
        variance = scheduler._get_variance(t)
        return variance if scheduler.config.variance_type == "fixed_small_log" else variance**0.5

    return step, sigma


def file_of(scheduler, settings):
    """The `scheduler_config.json` of a scheduler, with those settings that it ignores."""
    config = {k: v for k, v in scheduler.config.items() if k != "_use_default_values"}
    ignored = {k: v for k, v in settings.items() if k not in config}
    return config | ignored | {"_class_name": type(scheduler).__name__}


def file_of_solver(name):
    """The `scheduler_config.json` of a solver. LMSDiscreteScheduler requires scipy; its file is that of 0.38."""
    if name == "LMSDiscreteScheduler":
        own = {"num_train_timesteps": 1000, "prediction_type": "epsilon", "steps_offset": 0, "timestep_spacing": "linspace",
               "trained_betas": None, "use_beta_sigmas": False, "use_exponential_sigmas": False, "use_karras_sigmas": False}  # fmt: skip
        return own | SOLVER_SETTINGS | {"_class_name": name}
    file = file_of(getattr(diffusers, name)(**SOLVER_SETTINGS), SOLVER_SETTINGS)
    # Python writes -Infinity, which JSON does not have; ddpo reads it as this number.
    return {k: -1e308 if v == float("-inf") else v for k, v in file.items()}


def gradients(step, timesteps, sample, model_output, noise):
    """The gradients of sum(noise * mean) with respect to the model's output."""
    found = []
    for i, t in enumerate(timesteps):
        output = model_output[i].clone().requires_grad_()
        (noise[i] * step(output, t, sample[i], torch.zeros_like(noise[i]))).sum().backward()
        found.append(output.grad)
    return torch.stack(found)


def golden(name, kind, scheduler, config, eta, steps, seed):
    scheduler.set_timesteps(steps)
    assert len(scheduler.timesteps) == steps, name
    step, sigma = ddim_step(scheduler, eta) if kind == "ddim" else ddpm_step(scheduler)
    sample, model_output, noise = inputs(seed, steps)
    previous, mean, sigmas = [], [], []
    for i, t in enumerate(scheduler.timesteps.tolist()):
        previous.append(step(model_output[i], t, sample[i], noise[i]))
        mean.append(step(model_output[i], t, sample[i], torch.zeros_like(noise[i])))
        sigmas.append(sigma(t))
    tensors = {
        "alphas_cumprod": scheduler.alphas_cumprod,
        "timesteps": scheduler.timesteps,
        "input.sample": sample,
        "input.model_output": model_output,
        "input.noise": noise,
        "output.mean": torch.stack(mean),
        "output.sigma": torch.stack(sigmas).float(),
        "output.prev_sample": torch.stack(previous),
    }
    if scheduler.config.thresholding:
        tensors["output.gradient"] = gradients(step, scheduler.timesteps.tolist(), sample, model_output, noise)
    assert all(torch.isfinite(t.double()).all() for t in tensors.values()), name
    metadata = {"kind": kind, "config": config, "num_inference_steps": steps}
    if kind == "ddim":
        metadata["eta"] = eta
    write(OUT / f"{kind}-{name}.safetensors", tensors, metadata)


if __name__ == "__main__":
    torch.set_num_threads(1)
    clear(OUT)
    for number, (name, (settings, eta, steps)) in enumerate(DDIM.items()):
        scheduler = DDIMScheduler(**settings)
        golden(name, "ddim", scheduler, file_of(scheduler, settings), eta, steps, 200 + number)
    for number, (name, (settings, steps)) in enumerate(DDPM.items()):
        scheduler = DDPMScheduler(**settings)
        golden(name, "ddpm", scheduler, file_of(scheduler, settings), None, steps, 300 + number)
    for number, (name, (reader, writer, settings, eta, steps)) in enumerate(FILES.items()):
        kind, _, rest = name.partition("-")
        file = file_of(writer.from_config(settings), settings)
        golden(rest, kind, reader.from_config(file), file, eta, steps, 400 + number)
    for number, (name, (reader, file, eta, steps)) in enumerate(OLD_FILES.items()):
        kind, _, rest = name.partition("-")
        golden(rest, kind, reader.from_config(file), file, eta, steps, 500 + number)
    for number, name in enumerate(SOLVERS):
        kind, reader, eta = [("ddim", DDIMScheduler, 1.0), ("ddpm", DDPMScheduler, None)][number % 2]
        file = file_of_solver(name)
        golden(f"of-{name}", kind, reader.from_config(file), file, eta, 4, 600 + number)
    report(OUT)
