"""Maps folders to digests of their files, to compare the results of two runs."""

import hashlib
import pathlib


def digests(folder):
    """Returns the SHA-256 of every file under a folder."""
    folder = pathlib.Path(folder)
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }


def last_checkpoint(run):
    """Returns the name and digests of a run's last checkpoint; it must contain weights, moments and state."""
    last = sorted((pathlib.Path(run) / "checkpoints").glob("epoch-*"))[-1]
    found = digests(last)
    for name in ["optimizer.safetensors", "state.json", "unet/diffusion_pytorch_model.safetensors"]:
        assert name in found, f"{last} has no {name}: {sorted(found)}"
    return last.name, found
