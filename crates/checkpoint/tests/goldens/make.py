"""Writes the golden files for the tests of ddpo-checkpoint, with PyTorch.

    pip install torch==2.11.0 numpy safetensors && python make.py

The pickles cover every type, stride and nesting of a checkpoint. `state.safetensors` has the expected
values: the same tensors, contiguous.
"""

import os
import pathlib
import zipfile

import torch
from safetensors.torch import save_file

HERE = pathlib.Path(__file__).parent


def tensors():
    """Returns one tensor of each type, and views that share a storage."""
    generator = torch.Generator().manual_seed(7)
    base = torch.randn(4, 6, generator=generator)
    shared = torch.arange(24, dtype=torch.float32)
    return {
        "f32": base,
        "f16": base.half(),
        "bf16": base.bfloat16(),
        "f64": base.double(),
        "i64": torch.tensor([-(2**40), -1, 0, 7, 2**40]),
        "i32": torch.arange(5, dtype=torch.int32) - 2,
        "i16": torch.arange(5, dtype=torch.int16) - 2,
        "i8": torch.arange(5, dtype=torch.int8) - 2,
        "u8": torch.arange(5, dtype=torch.uint8),
        "bool": torch.tensor([True, False, True]),
        "scalar": torch.tensor(3.5),
        "empty": torch.empty(0, 3),
        "transposed": base.t(),
        "sliced": base[1:3, ::2],
        "channels_last": torch.randn(2, 3, 4, 5, generator=generator).contiguous(
            memory_format=torch.channels_last
        ),
        "expanded": torch.tensor([[1.0], [2.0]]).expand(2, 4),
        "shared.head": shared[:8],
        "shared.tail": shared[8:].view(4, 4),
        "parameter": torch.nn.Parameter(base[0].clone()),
    }


class Malicious:
    """Runs a command when Python unpickles it."""

    def __reduce__(self):
        return os.system, ("touch /tmp/ddpo-pickle-was-run",)


def main():
    state = tensors()
    torch.save(state, HERE / "state.bin")
    for protocol in (3, 4, 5):
        torch.save(state, HERE / f"state-protocol-{protocol}.bin", pickle_protocol=protocol)
    contiguous = {name: value.detach().contiguous().clone() for name, value in state.items()}
    save_file(contiguous, HERE / "state.safetensors", metadata={"format": "pt"})

    layers = torch.nn.Sequential(torch.nn.Linear(3, 2), torch.nn.BatchNorm1d(2))
    with torch.no_grad():
        layers[0].weight.copy_(torch.arange(6.0).view(2, 3))
        layers[0].bias.copy_(torch.tensor([0.5, -0.5]))
    nested = {
        "model_state_dict": layers.state_dict(),
        "best_reward": 1.25,
        "epoch": 3,
        "run_seed": 92013491249214123,
        "task": "jpeg compressibility",
        "done": False,
        "history": [1, 2.5, (True, None)],
        "huge": 2**100,
    }
    torch.save(nested, HERE / "nested.pth")
    torch.save({"weight": torch.zeros(2), "evil": Malicious()}, HERE / "malicious.pth")
    torch.save(torch.zeros(3), HERE / "bare-tensor.pth")
    torch.save({"w": torch.ones(2)}, HERE / "legacy.bin", _use_new_zipfile_serialization=False)

    with (
        zipfile.ZipFile(HERE / "nested.pth") as plain,
        zipfile.ZipFile(HERE / "deflated.pth", "w", zipfile.ZIP_DEFLATED) as deflated,
    ):
        for entry in plain.namelist():
            deflated.writestr(entry, plain.read(entry))


if __name__ == "__main__":
    main()
