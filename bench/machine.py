"""Describes the machine of a result."""

import importlib.metadata
import os
import pathlib
import platform
import subprocess

ROOT = pathlib.Path(__file__).resolve().parent.parent

# The instruction sets that decide how fast convolutions run.
FLAGS = ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "asimd", "sve", "bf16")


def cpu():
    fields = {}
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    flags = fields.get("flags", fields.get("Features", "")).split()
    return fields.get("model name", platform.processor()), [f for f in FLAGS if f in flags]


def output(*command):
    try:
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def describe():
    model, flags = cpu()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    packages = ("torch", "diffusers", "transformers", "pillow", "numpy")
    return {
        "cpu": model,
        "cpu_flags": flags,
        "cores": os.cpu_count(),
        "memory_gib": round(memory / 2**30, 1),
        "gpu": output("nvidia-smi", "--query-gpu=name", "--format=csv,noheader"),
        "kernel": platform.release(),
        "load_average_before": round(os.getloadavg()[0], 2),
        "commit": output("git", "rev-parse", "--short", "HEAD"),
        "versions": {
            "python": platform.python_version(),
            "rustc": output("rustc", "--version").removeprefix("rustc ").split(" ")[0],
            **{name: importlib.metadata.version(name) for name in packages},
        },
    }
