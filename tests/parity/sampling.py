"""Compares `ddpo sample` with diffusers, state by state."""

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

import transition
from checkpoints import ddim, write_checkpoint
from report import LOG_PROB_LIMIT, MEAN_LIMIT, Row

SIGMA_LIMIT = 1e-6


def sample(ddpo, case, checkpoint, eta, out):
    """Runs `ddpo sample` and returns its trajectories."""
    ddpo(
        "sample", "--ddpm-ckpt", checkpoint, "--num-samples", case.samples, "--num-inference-steps", case.steps,
        "--eta", eta, "--seed", 20, "--batch-size", case.batch, "--device", "cpu", "--dtype", "f32",
        "--threads", 2, "--out", out, "--save-trajectories",
    )  # fmt: skip
    return load_file(out / "trajectories.safetensors")


def check_shapes(row, case, unet, recorded, steps_with_density):
    """Fails the row when the file is not as documented; returns whether it can be compared."""
    config = unet.config
    size = (config.sample_size, config.sample_size)
    expected = {
        "states": (case.samples, case.steps + 1, config.in_channels, *size),
        "log_probs": (case.samples, steps_with_density),
        "timesteps": (case.steps,),
        "sigmas": (case.steps,),
    }
    for name, shape in expected.items():
        found = tuple(recorded[name].shape) if name in recorded else None
        if found != shape:
            row.fail(f"{name}: expected shape {shape}, found {found}")
    if not row.failures and not torch.isfinite(recorded["states"]).all():
        row.fail("states are not finite")
    return not row.failures


@torch.inference_mode()
def compare_states(row, case, unet, scheduler, recorded, eta):
    """Repeats every step from the recorded state; notes the largest gaps."""
    scheduler.set_timesteps(case.steps)
    timesteps = scheduler.timesteps.tolist()
    sigmas = [transition.sigma(scheduler, t, eta) for t in timesteps]
    if not check_shapes(row, case, unet, recorded, sum(s > 0 for s in sigmas)):
        return
    if recorded["timesteps"].tolist() != timesteps:
        row.fail(f"timesteps: expected {timesteps}, found {recorded['timesteps'].tolist()}")
        return
    row.limit("sigma", float((recorded["sigmas"] - torch.tensor(sigmas)).abs().max()), SIGMA_LIMIT)
    states, column = recorded["states"], 0
    for i, (t, std) in enumerate(zip(timesteps, sigmas)):
        x_t, x_prev = states[:, i], states[:, i + 1]
        mu = transition.mean(scheduler, unet(x_t, t).sample, t, x_t, eta)
        if std > 0:
            gap = recorded["log_probs"][:, column] - transition.log_prob(x_prev, mu, std)
            row.limit("log_prob", float(gap.abs().max()), LOG_PROB_LIMIT)
            column += 1
        else:
            row.limit("mean", float((x_prev - mu).abs().max()), MEAN_LIMIT)


def compare_images(row, case, recorded, out):
    """Each image has to be its final state, mapped from [-1, 1] to [0, 255] and rounded."""
    worst = 0.0
    for k in range(case.samples):
        image = np.asarray(Image.open(out / f"{k:06}.png"))
        image = image[..., None] if image.ndim == 2 else image
        state = recorded["states"][k, -1].double().clamp(-1, 1).permute(1, 2, 0).numpy()
        if image.shape[:2] != state.shape[:2] or image.shape[2] not in (state.shape[2], 3):
            row.fail(f"{k:06}.png: expected shape {state.shape}, found {image.shape}")
            return
        worst = max(worst, float(np.abs(image - (state + 1) * 127.5).max()))
    row.limit("image", worst, 0.5001)


def compare(ddpo, case, folder, seed):
    """All comparisons of one checkpoint: stochastic (log-probs) and deterministic (every mean)."""
    row = Row(case.name)
    checkpoint = folder / "checkpoint"
    unet = write_checkpoint(case, checkpoint, seed)
    for eta in (1.0, 0.0):
        out = folder / f"eta{eta:g}"
        recorded = sample(ddpo, case, checkpoint, eta, out)
        compare_states(row, case, unet, ddim(checkpoint), recorded, eta)
        if not row.failures:
            compare_images(row, case, recorded, out)
    return row
