"""docker-compose.yml as both versions of Compose read it, and the scripts of the image."""

import os
import pathlib
import re
import stat
import subprocess
import tempfile
import unittest

from engine import NO_ENV, compose_command, plain_environment
from stack import ROOT

FILES = {"cpu": ["docker-compose.yml"], "gpu": ["docker-compose.yml", "docker-compose.gpu.yml"]}
DOCKER = ROOT / "deploy/docker"

# What Compose itself takes from .env.
COMPOSE_S_OWN = {"COMPOSE_FILE", "COMPOSE_PROFILES"}


class Files(unittest.TestCase):
    def test_the_schema_of_v2_accepts_each_file(self):
        python = os.environ.get("DDPO_SCHEMA_PYTHON")
        if not python:
            self.skipTest("make test-deploy names the Python that has the schema")
        for file in FILES["gpu"]:
            command = [python, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec"]
            done = subprocess.run([*command, ROOT / file], capture_output=True, text=True, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def test_compose_itself_accepts_them_with_and_without_gpus(self):
        if not (words := compose_command()):
            self.skipTest("there is no Docker Compose")
        for kind, files in FILES.items():
            flags = [f"--file={file}" for file in files]
            command = [*words, f"--env-file={NO_ENV}", *flags, "config"]
            done = subprocess.run(
                command, cwd=ROOT, env=plain_environment(), capture_output=True, text=True, check=False
            )
            self.assertEqual(done.returncode, 0, done.stderr)
            self.assertEqual("capabilities" in done.stdout, kind == "gpu")

    def test_every_variable_of_env_example_is_asked_for(self):
        text = "".join((ROOT / file).read_text() for file in FILES["gpu"])
        asked = set(re.findall(r"\$\{(\w+)", text)) | set(re.findall(r"^ +(\w+):$", text, re.MULTILINE))
        named = re.findall(r"^#(\w+)=", (ROOT / ".env.example").read_text(), re.MULTILINE)
        self.assertEqual(set(named) - asked - COMPOSE_S_OWN, set())
        for needed in ["DDPO_DDPM_CKPT", "DDPO_TASK", "DDPO_SERVICE_TOKEN", "SAMPLER_GPUS"]:
            self.assertIn(needed, named)


class Scripts(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def make_secrets(self, **given):
        command = [DOCKER / "make-secrets", self.folder]
        subprocess.run(command, check=True, env={"PATH": os.environ["PATH"], **given})
        return {path.name: path.read_text() for path in self.folder.iterdir()}

    def test_secrets_are_drawn_once_and_for_their_owner_only(self):
        drawn = self.make_secrets()
        self.assertEqual(set(drawn), {"token", "redis-password", "redis.conf"})
        self.assertRegex(drawn["token"], r"^[0-9a-f]{64}$")
        self.assertRegex(drawn["redis-password"], r"^[0-9a-f]{64}$")
        self.assertNotEqual(drawn["token"], drawn["redis-password"])
        self.assertEqual(drawn["redis.conf"], f'requirepass "{drawn["redis-password"]}"\n')
        for path in self.folder.iterdir():
            self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600, path)
        self.assertEqual(self.make_secrets(), drawn)

    def test_secrets_that_are_given_win(self):
        self.make_secrets()
        given = self.make_secrets(DDPO_SERVICE_TOKEN="0123456789abcdef", REDIS_PASSWORD='a "b\\c')
        self.assertEqual(given["token"], "0123456789abcdef\n")
        self.assertEqual(given["redis-password"], 'a "b\\c\n')
        self.assertEqual(given["redis.conf"], 'requirepass "a \\"b\\\\c"\n')

    def test_each_sampler_gets_a_gpu_of_its_own_first(self):
        environment = {
            "PATH": os.environ["PATH"], "GPU_LOCKS": str(self.folder), "SAMPLER_GPUS": "1 3",
        }
        tell = 'echo "$DDPO_SAMPLER_SAMPLER_DEVICE"; exec cat'

        def start():
            process = subprocess.Popen(
                [DOCKER / "own-gpu", "sh", "-c", tell], env=environment, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )
            self.addCleanup(process.stdout.close)
            self.addCleanup(process.wait)
            self.addCleanup(process.kill)
            self.addCleanup(process.stdin.close)
            return process, process.stdout.readline().strip()

        started = [start() for _ in range(3)]
        self.assertEqual([device for _, device in started], ["cuda:1", "cuda:3", "cuda:1"])
        # A GPU is free again when its sampler is gone, however that ended.
        first = started[0][0]
        first.kill()
        first.wait()
        self.assertEqual(start()[1], "cuda:1")
        self.assertEqual(start()[1], "cuda:3")



class Compile(unittest.TestCase):
    """What the build stage leaves for the image, with files that stand for what is compiled."""

    PROGRAMS = ["ddpo", "ddpo-learner", "ddpo-rewarder", "ddpo-sampler"]

    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        self.clone, self.artifacts = self.folder / "clone", self.folder / "artifacts"
        (self.clone / ".libtorch").mkdir(parents=True)
        for program in self.PROGRAMS:
            self.write(self.clone / "target/release" / program)
        self.write(self.folder / "bin/make", "#!/bin/sh\n").chmod(0o755)

    @staticmethod
    def write(path, text="stands for something"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def gathered(self):
        path = f"{self.folder}/bin:{os.environ['PATH']}"
        environment = {"PATH": path, "ARTIFACTS": str(self.artifacts)}
        subprocess.run([DOCKER / "compile", "build"], cwd=self.clone, env=environment, check=True)
        home = self.artifacts / "opt/ddpo"
        programs = {path.name for path in (home / "target/release").iterdir()}
        self.assertEqual(programs, set(self.PROGRAMS))
        return home / ".libtorch/lib"

    def test_libtorch_for_the_cpu_comes_along(self):
        self.write(self.clone / ".libtorch/lib/libtorch.so")
        self.write(self.clone / ".libtorch/include/torch.h")
        lib = self.gathered()
        self.assertEqual([path.name for path in lib.iterdir()], ["libtorch.so"])
        self.assertFalse(lib.with_name("include").exists(), "nothing is compiled in the image")

    def test_pytorch_with_cuda_keeps_its_place(self):
        packages = self.folder / "torch/lib/python3/site-packages"
        self.write(packages / "torch/lib/libtorch.so")
        self.write(packages / "torch/include/torch.h")
        self.write(packages / "nvidia/cu13/lib/libcudart.so")
        (self.clone / ".libtorch/lib").symlink_to(packages / "torch/lib")
        lib = self.gathered()
        self.assertEqual(os.readlink(lib), str(packages / "torch/lib"))
        there = pathlib.Path(f"{self.artifacts}{packages}")
        found = {str(path.relative_to(there)) for path in there.rglob("*") if path.is_file()}
        self.assertEqual(found, {"torch/lib/libtorch.so", "nvidia/cu13/lib/libcudart.so"})


if __name__ == "__main__":
    unittest.main()
