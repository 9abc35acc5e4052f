"""What leaves the house: .pth files that torch and UNet2DModel take, checkpoints that diffusers opens, and a pushed
repository that diffusers fetches from the tests' own Hub."""

import os
import subprocess
import sys

import torch
from diffusers import DDIMPipeline, UNet2DModel
from safetensors.torch import load_file

from checkpoints import CASES, write_checkpoint
from report import Row

TOKEN = "hf_of_parity"
REPOSITORY = "someone/small-faces"
TRAIN = [
    "--task", "jpeg compressibility", "--num-epochs", "1", "--num-samples-per-epoch", "4", "--batch-size", "2",
    "--num-inference-steps", "4", "--eval-every-each-epoch", "1", "--num-eval-samples", "2", "--device", "cpu",
    "--initial-lr", "1e-4", "--peak-lr", "1e-4", "--ratio-tolerance", "1e-3",
]


def epsilon(unet):
    """What a model makes of fixed noise at three timesteps."""
    side, channels = unet.config.sample_size, unet.config.in_channels
    noise = torch.randn(3, channels, side, side, generator=torch.Generator().manual_seed(5))
    with torch.no_grad():
        return unet.eval()(noise, torch.tensor([3, 250, 900])).sample


def fresh(unet):
    """The same weights in a model's own memory: how a tensor lies has a say in the last bits."""
    copy = UNet2DModel.from_config(unet.config)
    copy.load_state_dict(unet.state_dict())
    return copy


def ours_in_torch(ddpo, folder):
    """A checkpoint of ddpo's as .pth: strictly loaded, the optimizer goes on, the same epsilon."""
    row = Row("convert-to-pth")
    write_checkpoint(CASES[0], folder / "model", 600)
    ddpo("train", "--ddpm-ckpt", folder / "model", "--output-dir", folder / "run", *TRAIN)
    made = folder / "run" / "checkpoints" / "epoch-000001"
    ddpo("convert", made, "--out", folder / "made.pth")
    loaded = torch.load(folder / "made.pth", weights_only=True)
    unet = UNet2DModel.from_pretrained(made / "unet")
    taken = UNet2DModel.from_config(unet.config)
    taken.load_state_dict(loaded["model_state_dict"], strict=True)
    if list(loaded["model_state_dict"]) != list(taken.state_dict()):
        row.fail("the parameters are in another order than UNet2DModel's")
    row.limit("epsilon", (epsilon(fresh(unet)) - epsilon(taken)).abs().max().item(), 0.0)
    optimizer = torch.optim.AdamW(taken.parameters())
    optimizer.load_state_dict(loaded["optimizer_state_dict"])
    moments = load_file(made / "optimizer.safetensors")
    for name, parameter in taken.named_parameters():
        state = optimizer.state[parameter]
        for ours, theirs in (("first", "exp_avg"), ("second", "exp_avg_sq")):
            row.limit("moments", (state[theirs] - moments[f"{ours}.{name}"]).abs().max().item(), 0.0)
        parameter.grad = torch.ones_like(parameter)
    steps = {int(state["step"]) for state in optimizer.state.values()}
    optimizer.step()
    row.note("steps", steps)
    if steps != {2} or optimizer.param_groups[0]["lr"] != 1e-4:
        row.fail(f"AdamW: steps {steps}, rate {optimizer.param_groups[0]['lr']}")
    return row


def torch_in_ours(ddpo, folder):
    """A .pth file of torch's, with the old names of attention, as a folder that diffusers opens."""
    row = Row("convert-from-pth")
    case = next(case for case in CASES if case.name == "bin-root-old-names")
    unet = write_checkpoint(case, folder / "base", 601)
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
        folder / "seed.pth",
    )
    ddpo("convert", folder / "seed.pth", "--ddpm-ckpt", folder / "base", "--out", folder / "made")
    pipeline = DDIMPipeline.from_pretrained(folder / "made")
    pipeline.set_progress_bar_config(disable=True)
    row.limit("epsilon", (epsilon(fresh(pipeline.unet)) - epsilon(finetuned)).abs().max().item(), 0.0)
    row.at_least("moved", (epsilon_before - epsilon(finetuned)).abs().max().item(), 1e-4)
    row.note("images", len(pipeline(batch_size=2, num_inference_steps=4, eta=1.0).images))
    return row


FETCH = """
import sys, torch
from diffusers import DDIMPipeline
pipeline = DDIMPipeline.from_pretrained(sys.argv[1])
torch.save(pipeline.unet.state_dict(), sys.argv[2])
pipeline(batch_size=1, num_inference_steps=2, eta=1.0, generator=torch.Generator().manual_seed(0))
"""


def pushed(ddpo, hub, folder):
    """A repository that ddpo pushed, fetched by diffusers by its name alone."""
    row = Row("push")
    write_checkpoint(CASES[0], folder / "model", 602)
    ddpo("train", "--ddpm-ckpt", folder / "model", "--output-dir", folder / "run", *TRAIN)
    server = subprocess.Popen([hub, TOKEN], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        where = {"HF_ENDPOINT": server.stdout.readline().strip(), "HF_TOKEN": TOKEN, "HF_HOME": str(folder / "cache")}
        os.environ.update(where)
        ddpo("push", REPOSITORY, "--run", folder / "run")
        fetch = [sys.executable, "-c", FETCH, REPOSITORY, folder / "fetched.pt"]
        done = subprocess.run(fetch, capture_output=True, text=True, env=os.environ | {"HF_HUB_DISABLE_XET": "1"})
        if done.returncode != 0:
            row.fail(done.stderr.strip().splitlines()[-1])
            return row
    finally:
        for name in ("HF_ENDPOINT", "HF_TOKEN", "HF_HOME"):
            os.environ.pop(name, None)
        server.stdin.close()
        server.wait()
    fetched = torch.load(folder / "fetched.pt", weights_only=True)
    best = load_file(folder / "run" / "checkpoints" / "best" / "unet" / "diffusion_pytorch_model.safetensors")
    same = fetched.keys() == best.keys() and all(torch.equal(fetched[name], best[name]) for name in best)
    row.note("tensors", len(fetched))
    if not same:
        row.fail("diffusers fetches other weights than were pushed")
    return row


def comparisons(ddpo, hub):
    """Name and function of each; `hub` is the tests' own Hub."""
    yield "convert-to-pth", lambda folder: ours_in_torch(ddpo, folder)
    yield "convert-from-pth", lambda folder: torch_in_ours(ddpo, folder)
    yield "push", lambda folder: pushed(ddpo, hub, folder)
