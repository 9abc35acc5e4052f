"""Compares exports: .pth files that torch and UNet2DModel load, checkpoints that diffusers opens, and a pushed repository
that diffusers fetches from the tests' own Hub."""

import subprocess
import sys

import pytest
import torch
from diffusers import DDIMPipeline, DDIMScheduler, DDPMPipeline, DDPMScheduler, UNet2DModel
from safetensors.torch import load_file

from checkpoints import CASES, TINY, Case, assert_same_scheduler, write_checkpoint
from commands import run

TOKEN = "hf_of_parity"
REPOSITORY = "someone/small-faces"
TRAIN = [
    "--task", "jpeg compressibility", "--num-epochs", "1", "--num-samples-per-epoch", "4", "--batch-size", "2",
    "--num-inference-steps", "4", "--eval-every-each-epoch", "1", "--num-eval-samples", "2", "--device", "cpu",
    "--initial-lr", "1e-4", "--peak-lr", "1e-4", "--ratio-tolerance", "1e-3",
]


def epsilon(unet):
    """Returns what a model predicts for fixed noise at three timesteps."""
    side, channels = unet.config.sample_size, unet.config.in_channels
    noise = torch.randn(3, channels, side, side, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        return unet.eval()(noise, torch.tensor([3, 250, 900])).sample


def fresh(unet):
    """Returns a model with the same weights in new memory: a tensor's alignment has an effect on the last bits."""
    copy = UNet2DModel.from_config(unet.config)
    copy.load_state_dict(unet.state_dict())
    return copy


def test_pytorch_loads_converted_pth_files(ddpo, gaps, tmp_path):
    """torch loads the file strictly, predicts the same epsilon, and its optimizer continues."""
    write_checkpoint(CASES[0], tmp_path / "model", 600)
    ddpo("train", "--ddpm-ckpt", tmp_path / "model", "--output-dir", tmp_path / "run", *TRAIN)
    made = tmp_path / "run" / "checkpoints" / "epoch-000001"
    ddpo("convert", made, "--out", tmp_path / "made.pth")
    loaded = torch.load(tmp_path / "made.pth", weights_only=True)
    unet = UNet2DModel.from_pretrained(made / "unet")
    taken = UNet2DModel.from_config(unet.config)
    taken.load_state_dict(loaded["model_state_dict"], strict=True)
    assert list(loaded["model_state_dict"]) == list(taken.state_dict()), "the order of UNet2DModel's parameters"
    gaps.limit("epsilon", (epsilon(fresh(unet)) - epsilon(taken)).abs().max().item(), 0.0)
    optimizer = torch.optim.AdamW(taken.parameters())
    optimizer.load_state_dict(loaded["optimizer_state_dict"])
    moments = load_file(made / "optimizer.safetensors")
    for name, parameter in taken.named_parameters():
        state = optimizer.state[parameter]
        for ours, theirs in (("first", "exp_avg"), ("second", "exp_avg_sq")):
            gaps.limit("moments", (state[theirs] - moments[f"{ours}.{name}"]).abs().max().item(), 0.0)
        parameter.grad = torch.ones_like(parameter)
    steps = {int(state["step"]) for state in optimizer.state.values()}
    optimizer.step()
    gaps.note("steps", steps)
    assert steps == {2}
    assert optimizer.param_groups[0]["lr"] == 1e-4


def test_diffusers_opens_checkpoints_converted_from_pth(ddpo, gaps, tmp_path):
    """diffusers opens a folder that was made from a .pth file with the old names of attention."""
    case = next(case for case in CASES if case.name == "bin-root-old-names")
    unet = write_checkpoint(case, tmp_path / "base", 601)
    finetuned = fresh(unet)
    optimizer = torch.optim.AdamW(finetuned.parameters(), lr=1e-3)
    epsilon_before = epsilon(finetuned)
    for parameter in finetuned.parameters():
        parameter.grad = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(parameter.numel()))
    optimizer.step()
    torch.save(
        {
            "model_state_dict": finetuned.state_dict(),
            "optimizer_state_dict": optimizer.state_dict(),
            "best_reward": torch.tensor(1.5).double().numpy()[()],
        },
        tmp_path / "seed.pth",
    )
    ddpo("convert", tmp_path / "seed.pth", "--ddpm-ckpt", tmp_path / "base", "--out", tmp_path / "made")
    pipeline = DDIMPipeline.from_pretrained(tmp_path / "made")
    pipeline.set_progress_bar_config(disable=True)
    gaps.limit("epsilon", (epsilon(fresh(pipeline.unet)) - epsilon(finetuned)).abs().max().item(), 0.0)
    gaps.at_least("moved", (epsilon_before - epsilon(finetuned)).abs().max().item(), 1e-4)
    gaps.note("images", len(pipeline(batch_size=2, num_inference_steps=4, eta=1.0).images))


