"""Licences and sources of all dependencies, by the rules of deny.toml."""

import functools
import json
import re
import subprocess
import tomllib

import pytest

from workspace import ROOT

TOKEN = re.compile(r"\(|\)|[\w.+-]+")


@functools.cache
def rules():
    return tomllib.loads((ROOT / "deny.toml").read_text())


@functools.cache
def packages():
    """Returns the packages that this platform's build can use, as cargo describes them."""
    host = re.search(r"host: (\S+)", run("rustc", "-vV")).group(1)
    metadata = run("cargo", "metadata", "--format-version", "1", "--locked", "--filter-platform", host)
    return json.loads(metadata)["packages"]


def run(*command):
    return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout


def allowed(expression, licences):
    """Returns whether a licence expression (SPDX, or with the older `/`) can be met by `licences`."""
    tokens = TOKEN.findall(expression.replace("/", " OR "))
    value, rest = alternatives(tokens, licences)
    assert rest == [], f"{expression}: expected an SPDX expression"
    return value


def alternatives(tokens, licences):
    value, tokens = conjunction(tokens, licences)
    while tokens[:1] == ["OR"]:
        other, tokens = conjunction(tokens[1:], licences)
        value = value or other
    return value, tokens


def conjunction(tokens, licences):
    value, tokens = single(tokens, licences)
    while tokens[:1] == ["AND"]:
        other, tokens = single(tokens[1:], licences)
        value = value and other
    return value, tokens


def single(tokens, licences):
    if tokens[0] == "(":
        value, tokens = alternatives(tokens[1:], licences)
        assert tokens[0] == ")"
        return value, tokens[1:]
    if tokens[1:2] == ["WITH"]:
        return f"{tokens[0]} WITH {tokens[2]}" in licences, tokens[3:]
    return tokens[0] in licences, tokens[1:]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("MIT", True),
        ("GPL-3.0", False),
        ("MIT OR GPL-3.0", True),
        ("MIT AND GPL-3.0", False),
        ("MIT/Apache-2.0", True),
        ("(MIT OR GPL-3.0) AND ISC", True),
        ("GPL-3.0 OR MIT AND GPL-3.0", False),
        ("Apache-2.0 WITH LLVM-exception", True),
        ("GPL-2.0 WITH Classpath-exception-2.0", False),
    ],
)
def test_licence_expressions_are_evaluated(expression, expected):
    assert allowed(expression, set(rules()["licenses"]["allow"])) == expected


def test_dependencies_have_allowed_licences():
    licences = set(rules()["licenses"]["allow"])
    wrong = [f"{one['name']} {one['version']}: {one['license']}" for one in packages()
             if not (one["license"] and allowed(one["license"], licences))]  # fmt: skip
    assert wrong == []


def test_dependencies_come_from_allowed_registries():
    registries = {f"registry+{url}" for url in rules()["sources"]["allow-registry"]}
    wrong = [f"{one['name']} {one['version']}: {one['source']}" for one in packages()
             if one["source"] not in registries and one["source"] is not None]  # fmt: skip
    assert wrong == []


def test_files_of_the_licence_exist():
    assert (ROOT / "LICENSE").read_text().lstrip().startswith("Apache License")
    assert {one["license"] for one in packages() if one["source"] is None} == {"Apache-2.0"}
