"""Compares `ddpo sample` with diffusers, state by state."""

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import transition
from checkpoints import CASES, scheduler_of, write_checkpoint

SIGMA_LIMIT = 1e-6
LOG_PROB_LIMIT = 2e-4
MEAN_LIMIT = 1e-4


def sample(ddpo, case, checkpoint, eta, out):
    """Runs `ddpo sample` and returns its trajectories."""
    ddpo(
        "sample", "--ddpm-ckpt", checkpoint, "--num-samples", case.samples, "--num-inference-steps", case.steps,
        "--scheduler", case.solver, "--eta", eta, "--seed", 20, "--batch-size", case.batch, "--device", "cpu", "--dtype", "f32",
        "--threads", 2, "--out", out, "--save-trajectories",
    )  # fmt: skip
    return load_file(out / "trajectories.safetensors")


def check_shapes(case, unet, recorded, steps_with_density):
    """Checks that the file is as documented."""
    config = unet.config
    side = config.sample_size
    size = tuple(side) if isinstance(side, (list, tuple)) else (side, side)
    expected = {
        "states": (case.samples, case.steps + 1, config.in_channels, *size),
        "log_probs": (case.samples, steps_with_density),
        "timesteps": (case.steps,),
        "sigmas": (case.steps,),
    }
    assert {name: tuple(recorded[name].shape) for name in expected if name in recorded} == expected
    assert torch.isfinite(recorded["states"]).all()


def labels_of(unet, recorded):
    """Returns the recorded classes, which the samples take in turn; None for a model without classes."""
    count, labels = unet.config.num_class_embeds, recorded.get("classes")
    expected = None if count is None else [sample % count for sample in range(len(recorded["states"]))]
    assert (None if labels is None else labels.tolist()) == expected
    return labels


@torch.inference_mode()
def compare_states(gaps, case, unet, scheduler, recorded, eta):
    """Repeats every step from the recorded state."""
    scheduler.set_timesteps(case.steps)
    timesteps = scheduler.timesteps.tolist()
    sigmas = [transition.sigma(scheduler, t, eta) for t in timesteps]
    check_shapes(case, unet, recorded, sum(s > 0 for s in sigmas))
    assert recorded["timesteps"].tolist() == timesteps
    gaps.limit("sigma", float((recorded["sigmas"] - torch.tensor(sigmas)).abs().max()), SIGMA_LIMIT)
    states, labels, column = recorded["states"], labels_of(unet, recorded), 0
    for i, (t, std) in enumerate(zip(timesteps, sigmas)):
        x_t, x_prev = states[:, i], states[:, i + 1]
        mu = transition.mean(scheduler, unet(x_t, t, labels).sample, t, x_t, eta)
        if std > 0:
            gap = recorded["log_probs"][:, column] - transition.log_prob(x_prev, mu, std)
            gaps.limit("log_prob", float(gap.abs().max()), LOG_PROB_LIMIT)
            column += 1
        else:
            gaps.limit("mean", float((x_prev - mu).abs().max()), MEAN_LIMIT)


def compare_images(gaps, case, recorded, out):
    """Compares each image with its final state, mapped from [-1, 1] to [0, 255] and rounded."""
    for k in range(case.samples):
        image = np.asarray(Image.open(out / f"{k:06}.png"))
        image = image[..., None] if image.ndim == 2 else image
        state = recorded["states"][k, -1].double().clamp(-1, 1).permute(1, 2, 0).numpy()
        assert image.shape == state.shape, "a model of one channel gives grey PNGs"
        gaps.limit("image", float(np.abs(image - (state + 1) * 127.5).max()), 0.5001)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_sample_agrees_with_diffusers(case, ddpo, gaps, tmp_path):
    """Compares log-probabilities of stochastic sampling, means of deterministic sampling, and images."""
    checkpoint = tmp_path / "checkpoint"
    unet = write_checkpoint(case, checkpoint, 400 + CASES.index(case))
    for eta in (1.0, 0.0) if case.solver == "ddim" else (1.0,):
        out = tmp_path / f"eta{eta:g}"
        recorded = sample(ddpo, case, checkpoint / case.inside, eta, out)
        compare_states(gaps, case, unet, scheduler_of(checkpoint, case.solver), recorded, eta)
        compare_images(gaps, case, recorded, out)