# Schedulers with another value than the default in every field that may have one.
COMMON = {
    "num_train_timesteps": 200, "beta_start": 2e-4, "beta_end": 0.01, "beta_schedule": "scaled_linear",
    "trained_betas": [1e-4 * n for n in range(1, 201)], "clip_sample": False, "clip_sample_range": 2.5,
    "prediction_type": "v_prediction", "timestep_spacing": "linspace", "steps_offset": 1,
    "dynamic_thresholding_ratio": 0.9, "sample_max_value": 2.0,
}  # fmt: skip
SCHEDULERS = [
    Case("ddim", TINY, COMMON | {"set_alpha_to_one": False}, DDIMScheduler),
    Case("ddpm", TINY, COMMON | {"variance_type": "fixed_large"}, DDPMScheduler),
]


def save_by_training(ddpo, model, folder):
    ddpo("train", "--ddpm-ckpt", model, "--output-dir", folder / "run", *TRAIN)
    return folder / "run" / "checkpoints" / "epoch-000001"


def save_by_pretraining(ddpo, model, folder):
    ddpo("pretrain", "--init", model, "--faces", 2, "--steps", 1, "--batch-size", 2, "--device", "cpu", "--out", folder / "out")
    return folder / "out"


def save_by_converting(ddpo, model, folder):
    torch.save({"model_state_dict": DDPMPipeline.from_pretrained(model).unet.state_dict()}, folder / "weights.pth")
    ddpo("convert", folder / "weights.pth", "--ddpm-ckpt", model, "--out", folder / "out")
    return folder / "out"


@pytest.mark.parametrize("save", [save_by_training, save_by_pretraining, save_by_converting])
@pytest.mark.parametrize("case", SCHEDULERS, ids=lambda case: case.name)
def test_saved_pipelines_keep_the_scheduler(case, save, ddpo, gaps, tmp_path):
    """diffusers reads from every pipeline that ddpo saves the scheduler of the model that it started from."""
    write_checkpoint(case, tmp_path / "model", 603)
    assert_same_scheduler(DDPMPipeline.from_pretrained(save(ddpo, tmp_path / "model", tmp_path)), tmp_path / "model")


FETCH = """
import sys, torch
from diffusers import DDIMPipeline
pipeline = DDIMPipeline.from_pretrained(sys.argv[1])
torch.save(pipeline.unet.state_dict(), sys.argv[2])
pipeline(batch_size=1, num_inference_steps=2, eta=1.0, generator=torch.Generator().manual_seed(0))
"""


def test_diffusers_fetches_a_pushed_repository(ddpo, examples, gaps, monkeypatch, tmp_path):
    """diffusers fetches by its name a repository that ddpo pushed."""
    write_checkpoint(CASES[0], tmp_path / "model", 602)
    ddpo("train", "--ddpm-ckpt", tmp_path / "model", "--output-dir", tmp_path / "run", *TRAIN)
    # The Hub exits at the end of its standard input.
    with subprocess.Popen([examples / "hub", TOKEN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.stdout.readline().strip())
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "cache"))
        monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
        ddpo("push", REPOSITORY, "--run", tmp_path / "run")
        run(sys.executable, "-c", FETCH, REPOSITORY, tmp_path / "fetched.pt")
    fetched = torch.load(tmp_path / "fetched.pt", weights_only=True)
    best = load_file(tmp_path / "run" / "checkpoints" / "best" / "unet" / "diffusion_pytorch_model.safetensors")
    gaps.note("tensors", len(fetched))
    assert fetched.keys() == best.keys()
    assert all(torch.equal(fetched[name], best[name]) for name in best), "diffusers fetches other weights than were pushed"
