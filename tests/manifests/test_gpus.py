"""GPUs in the image, in docker-compose.gpu.yml, and in the patch for MIG that README.md of deploy/kubernetes shows."""

import re

import pytest
import yaml

import environment
import gpus
import stacks
from conftest import unusable
from stacks import ROOT

DOCKERFILE = (ROOT / "deploy/docker/Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "docker-compose.gpu.yml").read_text())


def image_variables():
    """Returns the variables of the image with CUDA."""
    stage = DOCKERFILE.rpartition("\nFROM runtime AS runtime-cuda\n")[2]
    (text,) = re.findall(r"^ENV ((?:.*\\\n)*.*)$", stage, re.MULTILINE)
    return dict(pair.split("=", 1) for pair in text.replace("\\\n", " ").split())


def test_the_image_sets_pytorch_variables_and_selects_no_gpu():
    found = image_variables()
    assert found["CUDA_DEVICE_ORDER"] == "PCI_BUS_ID"
    assert found["CUDA_MODULE_LOADING"] == "LAZY"
    assert found["PYTORCH_ALLOC_CONF"] == "expandable_segments:True"
    assert "PYTORCH_CUDA_ALLOC_CONF" not in found, "the old name overrides the new one"
    assert not gpus.NOT_OURS & set(found)
    # own-gpu runs nvidia-smi, which `utility` provides.
    assert found["NVIDIA_DRIVER_CAPABILITIES"] == "compute,utility"


@pytest.mark.parametrize("name", ["learner", "rewarder", "sampler"])
def test_compose_limits_the_cache_of_kernels(name):
    path, most = (image_variables()[f"CUDA_CACHE_{what}"] for what in ["PATH", "MAXSIZE"])
    (mount,) = COMPOSE["services"][name]["tmpfs"]
    target, _, options = mount.partition(":")
    (size,) = re.findall(r"size=(\d+)m", options)
    assert target == path
    assert int(size) * 1024**2 > int(most)


def test_compose_passes_the_gpus_of_learner_and_rewarder_to_samplers():
    sampler = COMPOSE["services"]["sampler"]
    assert sampler["command"][0] == "own-gpu"
    assert sampler["environment"]["SAMPLER_GPUS"] == "${SAMPLER_GPUS:-}"
    for role in ["learner", "rewarder"]:
        (device,) = COMPOSE["services"][role]["deploy"]["resources"]["reservations"]["devices"]
        assert device["device_ids"] == [sampler["environment"][f"{role.upper()}_GPU"]]


def test_the_cache_of_kernels_is_the_same_in_image_and_pods(rendered):
    for name in ["learner", "sampler"]:
        pods = environment.variables(rendered["overlays/multi-gpu"].services()[name])
        for variable in ["CUDA_CACHE_PATH", "CUDA_CACHE_MAXSIZE"]:
            assert pods[variable] == image_variables()[variable]


def test_the_patch_for_mig_in_the_readme_gives_a_sampler_one_mig_device(pytestconfig, programs):
    kubectl = pytestconfig.getoption("--kubectl")
    if reason := unusable(kubectl):
        pytest.skip(reason)
    stack = stacks.render_mig_example(kubectl)
    assert gpus.gpus(stack.services()["sampler"]) == {"nvidia.com/mig-3g.40gb": 1}
    assert gpus.gpus(stack.services()["learner"]) == {"nvidia.com/gpu": 1}
    assert not gpus.check(stack, programs)
