"""`docker compose up` as a user would have it: to the end of its run, whatever dies on the way."""

import os
import pathlib
import shlex
import shutil
import subprocess
import sys
import tempfile
import unittest

from engine import compose_command, docker, inspect, why_not
from folders import last_checkpoint
from readme import commands_with
from stack import ROOT, RUN, Stack, time_of
from status import Service
from waiting import PATIENCE_SECONDS, until

# From the start of the first container to the end of the first update.
FIRST_UPDATE_SECONDS = 60

# The run whose services are killed.
ROUGH = pathlib.Path(__file__).with_name("rough.toml")



def volumes():
    """The names of all volumes there are."""
    return set(docker("volume", "ls", "--quiet").split())


def ending(line):
    """A line of the README that ends. What watches does so until it is interrupted: here, until it has
    shown a trajectory that grows."""
    if "WatchTrajectories" not in line:
        return line
    return f"{line} | grep --max-count=1 STAGE_GROWING || [ ${{PIPESTATUS[1]}} = 0 ]"


class Compose(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if reason := why_not():
            raise unittest.SkipTest(reason)
        subprocess.run([ROOT / "deploy/docker/stand-ins"], check=True)
        cls.folder = pathlib.Path(tempfile.mkdtemp(prefix="ddpo-stack-"))
        cls.addClassCleanup(shutil.rmtree, cls.folder)

    def stack(self, project, **settings):
        stack = Stack(project, **settings)
        stack.close()
        self.volumes_before = volumes()
        self.addCleanup(stack.close)
        return stack

    def taken(self, stack):
        """The last checkpoint of a stack's run."""
        folder = self.folder / stack.project
        folder.mkdir()
        return last_checkpoint(stack.take_run(folder))

    def is_gone(self, stack):
        """Takes the stack down, which has to leave its volumes and nothing else."""
        stack.down()
        self.assertEqual((stack.containers(), stack.networks()), ([], []))
        left = volumes() - self.volumes_before
        self.assertTrue(left)
        for volume in left:
            self.assertTrue(volume.startswith(f"{stack.project}_"), f"{volume} is left")
        stack.close()
        self.assertEqual(volumes(), self.volumes_before)

    def test_up_without_a_word_trains_and_leaves_nothing(self):
        stack = self.stack("ddpo-test-plain")
        stack.up("--scale=sampler=2")
        took = (stack.epoch(1) - stack.started()).total_seconds()
        print(f"measured: the first update after {took:.1f} s of {FIRST_UPDATE_SECONDS}", flush=True)
        self.assertLessEqual(took, FIRST_UPDATE_SECONDS)
        whole = (stack.finishes() - stack.started()).total_seconds()
        print(f"measured: the whole run after {whole:.1f} s", flush=True)
        self.confined(stack)
        self.is_gone(stack)

    def test_deaths_and_restarts_change_no_byte(self):
        expected = self.undisturbed()
        self.assertEqual(self.disturbed(), expected)
        self.assertEqual(self.run_of_one_process(), expected)
        name, files = expected
        print(f"measured: {name}: {len(files)} files the same in all three runs", flush=True)

    def undisturbed(self):
        stack = self.stack("ddpo-test-calm", SETTINGS=str(ROUGH))
        stack.up("--scale=sampler=2")
        whole = (stack.finishes() - stack.started()).total_seconds()
        print(f"measured: undisturbed: {whole:.1f} s", flush=True)
        taken = self.taken(stack)
        stack.close()
        return taken

    def disturbed(self):
        """A sampler is killed, Redis and the learner are restarted, each while trajectories are drawn."""
        stack = self.stack("ddpo-test-rough", SETTINGS=str(ROUGH))
        stack.up("--scale=sampler=2")
        token = stack.token()
        one, other = (Service(stack.address("sampler", 50051, index), token) for index in (1, 2))
        self.during(stack, 2, one)
        victim = stack.one("sampler", number=1)
        docker("kill", victim)
        self.during(stack, 3, other)
        docker("restart", stack.one("redis"))
        self.during(stack, 4, other)
        docker("restart", "--time=30", stack.one("learner"))
        second = time_of(inspect(stack.one("learner"))["State"]["StartedAt"])
        whole = (stack.finishes() - stack.started()).total_seconds()
        print(f"measured: a sampler killed, Redis and the learner restarted: {whole:.1f} s", flush=True)
        # The second learner has trained, and the dead sampler has stayed dead.
        self.assertGreater(stack.epoch(20), second)
        self.assertFalse(inspect(victim)["State"]["Running"])
        taken = self.taken(stack)
        self.is_gone(stack)
        return taken

    def during(self, stack, epoch, sampler):
        """Waits until a sampler draws, in that epoch or a later one."""
        stack.epoch(epoch - 1)

        def draws():
            self.assertTrue(inspect(stack.one("learner"))["State"]["Running"], "the run is over already")
            return sampler.is_busy()

        until(f"work from epoch {epoch} on", draws)

    def run_of_one_process(self):
        """The same run by `ddpo train`, in the same image."""
        name = f"ddpo-test-alone-{os.getpid()}"
        self.addCleanup(subprocess.run, ["docker", "rm", "--force", name], capture_output=True)
        settings = f"{ROUGH}:/etc/ddpo/settings.toml:ro"
        docker("run", "--name", name, "--network=none", "--volume", settings, "ddpo:cpu",
               "ddpo", "train", "--config=/etc/ddpo/settings.toml")
        folder = self.folder / "alone"
        folder.mkdir()
        docker("cp", f"{name}:{RUN}", str(folder))
        return last_checkpoint(folder / pathlib.PurePosixPath(RUN).name)

    def confined(self, stack):
        """No service may do more than it has to."""
        for container in stack.containers():
            known = inspect(container)
            host, name = known["HostConfig"], known["Name"]
            self.assertTrue(host["ReadonlyRootfs"], name)
            self.assertEqual(host["CapDrop"], ["ALL"], name)
            self.assertNotIn(known["Config"]["User"].split(":")[0], ["", "0", "root"], name)
            bound = [one["HostIp"] for all_ in host["PortBindings"].values() for one in all_]
            self.assertLessEqual(set(bound), {"127.0.0.1"}, name)
        self.assertEqual(inspect(stack.one("redis"))["HostConfig"]["PortBindings"], {})

    def test_the_lines_of_the_readme_do_what_it_says(self):
        """Each line about grpcurl, in their order and in one shell, while a run goes on."""
        stack = self.stack("ddpo-test-watched", DDPO_NUM_EPOCHS="1000")
        stack.up()
        stack.epoch(1)
        folder = self.folder / "readme"
        folder.mkdir()
        lines = commands_with("grpcurl")
        script = folder / "lines.sh"
        script.write_text("".join(f"echo ==== {shlex.quote(line)}\n{ending(line)}\n" for line in lines))
        environment = self.with_tools(stack, folder)
        try:
            done = subprocess.run(
                ["bash", "-euo", "pipefail", script], cwd=folder, env=environment, text=True, check=False,
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                timeout=PATIENCE_SECONDS,
            )
        except subprocess.TimeoutExpired as late:
            self.fail(f"a line of the README did not end:\n{late.stdout}")
        self.assertEqual(done.returncode, 0, done.stdout)
        for expected in [
            "ddpo.v1.Inspector", "message TrajectoryHeader {", '"status": "SERVING"',
            '"service": "sampler"', '"stage": "STAGE_GROWING"',
        ]:
            self.assertIn(expected, done.stdout)
        picture = (folder / "trajectory.png").read_bytes()
        self.assertTrue(picture.startswith(b"\x89PNG\r\n\x1a\n"), done.stdout)
        self.is_gone(stack)
        print(f"measured: {len(lines)} lines of the README end well", flush=True)

    def with_tools(self, stack, folder):
        """An environment in which `docker compose` is what this machine has of it, and grpcurl too."""
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


if __name__ == "__main__":
    unittest.main()
