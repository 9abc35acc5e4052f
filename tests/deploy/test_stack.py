"""Complete runs with `docker compose up`, with services that are killed and restarted."""

import os
import pathlib
import shlex
import shutil
import subprocess
import sys
from contextlib import ExitStack, closing

import pytest

from engine import compose_command, docker, inspect, why_not
from folders import last_checkpoint
from page import commands_with
from stack import ROOT, RUN, Stack, time_of
from status import Service
from waiting import PATIENCE_SECONDS, until

# From the start of the first container to the end of the first update.
FIRST_UPDATE_SECONDS = 60

# The run whose services are killed.
ROUGH = pathlib.Path(__file__).with_name("rough.toml")


def volumes():
    """Returns the names of all volumes of the engine."""
    return set(docker("volume", "ls", "--quiet").split())


def ending(line):
    """Returns a line of docs/compose.md that ends: a watch ends after it has shown a growing trajectory."""
    if "WatchTrajectories" not in line:
        return line
    return f"{line} | grep --max-count=1 STAGE_GROWING || [ ${{PIPESTATUS[1]}} = 0 ]"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Builds the images and returns a folder for the results of runs."""
    if reason := why_not():
        pytest.skip(reason)
    subprocess.run([ROOT / "deploy/docker/stand-ins"], check=True)
    return tmp_path_factory.mktemp("ddpo-stack")


@pytest.fixture
def stack(folder):
    """Returns a function that makes stacks, not started, and removes them at the end."""
    with ExitStack() as made:

        def make(project, **settings):
            one = Stack(project, **settings)
            one.close()
            one.volumes_before = volumes()
            return made.enter_context(closing(one))

        yield make


def taken(stack, folder):
    """Returns the last checkpoint of a stack's run."""
    folder = folder / stack.project
    folder.mkdir()
    return last_checkpoint(stack.take_run(folder))


def remove(stack):
    """Takes the stack down, checks that only its volumes remain, and removes them."""
    stack.down()
    assert (stack.containers(), stack.networks()) == ([], [])
    left = volumes() - stack.volumes_before
    assert left
    assert all(volume.startswith(f"{stack.project}_") for volume in left), left
    stack.close()
    assert volumes() == stack.volumes_before


def test_up_without_settings_trains_and_down_removes_all_but_volumes(stack):
    plain = stack("ddpo-test-plain")
    plain.up("--scale=sampler=2")
    took = (plain.epoch(1) - plain.started()).total_seconds()
    print(f"measured: the first update after {took:.1f} s of {FIRST_UPDATE_SECONDS}")
    assert took <= FIRST_UPDATE_SECONDS
    whole = (plain.finishes() - plain.started()).total_seconds()
    print(f"measured: the whole run after {whole:.1f} s")
    check_confined(plain)
    remove(plain)


def check_confined(stack):
    """Checks that containers are read-only, unprivileged and published on loopback only."""
    for container in stack.containers():
        known = inspect(container)
        host, name = known["HostConfig"], known["Name"]
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert known["Config"]["User"].split(":")[0] not in ["", "0", "root"], name
        bound = {one["HostIp"] for all_ in host["PortBindings"].values() for one in all_}
        assert bound <= {"127.0.0.1"}, name
    assert inspect(stack.one("redis"))["HostConfig"]["PortBindings"] == {}


def test_kills_and_restarts_do_not_change_the_checkpoint(stack, folder):
    expected = undisturbed(stack("ddpo-test-calm", SETTINGS=str(ROUGH)), folder)
    assert disturbed(stack("ddpo-test-rough", SETTINGS=str(ROUGH)), folder) == expected
    assert run_of_one_process(folder) == expected
    name, files = expected
    print(f"measured: {name}: {len(files)} files the same in all three runs")


def undisturbed(stack, folder):
    stack.up("--scale=sampler=2")
    whole = (stack.finishes() - stack.started()).total_seconds()
    print(f"measured: undisturbed: {whole:.1f} s")
    found = taken(stack, folder)
    stack.close()
    return found


