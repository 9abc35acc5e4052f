"""The manifests against the schemas of Kubernetes, against themselves, and against the binaries."""

import copy

import pytest

import mutations
import schemas

NAMES = ["binaries", "workloads", "network", "scaling", "gpus", "restricted"]


@pytest.mark.parametrize("version", schemas.VERSIONS)
def test_objects_match_the_schemas_of_kubernetes(version, rendered):
    problems, totals = [], [0, 0]
    for stack in rendered.values():
        wrong, *counts = schemas.check(stack.objects, version)
        problems += [f"{stack.name}: {problem}" for problem in wrong]
        totals = [total + count for total, count in zip(totals, counts)]
    assert not problems, "\n".join(problems)
    assert all(totals), "no object was checked"
    print(f"{totals[0]} objects of {len(rendered)} stacks, and {totals[1]} of other kinds")


@pytest.mark.parametrize("name", NAMES)
def test_stacks_pass_all_checks(name, rendered, checks):
    problems = [f"{stack.name}: {problem}" for stack in rendered.values() for problem in checks[name](stack)]
    assert not problems, "\n".join(problems)


CASES = [((), *case) for case in mutations.MUTATIONS] + mutations.WITH_COMPONENTS


@pytest.mark.parametrize("components, name, change", [pytest.param(a, c, d, id=b) for a, b, c, d in CASES])
def test_detects_mutations(components, name, change, rendered, checks, unbroken):
    """Applies a mutation; the named check detects it and had no problem before."""
    stack = rendered["+".join(["overlays/multi-gpu", *components])]
    broken = copy.deepcopy(stack)
    change(broken)
    assert not unbroken(stack.name, name)
    assert list(checks[name](broken))
