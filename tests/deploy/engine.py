"""Access to the Docker engine and to Compose v1 or v2."""

import json
import os
import pathlib
import subprocess

# An empty file that replaces the developer's .env.
NO_ENV = pathlib.Path(__file__).with_name("none.env")

# In order of preference: v2 as a plugin of `docker`, then v1.
COMPOSE = [["docker", "compose"], ["docker-compose"]]


def _works(*command):
    try:
        return subprocess.run(command, capture_output=True, check=False, timeout=60).returncode == 0
    except FileNotFoundError:
        return False


def compose_command():
    """Returns the command of Compose, or None."""
    return next((words for words in COMPOSE if _works(*words, "version")), None)


def why_not():
    """Returns the reason why no container can be started here, or None."""
    if not _works("docker", "info"):
        return "the Docker engine is not available"
    if not compose_command():
        return "Docker Compose is not installed"
    return None


def docker(*arguments):
    """Runs `docker` and returns its output."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"docker {' '.join(arguments)}: {done.stderr}"
    return done.stdout.strip()


def inspect(container):
    """Returns the output of `docker inspect` for a container."""
    return json.loads(docker("inspect", container))[0]


def plain_environment(**more):
    """Returns the environment without variables that configure a stack."""
    ours = ("DDPO_", "COMPOSE_", "HF_", "REDIS_")
    names = ["IMAGE", "SETTINGS", "SAMPLER_GPUS", "LEARNER_GPU", "REWARDER_GPU", "TORCH_CUDA"]
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(ours) and name not in names
    }
    return {**kept, **more}
