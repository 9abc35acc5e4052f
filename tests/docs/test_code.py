"""Code blocks: TOML, JSON and Python parse, settings exist, and commands have the flags that they use."""

import ast
import json
import os
import re
import shlex
import subprocess
import tomllib

import pytest

from pages import ROOT, blocks

LANGUAGES = {"sh", "text", "toml", "python", "json", "yaml", "rust", "bibtex"}
PROGRAMS = {"ddpo", "ddpo-learner", "ddpo-sampler", "ddpo-rewarder"}
# Programs and commands with the flag --dry-run, which checks the values of settings too.
DRY_RUN = [["ddpo", "train"], ["ddpo-learner"], ["ddpo-sampler"], ["ddpo-rewarder"]]
TARGET = re.compile(r"^([a-z0-9-]+):", re.MULTILINE)


def of(language):
    """Returns pytest's parameters for the blocks of a language."""
    return [pytest.param(block, id=block.name) for block in blocks() if block.language == language]


def commands(text):
    """Yields the simple commands of a shell block as lists of words, without comments and variables before them."""
    for line in re.sub(r"\\\n\s*", " ", text).splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;")
        lexer.whitespace_split = True
        words = []
        for word in [*lexer, ";"]:
            if word and not set(word) <= set("|&;"):
                words.append(word)
                continue
            while words and re.match(r"^\w+=", words[0]):
                words = words[1:]
            if words:
                yield words
            words = []


def program(words):
    """Returns the words of one of our commands with the plain name of the program; None for another command."""
    name = words[0].removeprefix("target/release/")
    return [name, *words[1:]] if name in PROGRAMS else None


def ours():
    """Returns pytest's parameters for all commands of our programs in shell blocks."""
    found = {}
    for block in blocks():
        if block.language == "sh":
            for words in filter(None, map(program, commands(block.text))):
                found.setdefault(shlex.join(words), block.name)
    return [pytest.param(shlex.split(text), id=f"{name} {text[:50]}") for text, name in found.items()]


def run(binaries, words):
    """Runs a command in the root of the repository without settings in the environment."""
    environment = {"PATH": os.environ["PATH"]}
    command = [str(binaries / words[0]), *words[1:]]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_every_block_has_a_known_language():
    assert [f"{block.name}: {block.language!r}" for block in blocks() if block.language not in LANGUAGES] == []


@pytest.mark.parametrize("block", of("toml"))
def test_toml_parses(block):
    tomllib.loads(block.text)


@pytest.mark.parametrize("block", of("json"))
def test_json_parses(block):
    json.loads(block.text)


@pytest.mark.parametrize("block", of("python"))
def test_python_parses(block):
    ast.parse(block.text)


@pytest.mark.parametrize("block", of("sh"))
def test_shell_parses(block):
    done = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", of("sh"))
def test_files_and_targets_exist(block):
    targets = set(TARGET.findall((ROOT / "Makefile").read_text()))
    for words in commands(block.text):
        if words[0] == "make":
            assert {word for word in words[1:] if re.match(r"^[a-z-]+$", word)} <= targets
        for word in words:
            if re.match(r"^(examples|deploy|scripts|tests)/", word):
                assert (ROOT / word).exists() or "overlays/mine" in word, word


def dry_run(words):
    """Returns whether the command has the flag --dry-run."""
    return any(words[: len(start)] == start for start in DRY_RUN)


@pytest.mark.parametrize("words", ours())
def test_commands_have_these_flags(binaries, words):
    """Settings are resolved by --dry-run; the flags of other commands are parsed up to --help."""
    words = [word for word in words if word != "..."]
    given = "--dry-run" if dry_run(words) and "--help" not in words and "--version" not in words else "--help"
    done = run(binaries, [*words, given])
    if "--resume" in words:
        # The reader has the folder of the run; this test does not.
        assert "not found; hint: --output-dir" in done.stderr or done.returncode == 0, done.stderr
    else:
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("block", of("toml"))
def test_settings_of_toml_blocks_exist(binaries, block, tmp_path):
    for index, text in enumerate(settings_files(block.text)):
        file = tmp_path / f"block-{index}.toml"
        file.write_text(text)
        done = run(binaries, ["ddpo-learner", "--dry-run", "--config", str(file)])
        assert done.returncode == 0, done.stderr


def settings_files(text):
    """Returns the block itself, or for the table of a sweep the settings of each arm, with those of each task."""
    table = tomllib.loads(text)
    if "arms" not in table:
        return [text]
    changed = [arm.get("settings", {}) | arm.get(task, {}) for arm in table["arms"].values() for task in table["tasks"]]
    return ["".join(f"{key} = {json.dumps(value)}\n" for key, value in one.items()) for one in changed]


@pytest.mark.parametrize("file", sorted((ROOT / "examples").rglob("*.toml")), ids=lambda file: file.name)
def test_settings_of_examples_exist(binaries, file):
    if file.name == "Cargo.toml":
        pytest.skip("a manifest of Cargo")
    for words in DRY_RUN:
        done = run(binaries, [*words, "--config", str(file), "--dry-run"])
        assert done.returncode == 0, done.stderr
