"""Folders as maps from relative path to digest, to compare what two runs left."""

import hashlib
import pathlib


def digests(folder):
    """The SHA-256 of every file under a folder."""
    folder = pathlib.Path(folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }


def last_checkpoint(run):
    """The digests of a run's last checkpoint, which has to hold weights, moments and state."""
    last = sorted((pathlib.Path(run) / "checkpoints").glob("epoch-*"))[-1]
    found = digests(last)
    for name in ["optimizer.safetensors", "state.json", "unet/diffusion_pytorch_model.safetensors"]:
        assert name in found, f"{last} has no {name}: {sorted(found)}"
    return last.name, found
