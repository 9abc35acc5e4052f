"""docker-compose.yml as both versions of Compose read it, and the scripts of the image."""

import contextlib
import os
import pathlib
import re
import stat
import subprocess
import sys

import pytest

from engine import NO_ENV, compose_command, plain_environment
from stack import ROOT

FILES = {"cpu": ["docker-compose.yml"], "gpu": ["docker-compose.yml", "docker-compose.gpu.yml"]}
DOCKER = ROOT / "deploy/docker"

# Variables in .env that Compose itself reads.
READ_BY_COMPOSE = {"COMPOSE_FILE", "COMPOSE_PROFILES"}


def test_the_schema_of_v2_accepts_each_file():
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
    done = subprocess.run([*command, *FILES["gpu"]], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("kind", FILES)
def test_compose_accepts_the_files_with_and_without_gpus(kind):
    if not (words := compose_command()):
        pytest.skip("Docker Compose is not installed")
    flags = [f"--file={file}" for file in FILES[kind]]
    command = [*words, f"--env-file={NO_ENV}", *flags, "config"]
    done = subprocess.run(command, cwd=ROOT, env=plain_environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert ("capabilities" in done.stdout) == (kind == "gpu")


def test_compose_reads_every_variable_of_env_example():
    text = "".join((ROOT / file).read_text() for file in FILES["gpu"])
    asked = set(re.findall(r"\$\{(\w+)", text)) | set(re.findall(r"^ +(\w+):$", text, re.MULTILINE))
    named = re.findall(r"^#(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
    assert set(named) - asked - READ_BY_COMPOSE == set()
    assert {"DDPO_DDPM_CKPT", "DDPO_TASK", "DDPO_SERVICE_TOKEN", "SAMPLER_GPUS"} <= set(named)


def make_secrets(folder, **given):
    """Runs the image's `make-secrets` and returns {file: text}."""
    command = [DOCKER / "make-secrets", folder]
    subprocess.run(command, check=True, env={"PATH": os.environ["PATH"], **given})
    return {path.name: path.read_text() for path in folder.iterdir()}


def test_secrets_are_drawn_once_and_for_their_owner_only(tmp_path):
    drawn = make_secrets(tmp_path)
    assert set(drawn) == {"token", "redis-password", "redis.conf"}
    assert re.search(r"^[0-9a-f]{64}$", drawn["token"])
    assert re.search(r"^[0-9a-f]{64}$", drawn["redis-password"])
    assert drawn["token"] != drawn["redis-password"]
    assert drawn["redis.conf"] == f'requirepass "{drawn["redis-password"]}"\n'
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    assert make_secrets(tmp_path) == drawn


def test_given_secrets_replace_drawn_ones(tmp_path):
    make_secrets(tmp_path)
    given = make_secrets(tmp_path, DDPO_SERVICE_TOKEN="0123456789abcdef", REDIS_PASSWORD='a "b\\c')
    assert given["token"] == "0123456789abcdef\n"
    assert given["redis-password"] == 'a "b\\c\n'
    assert given["redis.conf"] == 'requirepass "a \\"b\\\\c"\n'


@pytest.fixture
def sampler(tmp_path):
    """Starts a process under `own-gpu`, and returns it with the device that it was given."""
    environment = {"PATH": os.environ["PATH"], "GPU_LOCKS": str(tmp_path), "SAMPLER_GPUS": "1 3"}
    command = [DOCKER / "own-gpu", "sh", "-c", 'echo "$DDPO_SAMPLER_SAMPLER_DEVICE"; exec cat']
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    with contextlib.ExitStack() as started:

        def start():
            process = started.enter_context(subprocess.Popen(command, env=environment, text=True, **pipes))
            started.callback(process.kill)
            return process, process.stdout.readline().strip()

        yield start


def test_each_sampler_gets_a_free_gpu_first(sampler):
    started = [sampler() for _ in range(3)]
    assert [device for _, device in started] == ["cuda:1", "cuda:3", "cuda:1"]
    # A GPU is free again when its sampler is gone, however that ended.
    first = started[0][0]
    first.kill()
    first.wait()
    assert sampler()[1] == "cuda:1"
    assert sampler()[1] == "cuda:3"


PROGRAMS = {"ddpo", "ddpo-learner", "ddpo-rewarder", "ddpo-sampler"}


def write(path, text="stands for something"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def clone(tmp_path):
    """A clone of the project in which files stand for what is compiled."""
    clone = tmp_path / "clone"
    (clone / ".libtorch").mkdir(parents=True)
    for program in PROGRAMS:
        write(clone / "target/release" / program)
    write(tmp_path / "bin/make", "#!/bin/sh\n").chmod(0o755)
    return clone


def gathered(clone):
    """Runs the image's `compile`, and returns the folder of libraries among what it leaves for the image."""
    artifacts = clone.with_name("artifacts")
    environment = {"PATH": f"{clone.with_name('bin')}:{os.environ['PATH']}", "ARTIFACTS": str(artifacts)}
    subprocess.run([DOCKER / "compile", "build"], cwd=clone, env=environment, check=True)
    home = artifacts / "opt/ddpo"
    assert {path.name for path in (home / "target/release").iterdir()} == PROGRAMS
    return home / ".libtorch/lib"


def test_the_image_has_libtorch_for_the_cpu(clone):
    write(clone / ".libtorch/lib/libtorch.so")
    write(clone / ".libtorch/include/torch.h")
    lib = gathered(clone)
    assert [path.name for path in lib.iterdir()] == ["libtorch.so"]
    assert not lib.with_name("include").exists(), "nothing is compiled in the image"


def test_the_image_has_pytorch_with_cuda_at_its_path(clone):
    packages = clone.with_name("torch") / "lib/python3/site-packages"
    write(packages / "torch/lib/libtorch.so")
    write(packages / "torch/include/torch.h")
    write(packages / "nvidia/cu13/lib/libcudart.so")
    (clone / ".libtorch/lib").symlink_to(packages / "torch/lib")
    lib = gathered(clone)
    assert os.readlink(lib) == str(packages / "torch/lib")
    copied = pathlib.Path(f"{clone.with_name('artifacts')}{packages}")
    found = {str(path.relative_to(copied)) for path in copied.rglob("*") if path.is_file()}
    assert found == {"torch/lib/libtorch.so", "nvidia/cu13/lib/libcudart.so"}
