"""Checks every object with the strict schemas of Kubernetes, or with our schemas of custom resources."""

from functools import lru_cache
from pathlib import Path

import jsonschema
import kubernetes_validate
import yaml
from kubernetes_validate import utils

# The oldest supported version, one between, and the newest version with schemas.
VERSIONS = ["1.27", "1.32", "1.37"]

# Custom resources: KEDA, cert-manager, the Prometheus operator. Our schemas in `schemas/` list the fields that
# we use and reject others.
OURS = Path(__file__).parent / "schemas"

# Otherwise a megabyte of definitions is read for every object.
utils.schema_contents = lru_cache(maxsize=None)(utils.schema_contents)


def check(objects, version):
    """Returns (problems, objects checked with schemas of Kubernetes, objects checked with ours)."""
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
    """Returns whether the object's group does not belong to Kubernetes."""
    group = found["apiVersion"].rpartition("/")[0]
    return "." in group and not group.endswith(".k8s.io")


def foreign_schema(found):
    """Returns our schema of a kind; a kind without a schema is an error."""
    group, _, version = found["apiVersion"].partition("/")
    path = OURS / f"{found['kind'].lower()}.{group}.{version}.yaml"
    if not path.exists():
        raise jsonschema.ValidationError(f"no schema for {found['apiVersion']} {found['kind']}: write {path.name}")
    schema = yaml.safe_load(path.read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    return schema
