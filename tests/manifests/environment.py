"""The variables of a container as the kubelet sets them, and the files of its ConfigMaps and Secrets."""

import os
import re

from stacks import container, pod

# Content of the Secrets that README.md of deploy/kubernetes tells the user to create.
SECRETS = {
    "ddpo-token": {"token": "0123456789abcdef0123456789abcdef"},
    "ddpo-redis": {"password": "fedcba9876543210", "url": "rediss://redis.example:6380"},
    "ddpo-hub": {"token": ""},
    "ddpo-tls": {"tls.crt": "", "tls.key": "", "ca.crt": ""},
}

REFERENCE = re.compile(r"\$\(([A-Za-z_][A-Za-z0-9_]*)\)")


def variables(workload):
    """Returns the variables of the container. As in the kubelet, earlier variables replace `$(NAME)`."""
    values = {}
    for entry in container(workload).get("env", []):
        source = entry.get("valueFrom", {}).get("secretKeyRef")
        if source:
            values[entry["name"]] = SECRETS.get(source["name"], {}).get(source["key"], "")
        else:
            values[entry["name"]] = expand(entry.get("value", ""), values)
    return values


def expand(text, values):
    """Replaces `$(NAME)` by its value; a name without a value is kept."""
    return REFERENCE.sub(lambda found: values.get(found[1], found[0]), text)


def command(workload):
    """Returns the command and its arguments."""
    found, values = container(workload), variables(workload)
    return [expand(word, values) for word in [*found.get("command", []), *found.get("args", [])]]


def files(stack, workload):
    """Path in the container -> text, of all its ConfigMaps and Secrets."""
    mounted = {}
    for volume in pod(workload).get("volumes", []):
        for mount in container(workload).get("volumeMounts", []):
            if mount["name"] == volume["name"]:
                for key, text in _contents(stack, volume).items():
                    mounted[os.path.join(mount["mountPath"], key)] = text
    return mounted


def _contents(stack, volume):
    """File -> text of a volume that has them from the start."""
    if "configMap" in volume:
        source = stack.get("ConfigMap", volume["configMap"]["name"])
        return source["data"] if source else {}
    secret = volume.get("secret", {})
    held = SECRETS.get(secret.get("secretName"), {})
    chosen = {item["path"]: held.get(item["key"]) for item in secret.get("items", [])}
    return {path: text for path, text in (chosen or held).items() if text is not None}


def flag(workload, name):
    """Returns the value of `--name=value`, or None."""
    values = [word.partition("=")[2] for word in command(workload) if word.startswith(f"--{name}=")]
    return values[-1] if values else None


def port(workload, name):
    """Returns the number of the container's port of this name, or None."""
    found = [one["containerPort"] for one in container(workload).get("ports", []) if one["name"] == name]
    return found[0] if found else None
