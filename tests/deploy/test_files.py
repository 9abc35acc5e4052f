"""docker-compose.yml with both versions of Compose, and the scripts of the image."""

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


def test_compose_files_match_the_v2_schema():
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


def test_secrets_are_generated_once_and_readable_by_the_owner_only(tmp_path):
    drawn = make_secrets(tmp_path)
    assert set(drawn) == {"token", "redis-password", "redis.conf"}
    assert re.search(r"^[0-9a-f]{64}$", drawn["token"])
    assert re.search(r"^[0-9a-f]{64}$", drawn["redis-password"])
    assert drawn["token"] != drawn["redis-password"]
    assert drawn["redis.conf"] == f'requirepass "{drawn["redis-password"]}"\n'
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    assert make_secrets(tmp_path) == drawn


def test_given_secrets_replace_generated_ones(tmp_path):
    make_secrets(tmp_path)
    given = make_secrets(tmp_path, DDPO_SERVICE_TOKEN="0123456789abcdef", REDIS_PASSWORD='a "b\\c')
    assert given["token"] == "0123456789abcdef\n"
    assert given["redis-password"] == 'a "b\\c\n'
    assert given["redis.conf"] == 'requirepass "a \\"b\\\\c"\n'


PROGRAMS = {"ddpo", "ddpo-learner", "ddpo-rewarder", "ddpo-sampler"}


# Replaces `python3` when `compile` makes a virtual environment. The environment's pip records its arguments.
PYTHON = '''#!/bin/sh
[ "$1 $2" = "-m venv" ] || exit 2
mkdir -p "$3/bin"
printf '#!/bin/sh\\nprintf "%%s\\\\n" "$@" >"$ASKED"\\n' >"$3/bin/pip"
chmod +x "$3/bin/pip"
'''


def write(path, text="placeholder"):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def clone(tmp_path):
    """A clone of the project with placeholders for the compiled files."""
    clone = tmp_path / "clone"
    (clone / ".libtorch").mkdir(parents=True)
    for program in PROGRAMS:
        write(clone / "target/release" / program)
    write(tmp_path / "bin/make", "#!/bin/sh\n").chmod(0o755)
    return clone


def gathered(clone):
    """Runs the image's `compile`, and returns the folder of libraries in the artifacts."""
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
    assert not lib.with_name("include").exists(), "the image contains no headers"


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


def test_a_missing_cuda_library_fails_the_build(clone):
    """The build fails if libtorch_cuda.so would not load in the image; the driver's library may be missing."""
    packages = clone.with_name("torch") / "lib/python3/site-packages"
    write(packages / "torch/lib/libtorch.so")
    write(packages / "torch/lib/libtorch_cuda.so")
    write(packages / "nvidia/cu13/lib/libcudart.so")
    (clone / ".libtorch/lib").symlink_to(packages / "torch/lib")
    ldd = write(clone.with_name("bin") / "ldd", "#!/bin/sh\nprintf '\\tlibcuda.so.1 => not found\\n'\n")
    ldd.chmod(0o755)
    gathered(clone)
    ldd.write_text("#!/bin/sh\nprintf '\\tlibcuda.so.1 => not found\\n\\tlibcudnn.so.9 => not found\\n'\n")
    environment = {"PATH": f"{ldd.parent}:{os.environ['PATH']}", "ARTIFACTS": str(clone.with_name("again"))}
    done = subprocess.run(
        [DOCKER / "compile", "build"], cwd=clone, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.strip().endswith("libraries that the image would not have: libcudnn.so.9")


def set_up(clone, *arguments):
    """Runs `compile set-up` with scripts that do nothing; returns the process and the arguments that pip got."""
    asked = clone.with_name("asked")
    write(clone / "scripts/setup-system", "#!/bin/sh\n").chmod(0o755)
    write(clone / "scripts/setup-libtorch", "#!/bin/sh\nreadonly version=2.11.0\n").chmod(0o755)
    write(clone.with_name("bin") / "python3", PYTHON).chmod(0o755)
    environment = {
        "PATH": f"{clone.with_name('bin')}:{os.environ['PATH']}",
        "HOME": str(clone.with_name("home")),
        "TORCH": str(clone.with_name("torch")),
        "ASKED": str(asked),
    }
    command = [DOCKER / "compile", "set-up", *arguments]
    done = subprocess.run(command, cwd=clone, env=environment, capture_output=True, text=True, check=False)
    return done, asked.read_text().split() if asked.exists() else None


INDEX = "https://download.pytorch.org/whl"


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["cpu"], None),
        (["cuda"], ["torch==2.11.0"]),
        (["cuda", "cu130"], ["torch==2.11.0"]),
        (["cuda", "cu128"], ["--index-url", f"{INDEX}/cu128", "torch==2.11.0+cu128"]),
        (["cuda", "cu126"], ["--index-url", f"{INDEX}/cu126", "torch==2.11.0+cu126"]),
    ],
)
def test_the_build_argument_chooses_the_cuda_of_pytorch(clone, arguments, expected):
    done, asked = set_up(clone, *arguments)
    assert done.returncode == 0, done.stderr
    assert (asked and asked[3:]) == expected
    assert asked is None or asked[:3] == ["install", "--quiet", "--no-cache-dir"]


@pytest.mark.parametrize("arguments", [["cuda", "cu118"], ["cuda", "rocm7.2"], ["rocm"]])
def test_rejects_unsupported_cuda_versions(clone, arguments):
    done, asked = set_up(clone, *arguments)
    assert done.returncode == 2
    assert f"found {arguments[-1]}" in done.stderr
    assert asked is None


def test_the_build_argument_reaches_compile():
    dockerfile = (DOCKER / "Dockerfile").read_text()
    (default,) = re.findall(r"^ARG TORCH_CUDA=(\w+)$", dockerfile, re.MULTILINE)
    assert 'compile set-up cuda "$TORCH_CUDA"' in dockerfile
    assert f"TORCH_CUDA: ${{TORCH_CUDA:-{default}}}" in (ROOT / "docker-compose.gpu.yml").read_text()
    stage = dockerfile.partition(" AS build-cuda\n")[2].partition("\nFROM ")[0]
    assert "\nARG TORCH_CUDA\n" in f"\n{stage}"
