"""Every object against the strict schemas of Kubernetes, or against those of ours for other people's kinds."""

from functools import lru_cache
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml
from kubernetes_validate import utils

# The oldest that has all that the manifests use, one between, and the newest that there are schemas of.
VERSIONS = ["1.27", "1.32", "1.37"]

# Kinds that Kubernetes does not know: KEDA, cert-manager, the Prometheus operator. The schemas in `schemas/`
# are our own statement of the fields that we use; what they do not list is refused.
OURS = Path(__file__).parent / "schemas"

# It reads a megabyte of definitions for every object otherwise.
utils.schema_contents = lru_cache(maxsize=None)(utils.schema_contents)


def check(objects, version):
    """(what is wrong, how many were held against a schema of Kubernetes, how many against ours)."""
    problems, theirs, own = [], 0, 0
    for found in objects:
        title = f"{found['kind']} {found['metadata']['name']}"
        try:
            if is_foreign(found):
                jsonschema.validate(found, foreign_schema(found))
                own += 1
            else:
                used = kubernetes_validate.validate(found, version, strict=True)
                if used != version:
                    problems.append(f"{title}: wanted the schema of {version}, got that of {used}")
                theirs += 1
        except jsonschema.ValidationError as error:
            where = ".".join(str(part) for part in error.absolute_path)
            problems.append(f"{title}: {where}: {error.message}")
        except kubernetes_validate.SchemaNotFoundError as error:
            problems.append(f"{title}: {error.message}")
    return problems, theirs, own


def is_foreign(found):
    """Whether its group is not one of Kubernetes' own."""
    group = found["apiVersion"].rpartition("/")[0]
    return "." in group and not group.endswith(".k8s.io")


def foreign_schema(found):
    """The schema of ours; a kind without one is an error, never passed over."""
    group, _, version = found["apiVersion"].partition("/")
    path = OURS / f"{found['kind'].lower()}.{group}.{version}.yaml"
    if not path.exists():
        raise jsonschema.ValidationError(f"no schema for {found['apiVersion']} {found['kind']}: write {path.name}")
    schema = yaml.safe_load(path.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return schema
