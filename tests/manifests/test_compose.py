"""The manifests against docker-compose.yml: the same programs, ports, images, users, probes and grace periods."""

import re
import tempfile
from pathlib import Path

import pytest
import yaml

import environment
from stacks import ROOT, container, pod

FILE = ROOT / "docker-compose.yml"
GPU_FILE = ROOT / "docker-compose.gpu.yml"
DOCKERFILE = ROOT / "deploy" / "docker" / "Dockerfile"

SERVICES = ["learner", "rewarder", "sampler"]

# Variables of a service that both files set.
SAID_BY_BOTH = {"DDPO_SERVICE_TOKEN_FILE", "DDPO_SERVICE_INSECURE", "DDPO_SERVICE_REDIS_PASSWORD_FILE"}


def load(path):
    """Returns the file with the default in place of every `${NAME:-default}`."""
    text = re.sub(r"\$\{[A-Z_]+:-([^}]*)\}", r"\1", path.read_text())
    return yaml.safe_load(text)


def compare(file, gpu_file, smoke, gpu, programs):
    """Returns what differs."""
    problems = []
    for name in SERVICES:
        service, workload = file["services"][name], smoke.services()[name]
        found = [*_program(service, workload), *_ports(service, workload), *_health(service, workload)]
        found += [*_settings(service, workload, programs), *_folders(service, workload)]
        problems += [f"{name}: {problem}" for problem in found]
        images = [(file, smoke), (gpu_file, gpu)]
        for compose, stack in images:
            problems += _same(f"{name}: image", compose["services"][name]["image"], _image(stack, name))
    redis = smoke.get("Deployment", "ddpo-redis")
    problems += _same("redis: image", file["services"]["redis"]["image"], _image(smoke, None))
    for flag in [["--save", ""], ["--appendonly", "no"], ["--maxmemory-policy", "noeviction"]]:
        for where, words in [("compose", file["services"]["redis"]["command"]), ("base", container(redis)["args"])]:
            if not any(words[index : index + 2] == flag for index in range(len(words))):
                problems.append(f"redis: {where} has no {' '.join(flag)}")
    users = {str(pod(one)["securityContext"]["runAsUser"]) for one in smoke.services().values()}
    users |= {str(pod(one)["securityContext"]["runAsGroup"]) for one in smoke.services().values()}
    told = re.findall(r"^USER (\d+):(\d+)$", DOCKERFILE.read_text(), re.M)
    problems += _same("the image's user", {number for pair in told for number in pair}, users)
    return problems


def _same(what, one, other):
    return [] if one == other else [f"{what}: compose has {one}, the manifests have {other}"]


def _image(stack, name):
    """Without the registry that a name of Docker's own begins with."""
    workload = stack.services()[name] if name else stack.get("Deployment", "ddpo-redis")
    return container(workload)["image"].removeprefix("docker.io/library/")


def _program(service, workload):
    mine = environment.command(workload)
    yield from _same("command", service["command"], [mine[0], f"--config={environment.flag(workload, 'config')}"])


def _ports(service, workload):
    variables = service["environment"]
    yield from _same("listen", variables["DDPO_SERVICE_LISTEN"], environment.flag(workload, "listen"))
    metrics = environment.flag(workload, "metrics-listen")
    yield from _same("metrics_listen", variables["DDPO_SERVICE_METRICS_LISTEN"], metrics)
    published = [int(port.rpartition(":")[2]) for port in service["ports"]]
    # Only Compose publishes a port of the live page; the page of a pod is reached through kubectl.
    page = variables.get("DDPO_LEARNER_DASHBOARD_LISTEN")
    pages = [int(page.rpartition(":")[2])] if page else []
    yield from _same("published ports", published, [environment.port(workload, "grpc"), *pages])


def _health(service, workload):
    probe = container(workload)["readinessProbe"]["exec"]["command"]
    yield from _same("health check", service["healthcheck"]["test"], ["CMD", *probe])
    grace = f"{pod(workload)['terminationGracePeriodSeconds']}s"
    # The learner's grace period is longer in Kubernetes, because no user waits at a terminal.
    if service["stop_grace_period"] != grace and environment.command(workload)[0] != "ddpo-learner":
        yield from _same("grace period", service["stop_grace_period"], grace)


def _settings(service, workload, programs):
    """Yields missing credentials, and variables that the binary does not know."""
    theirs, ours = set(service["environment"]) & SAID_BY_BOTH, set(environment.variables(workload)) & SAID_BY_BOTH
    # The rewarder of the file has a password that it does not use.
    yield from _same("variables", theirs | ({"DDPO_SERVICE_REDIS_PASSWORD_FILE"} - ours), ours | SAID_BY_BOTH)
    given = {name: value for name, value in service["environment"].items() if value is not None}
    listed = [name for name, value in service["environment"].items() if value is None and name.startswith("DDPO_")]
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "settings.toml"
        settings.write_text((ROOT / "examples" / "services.toml").read_text())
        command = [service["command"][0], f"--config={settings}", "--dry-run"]
        ran = programs.run(command, given)
        if ran.returncode != 0:
            yield ran.stderr.strip()
        for name in listed:
            # The value may be invalid; only an unknown name is reported as unknown.
            said = programs.run(command, {**given, name: "1"}).stderr
            if "unknown" in said:
                yield said.strip()


def _folders(service, workload):
    """Yields volumes with different paths."""
    theirs = {volume.split(":")[1] for volume in service["volumes"] if isinstance(volume, str)}
    ours = {mount["mountPath"] for mount in container(workload)["volumeMounts"]}
    for path in ["/runs", "/cache"]:
        yield from _same(f"{path} is mounted", path in theirs, path in ours)


# (description, mutation)
MUTATIONS = [
    ("a port", lambda s: s["rewarder"]["environment"].update(DDPO_SERVICE_LISTEN="0.0.0.0:50062")),
    ("a variable", lambda s: s["sampler"]["environment"].update(DDPO_SAMPLER_REWARDER="http://rewarder:50052")),
    ("a variable without a value", lambda s: s["learner"]["environment"].update(DDPO_NUM_EPOCH=None)),
    ("an image", lambda s: s["learner"].update(image="ddpo:latest")),
    ("a health check", lambda s: s["learner"]["healthcheck"].update(test=["CMD", "ddpo", "health", "127.0.0.1:9466"])),
    ("a grace period", lambda s: s["sampler"].update(stop_grace_period="10s")),
    ("Redis may evict", lambda s: s["redis"].update(command=["redis-server"])),
    ("a volume", lambda s: s["learner"]["volumes"].remove("runs:/runs")),
]


@pytest.fixture
def stacks(rendered):
    return rendered["overlays/cpu-smoke"], rendered["overlays/multi-gpu"]


def test_compose_and_manifests_agree(stacks, programs):
    problems = compare(load(FILE), load(GPU_FILE), *stacks, programs)
    assert not problems, "\n".join(problems)


@pytest.mark.parametrize("change", [pytest.param(change, id=what) for what, change in MUTATIONS])
def test_detects_mutations_of_compose(change, stacks, programs):
    broken = load(FILE)
    change(broken["services"])
    assert compare(broken, load(GPU_FILE), *stacks, programs)
