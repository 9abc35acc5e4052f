"""A stack of docker-compose.yml with its own project name."""

import datetime
import pathlib
import re
import subprocess

from engine import NO_ENV, compose_command, docker, inspect, plain_environment
from waiting import until

ROOT = pathlib.Path(__file__).resolve().parents[2]

# The folder of the run that examples/services.toml names.
RUN = "/runs/services"


def time_of(text):
    """Parses a time of the engine, which has nine decimals."""
    return datetime.datetime.fromisoformat(re.sub(r"\.(\d{6})\d*Z$", r".\1+00:00", text))


class Stack:
    def __init__(self, project, **settings):
        self.project = project
        # Another program on this machine may use the default ports.
        ports = {"LEARNER_PORT": "0", "REWARDER_PORT": "0", "DASHBOARD_PORT": "0"}
        self.environment = plain_environment(COMPOSE_PROJECT_NAME=project, **ports, **settings)

    def compose(self, *arguments):
        """Runs Compose and returns its output."""
        command = [*compose_command(), f"--env-file={NO_ENV}", *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout.strip()

    def up(self, *arguments):
        self.compose("up", "--detach", *arguments)

    def down(self, *arguments):
        self.compose("down", *arguments)

    def containers(self, **labels):
        """Returns all containers with these labels of Compose, exited ones too."""
        labels = {"project": self.project, **labels}
        filters = [f"label=com.docker.compose.{name}={value}" for name, value in labels.items()]
        flags = [word for one in filters for word in ("--filter", one)]
        return docker("ps", "--all", "--quiet", "--no-trunc", *flags).split()

    def one(self, service, number=1):
        """Returns the container `number` of a service."""
        (container,) = self.containers(service=service, **{"container-number": number})
        return container

    def networks(self):
        flag = f"label=com.docker.compose.project={self.project}"
        return docker("network", "ls", "--quiet", "--filter", flag).split()

    def started(self):
        """Returns the time at which the first container started."""
        return min(time_of(inspect(one)["State"]["StartedAt"]) for one in self.containers())

    def log(self, service):
        """Returns the log lines of a service's only container, with timestamps."""
        done = subprocess.run(
            ["docker", "logs", "--timestamps", self.one(service)],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )
        return done.stdout.splitlines()

    def epoch(self, number):
        """Waits until the learner logs the update of an epoch, and returns the time of the line."""
        line = re.compile(rf"epoch +{number}/")

        def told():
            state = inspect(self.one("learner"))["State"]
            assert state["ExitCode"] == 0 or state["Running"], self.logs()
            return next((one for one in self.log("learner") if line.search(one)), None)

        return time_of(until(f"epoch {number}", told).split(" ", 1)[0])

    def finishes(self):
        """Waits until the learner has ended its run, and returns the time."""
        until("the end of the run", lambda: not inspect(self.one("learner"))["State"]["Running"])
        state = inspect(self.one("learner"))["State"]
        assert state["ExitCode"] == 0, self.logs()
        return time_of(state["FinishedAt"])

    def address(self, service, port, index=1):
        """Returns the published address of a service's port."""
        return self.compose("port", f"--index={index}", service, str(port))

    def token(self):
        return self.compose("exec", "-T", "rewarder", "cat", "/run/ddpo/token")

    def take_run(self, folder):
        """Copies the run's folder out of the learner's container, and returns its path."""
        docker("cp", f"{self.one('learner')}:{RUN}", str(folder))
        return pathlib.Path(folder) / pathlib.PurePosixPath(RUN).name

    def logs(self):
        """Returns the last lines of every container's log."""
        tails = []
        for container in self.containers():
            done = subprocess.run(
                ["docker", "logs", "--tail=30", container],
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
            )
            tails.append(f"---- {inspect(container)['Name']}\n{done.stdout}")
        return "\n".join(tails)

    def close(self):
        """Removes the containers, networks and volumes."""
        self.down("--volumes", "--remove-orphans", "--timeout=5")
