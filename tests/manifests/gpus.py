"""Each pod with a GPU has one, sees no other, and keeps CUDA's compiled kernels in a folder of limited size."""

import re

import environment
from stacks import container, pod

# Where the settings name the device, by service.
DEVICES = {
    "learner": lambda settings: settings["device"],
    "sampler": lambda settings: settings["sampler"]["sampler_device"],
    "rewarder": lambda settings: settings["rewarder"]["reward_device"],
}

# What a program that sees one GPU may run on. The settings of cpu-smoke name the CPU, with the component `gpu` too.
DEVICES_WITH_ONE_GPU = {"auto", "cuda", "cuda:0", "cpu"}

# The device plugin says which GPU a container sees; the programs set cuBLAS's workspace themselves.
NOT_OURS = {"NVIDIA_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES", "CUBLAS_WORKSPACE_CONFIG"}

UNITS = {"": 1, "k": 1000, "M": 1000**2, "G": 1000**3, "Ki": 1024, "Mi": 1024**2, "Gi": 1024**3}


def check(stack, binaries):
    """Returns what is wrong with the GPUs of a stack."""
    problems = []
    for component, workload in stack.services().items():
        found = [*_count(workload), *_variables(workload), *_cache(workload)]
        settings, error = binaries.resolved(stack, workload)
        if not error:
            found += _device(workload, DEVICES[component](settings))
        problems += [f"{component}: {problem}" for problem in found]
    return problems


def gpus(workload):
    """Returns the GPUs and MIG devices that the container asks for, by resource."""
    limits = container(workload).get("resources", {}).get("limits", {})
    return {name: int(number) for name, number in limits.items() if re.fullmatch(r"nvidia\.com/(gpu|mig-.*)", name)}


def in_bytes(quantity):
    """Returns the bytes of a quantity such as 512Mi."""
    number, unit = re.fullmatch(r"(\d+)(\w*)", str(quantity)).groups()
    return int(number) * UNITS[unit]


def _count(workload):
    if sum(gpus(workload).values()) not in (0, 1):
        yield f"expected one GPU or none, found {gpus(workload)}"


def _variables(workload):
    for name in NOT_OURS & set(environment.variables(workload)):
        yield f"{name} is set"


def _device(workload, device):
    if gpus(workload) and device not in DEVICES_WITH_ONE_GPU:
        yield f"has a GPU and runs on {device}; expected one of {sorted(DEVICES_WITH_ONE_GPU)}"
    if not gpus(workload) and device.startswith("cuda"):
        yield f"runs on {device} and asks for no GPU"


def _cache(workload):
    variables = environment.variables(workload)
    path, most = variables.get("CUDA_CACHE_PATH"), variables.get("CUDA_CACHE_MAXSIZE")
    if not gpus(workload):
        return
    if not path or not most:
        yield "CUDA_CACHE_PATH and CUDA_CACHE_MAXSIZE: both are needed with a GPU"
        return
    names = {mount["name"] for mount in container(workload)["volumeMounts"] if mount["mountPath"] == path}
    limits = [one.get("emptyDir", {}).get("sizeLimit") for one in pod(workload)["volumes"] if one["name"] in names]
    if not limits or not limits[0]:
        yield f"CUDA_CACHE_PATH = {path} is on no emptyDir with a sizeLimit"
    elif in_bytes(limits[0]) <= in_bytes(most):
        yield f"CUDA_CACHE_PATH: sizeLimit {limits[0]} does not exceed CUDA_CACHE_MAXSIZE {most}"
