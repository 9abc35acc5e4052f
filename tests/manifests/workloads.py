"""References of pods exist, and related fields agree."""

import os

import environment
from environment import REFERENCE, SECRETS
from stacks import FOLDER, container, labels, pod

# Kinds whose Secrets another controller writes.
ISSUED = "Certificate"

# Seconds after the grace period for a service to close its ports and send its last telemetry.
LAST_WORDS = 5


def check(stack, binaries):
    """Yields the inconsistencies of the workloads."""
    problems = []
    for workload in stack.workloads():
        title = workload["metadata"]["name"]
        found = [*_labels(workload), *_volumes(stack, workload), *_variables(stack, workload), *_image(stack, workload)]
        problems += [f"{title}: {problem}" for problem in found]
    for component, workload in stack.services().items():
        settings, error = binaries.resolved(stack, workload)
        if not error:
            found = [*_grace(component, workload, settings), *_folders(component, workload, settings)]
            problems += [f"{component}: {problem}" for problem in found]
    if set(stack.services()) != {"learner", "rewarder", "sampler"}:
        problems.append(f"services: {sorted(stack.services())}")
    images = {container(workload)["image"] for workload in stack.services().values()}
    if len(images) != 1:
        problems.append(f"the services have different images: {sorted(images)}")
    return problems


def _labels(workload):
    selector = workload["spec"]["selector"]["matchLabels"]
    for key, value in selector.items():
        if labels(workload).get(key) != value:
            yield f"selector {key}={value} is not a label of its pods"
    if workload["metadata"]["namespace"] != "ddpo":
        yield f"namespace {workload['metadata']['namespace']}"
    if workload["kind"] == "StatefulSet" and not workload["spec"]["serviceName"] == workload["metadata"]["name"]:
        yield f"serviceName {workload['spec']['serviceName']} is not its own Service"


def _volumes(stack, workload):
    claims = [claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])]
    declared = {volume["name"] for volume in pod(workload).get("volumes", [])} | set(claims)
    mounted = {mount["name"] for mount in container(workload).get("volumeMounts", [])}
    for name in declared ^ mounted:
        yield f"volume {name} is " + ("not mounted" if name in declared else "mounted, and not declared")
    for volume in pod(workload).get("volumes", []):
        if "configMap" in volume and not stack.get("ConfigMap", volume["configMap"]["name"]):
            yield f"no ConfigMap {volume['configMap']['name']}"
        secret = volume.get("secret", {})
        for key in [item["key"] for item in secret.get("items", [])] or SECRETS.get(secret.get("secretName"), [None]):
            if secret:
                yield from _secret(stack, secret["secretName"], key)


def _variables(stack, workload):
    before = []
    for entry in container(workload).get("env", []):
        for name in REFERENCE.findall(entry.get("value", "")):
            if name not in before:
                yield f"{entry['name']}: $({name}) is not set before it"
        source = entry.get("valueFrom", {}).get("secretKeyRef")
        if source:
            yield from _secret(stack, source["name"], source["key"])
        if entry["name"] in before:
            yield f"{entry['name']} is set twice"
        before.append(entry["name"])
    there = environment.files(stack, workload)
    for name, path in environment.variables(workload).items():
        if name.endswith(("_FILE", "_CERT", "_KEY", "_CA")) and path not in there:
            yield f"{name} = {path}: no such file in the container"
    for word in container(workload).get("args", []):
        for name in REFERENCE.findall(word):
            if name not in before:
                yield f"argument {word}: no variable {name}"


def _secret(stack, name, key):
    """Yields Secrets and keys that neither README.md nor a Certificate creates."""
    issued = {one["spec"]["secretName"] for one in stack.of(ISSUED)}
    told = (FOLDER / "README.md").read_text()
    if key not in SECRETS.get(name, {}):
        yield f"Secret {name} has no key {key}"
    elif name in issued:
        return
    elif f"create secret generic {name} " not in told:
        yield f"README.md does not say how Secret {name} is made"
    elif f"--from-literal={key}=" not in told and f"--from-file={key}=" not in told:
        yield f"README.md does not say where key {key} of Secret {name} comes from"


def _image(stack, workload):
    """Yields images without a tag, except in the base, which is not applied directly."""
    place, _, last = container(workload)["image"].rpartition("/")
    name, _, tag = last.partition(":")
    if stack.name != "base" and tag in ("", "latest"):
        yield f"image {name}: expected a tag, found {tag!r}"
    ours = labels(workload)["app.kubernetes.io/name"]
    if name != ours:
        yield f"image {place}/{name}: expected {ours}, wherever it comes from"
    priority = pod(workload).get("priorityClassName")
    if priority and not stack.get("PriorityClass", priority):
        yield f"no PriorityClass {priority}"


def _grace(component, workload, settings):
    period = pod(workload)["terminationGracePeriodSeconds"]
    needed = settings["service"]["grace_period_seconds"] + LAST_WORDS
    if component == "learner" and period < needed or component != "learner" and period != needed:
        yield f"terminationGracePeriodSeconds is {period}, grace_period_seconds and {LAST_WORDS} are {needed}"


def _folders(component, workload, settings):
    """Yields written paths without a volume, and persistent paths without a claim."""
    claims = {claim["metadata"]["name"] for claim in workload["spec"].get("volumeClaimTemplates", [])}
    mounts = container(workload)["volumeMounts"]
    writable = [mount["mountPath"] for mount in mounts if not mount.get("readOnly")]
    lasting = [mount["mountPath"] for mount in mounts if mount["name"] in claims]
    for name in ["HOME", "HF_HOME", "CUDA_CACHE_PATH"]:
        path = environment.variables(workload).get(name)
        if path and not within(path, writable):
            yield f"{name} = {path} cannot be written to"
    if component == "learner" and not within(settings["output_dir"], lasting):
        yield f"output_dir = {settings['output_dir']} is not on a persistent volume"
    if component != "sampler" and "HF_HOME" not in environment.variables(workload):
        yield "HF_HOME is not set: models would be downloaded to a read-only folder"


def within(path, folders):
    """Returns whether the path is one of the folders or in one."""
    return any(os.path.commonpath([path, folder]) == folder for folder in folders)
