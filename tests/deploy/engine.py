"""The Docker engine and Compose, of either version, as far as tests need them."""

import json
import os
import pathlib
import subprocess

# A file in place of the .env of whoever runs the tests.
NO_ENV = pathlib.Path(__file__).with_name("none.env")

# By preference: v2 as a part of `docker`, and v1.
COMPOSE = [["docker", "compose"], ["docker-compose"]]


def _works(*command):
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0
    except FileNotFoundError:
        return False


def compose_command():
    """The words that Compose is called by, or None."""
    return next((words for words in COMPOSE if _works(*words, "version")), None)


def why_not():
    """Why no container can be started here, or None."""
    if not _works("docker", "info"):
        return "there is no Docker engine"
    if not compose_command():
        return "there is no Docker Compose"
    return None


def docker(*arguments):
    """What `docker ...` prints."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


def inspect(container):
    """All that the engine knows of a container."""
    return json.loads(docker("inspect", container))[0]


def plain_environment(**more):
    """The environment without anything that would set up a stack differently."""
    ours = ("DDPO_", "COMPOSE_", "HF_", "REDIS_")
    names = ["IMAGE", "SETTINGS", "SAMPLER_GPUS", "LEARNER_GPU", "REWARDER_GPU", "TORCH_CUDA"]
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(ours) and name not in names
    }
    return {**kept, **more}