def disturbed(stack, folder):
    """Kills a sampler and restarts Redis and the learner, each while trajectories are drawn."""
    stack.up("--scale=sampler=2")
    token = stack.token()
    one, other = (Service(stack.address("sampler", 50051, index), token) for index in (1, 2))
    wait_for_work(stack, 2, one)
    victim = stack.one("sampler", number=1)
    docker("kill", victim)
    wait_for_work(stack, 3, other)
    docker("restart", stack.one("redis"))
    wait_for_work(stack, 4, other)
    docker("restart", "--time=30", stack.one("learner"))
    second = time_of(inspect(stack.one("learner"))["State"]["StartedAt"])
    whole = (stack.finishes() - stack.started()).total_seconds()
    print(f"measured: a sampler killed, Redis and the learner restarted: {whole:.1f} s")
    # The restarted learner has trained, and the killed sampler was not restarted.
    assert stack.epoch(20) > second
    assert not inspect(victim)["State"]["Running"]
    found = taken(stack, folder)
    remove(stack)
    return found


def wait_for_work(stack, epoch, sampler):
    """Waits until a sampler draws, in that epoch or a later one."""
    stack.epoch(epoch - 1)

    def draws():
        assert inspect(stack.one("learner"))["State"]["Running"], "the run has already ended"
        return sampler.is_busy()

    until(f"work from epoch {epoch} on", draws)


def run_of_one_process(folder):
    """Returns the last checkpoint of the same run with `ddpo train` in the same image."""
    name = f"ddpo-test-alone-{os.getpid()}"
    settings = f"{ROUGH}:/etc/ddpo/settings.toml:ro"
    folder = folder / "alone"
    folder.mkdir()
    try:
        docker("run", "--name", name, "--network=none", "--volume", settings, "ddpo:cpu",
               "ddpo", "train", "--config=/etc/ddpo/settings.toml")  # fmt: skip
        docker("cp", f"{name}:{RUN}", str(folder))
    finally:
        subprocess.run(["docker", "rm", "--force", name], capture_output=True, check=False)
    return last_checkpoint(folder / pathlib.PurePosixPath(RUN).name)


def test_the_grpcurl_lines_of_the_compose_page_work(stack, tmp_path):
    """Runs each line with grpcurl, in order and in one shell, during a run."""
    watched = stack("ddpo-test-watched", DDPO_NUM_EPOCHS="1000")
    watched.up()
    watched.epoch(1)
    lines = commands_with("grpcurl")
    script = tmp_path / "lines.sh"
    script.write_text("".join(f"echo ==== {shlex.quote(line)}\n{ending(line)}\n" for line in lines))
    done = subprocess.run(
        ["timeout", str(PATIENCE_SECONDS), "bash", "-euo", "pipefail", script],
        cwd=tmp_path, env=with_tools(watched, tmp_path), text=True, check=False,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    for expected in [
        "ddpo.v1.Inspector", "message TrajectoryHeader {", '"status": "SERVING"',
        '"service": "sampler"', '"stage": "STAGE_GROWING"',
    ]:  # fmt: skip
        assert expected in done.stdout
    picture = (tmp_path / "trajectory.png").read_bytes()
    assert picture.startswith(b"\x89PNG\r\n\x1a\n"), done.stdout
    remove(watched)
    print(f"measured: {len(lines)} lines of docs/compose.md end with status 0")


def with_tools(stack, folder):
    """Returns an environment in which `docker compose` and grpcurl work on this machine."""
    tools = {}
    if compose_command() != ["docker", "compose"]:
        tools["docker"] = (
            '#!/bin/sh\nif [ "$1" = compose ]; then shift; exec docker-compose "$@"; fi\n'
            f'exec {shutil.which("docker")} "$@"\n'
        )
    if not shutil.which("grpcurl"):
        tools["grpcurl"] = f'#!/bin/sh\nexec {sys.executable} {ROOT}/tests/clients/grpcurl "$@"\n'
    for name, text in tools.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    path = f"{folder}:{os.environ['PATH']}"
    return {**stack.environment, "COMPOSE_FILE": str(ROOT / "docker-compose.yml"), "PATH": path}
