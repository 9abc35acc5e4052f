"""Writes the golden files for the tests of ddpo-checkpoint, with PyTorch.

    pip install torch==2.11.0 numpy safetensors && python make.py

The pickles cover every type, stride and nesting of a checkpoint. `state.safetensors` has the expected
values: the same tensors, contiguous.
"""

import json
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


def write_shards(tensors):
    """Writes `tensors` as two safetensors files and as two pickles, with the index that diffusers writes."""
    names = sorted(tensors)
    halves = {1: names[::2], 2: names[1::2]}
    for ending in ("safetensors", "bin"):
        files = {half: f"state-0000{half}-of-00002.{ending}" for half in halves}
        for half, file in files.items():
            part = {name: tensors[name] for name in halves[half]}
            save_file(part, HERE / file, metadata={"format": "pt"}) if ending == "safetensors" else torch.save(part, HERE / file)
        weight_map = {name: files[half] for half in halves for name in halves[half]}
        index = {"metadata": {"total_size": sum(t.numel() * t.element_size() for t in tensors.values())}, "weight_map": weight_map}
        (HERE / f"state.{ending}.index.json").write_text(json.dumps(index, indent=2, sort_keys=True) + "\n")


class Malicious:
    """Runs a command when Python unpickles it."""

    def __reduce__(self):
        return os.system, ("touch /tmp/ddpo-pickle-was-run",)


def main():
    state = tensors()
    torch.save(state, HERE / "state.bin")
    for protocol in (3, 4, 5):
        torch.save(state, HERE / f"state-protocol-{protocol}.bin", pickle_protocol=protocol)
    torch.save(state, HERE / "state-legacy.bin", _use_new_zipfile_serialization=False)
    contiguous = {name: value.detach().contiguous().clone() for name, value in state.items()}
    save_file(contiguous, HERE / "state.safetensors", metadata={"format": "pt"})
    write_shards(contiguous)

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
    torch.save(nested, HERE / "nested-legacy.pth", _use_new_zipfile_serialization=False)
    evil = {"weight": torch.zeros(2), "evil": Malicious()}
    torch.save(evil, HERE / "malicious.pth")
    torch.save(evil, HERE / "malicious-legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(torch.zeros(3), HERE / "bare-tensor.pth")

    with (
        zipfile.ZipFile(HERE / "nested.pth") as plain,
        zipfile.ZipFile(HERE / "deflated.pth", "w", zipfile.ZIP_DEFLATED) as deflated,
    ):
        for entry in plain.namelist():
            deflated.writestr(entry, plain.read(entry))


if __name__ == "__main__":
    main()
