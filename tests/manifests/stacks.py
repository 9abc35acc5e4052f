"""The objects of `kubectl apply -k`: the base, every overlay, and overlays with components."""

import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"

# Components that an overlay may use, in the order of README.md.
JOINED = ["tls", "cert-manager", "keda", "telemetry"]


@dataclass
class Stack:
    """Objects that are applied together."""

    name: str
    components: tuple
    objects: list

    def of(self, kind):
        """All objects of this kind."""
        return [found for found in self.objects if found["kind"] == kind]

    def get(self, kind, name):
        """Returns the object of this kind and name, or None."""
        found = [one for one in self.of(kind) if one["metadata"]["name"] == name]
        return found[0] if found else None

    def workloads(self):
        """Returns the workloads."""
        return [found for found in self.objects if "template" in found.get("spec", {})]

    def services(self):
        """Returns the workloads of ddpo by component."""
        mine = [one for one in self.workloads() if labels(one)["app.kubernetes.io/name"] == "ddpo"]
        return {labels(one)["app.kubernetes.io/component"]: one for one in mine}


def labels(workload):
    """Labels of its pods."""
    return workload["spec"]["template"]["metadata"]["labels"]


def pod(workload):
    """Specification of its pods."""
    return workload["spec"]["template"]["spec"]


def container(workload):
    """Its one container."""
    (only,) = pod(workload)["containers"]
    return only


def names():
    """(overlay, components) of every stack that is tested."""
    components = sorted(folder.name for folder in (FOLDER / "components").iterdir())
    yield ("base", ())
    for overlay in sorted(folder.name for folder in (FOLDER / "overlays").iterdir()):
        has = _components_of(FOLDER / "overlays" / overlay)
        gpu = ["rewarder-gpu"] if "gpu" in has else []
        yield (f"overlays/{overlay}", ())
        for component in components:
            # `gpu` contains its priority class, and an overlay cannot include a component twice.
            if component not in has and (component != "rewarder-gpu" or gpu):
                yield (f"overlays/{overlay}", (component,))
        yield (f"overlays/{overlay}", (*JOINED, *gpu))
        # `external-redis` removes an object that `keda` patches; both orders must work.
        yield (f"overlays/{overlay}", ("external-redis", "keda"))
        yield (f"overlays/{overlay}", ("keda", "external-redis"))


def _components_of(overlay):
    kustomization = yaml.safe_load((overlay / "kustomization.yaml").read_text())
    return {Path(path).name for path in kustomization.get("components", [])}


def render(kubectl, overlay, components):
    """Renders the stack with a kustomization like that in README.md."""
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [f"../{overlay}"],
        "components": [f"../components/{component}" for component in components],
    }
    title = "+".join([overlay, *components])
    objects = _render(kubectl, title, "stack", {"kustomization.yaml": yaml.safe_dump(kustomization)})
    return Stack(title, _all_components(overlay, components), objects)


def render_example(kubectl):
    """Returns the overlay in README.md, with the settings of `multi-gpu`."""
    (text,) = re.findall(r"```yaml\n# deploy/kubernetes/overlays/mine/(.*?)```", (FOLDER / "README.md").read_text(), re.S)
    name, _, kustomization = text.partition("\n")
    settings = (FOLDER / "overlays" / "multi-gpu" / "settings.toml").read_text()
    objects = _render(kubectl, "README.md", "overlays/mine", {name: kustomization, "settings.toml": settings})
    taken = {Path(path).name for path in yaml.safe_load(kustomization)["components"]}
    return Stack("README.md's overlay", tuple(sorted(taken | _components_of(FOLDER / "overlays" / "multi-gpu"))), objects)


def render_mig_example(kubectl):
    """The overlay `multi-gpu` with the patch for MIG that README.md shows."""
    (text,) = re.findall(r"```yaml\n(patches:.*?)```", (FOLDER / "README.md").read_text(), re.S)
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["../overlays/multi-gpu"],
        **yaml.safe_load(text),
    }
    objects = _render(kubectl, "README.md, MIG", "stack", {"kustomization.yaml": yaml.safe_dump(kustomization)})
    return Stack("README.md's patch for MIG", tuple(sorted(_components_of(FOLDER / "overlays" / "multi-gpu"))), objects)


def _render(kubectl, title, place, files):
    """Objects of a folder with these files, beside a copy of all others."""
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(FOLDER, folder, dirs_exist_ok=True)
        (Path(folder) / place).mkdir()
        for name, text in files.items():
            (Path(folder) / place / name).write_text(text)
        command = [kubectl, "kustomize", str(Path(folder) / place)]
        rendered = subprocess.run(command, capture_output=True, text=True)
    # A warning announces an error of the next version.
    if rendered.returncode != 0 or rendered.stderr:
        raise SystemExit(f"{title}: kubectl kustomize: {rendered.stderr}")
    return [found for found in yaml.safe_load_all(rendered.stdout) if found]


def _all_components(overlay, components):
    return tuple(sorted(_components_of(FOLDER / overlay) | set(components)))
