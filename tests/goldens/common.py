"""Shared by the golden writers: reproducible weights and the file format."""

import json
import pathlib
import struct

import torch

FOLDER = pathlib.Path(__file__).resolve().parent


def randomize(module, generator):
    """Gives every parameter of `module` a unique value.

    Norm scales lie around one, biases around zero and the rest keeps its fan-in, so that a
    swapped, dropped or transposed tensor changes the output. Values are rounded to bfloat16:
    half of each file's bytes are then zero and git packs them away.
    """
    for name, parameter in module.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim > 1:
            fan_in = parameter[0].numel()
            value = noise * (1.5 / fan_in) ** 0.5
        elif name.endswith("weight"):
            value = 1.0 + 0.2 * noise
        else:
            value = 0.1 * noise
        parameter.data.copy_(value.bfloat16().float())


def generator(seed):
    return torch.Generator().manual_seed(seed)


DTYPES = {torch.float32: "F32", torch.int64: "I64", torch.uint8: "U8"}


def write(path, tensors, metadata):
    """Writes `tensors` as safetensors; values of `metadata` that are not text become JSON.

    The safetensors library writes metadata in a random order; this writer sorts, so that the
    same goldens are the same bytes.
    """
    header = {"__metadata__": {k: v if isinstance(v, str) else json.dumps(v) for k, v in sorted(metadata.items())}}
    payload = bytearray()
    for name, tensor in sorted(tensors.items()):
        raw = tensor.detach().contiguous().numpy().tobytes()
        begin = len(payload)
        payload += raw
        header[name] = {
            "dtype": DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [begin, len(payload)],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + payload)


def clear(folder, pattern="*.safetensors"):
    """Removes the files of an earlier run, so that a renamed case leaves nothing behind."""
    for path in folder.glob(pattern):
        path.unlink()


def report(folder):
    sizes = {p.name: p.stat().st_size for p in sorted(folder.glob("*.safetensors"))}
    for name, size in sizes.items():
        print(f"{name:44} {size:8}")
    print(f"{len(sizes)} files, {sum(sizes.values()) / 1e6:.2f} MB in {folder.name}/")
