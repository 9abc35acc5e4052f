"""Pages that must agree with the source: settings, metrics, errors."""

import re

import metrics
import settings
from pages import ROOT, parts

# Messages of other programs, and a message that combines texts of two files.
ELSEWHERE = (
    "num_samples_per_epoch = ...: expected a multiple of batch_size",
    "address already in use",
    "UNAUTHENTICATED",
    "The service is currently unavailable: tcp connect error",
    "error while loading shared libraries: libtorch.so",
    "out of memory",
)
ERROR = re.compile(
    r"#\[derive\([^)]*\bError\b[^)]*\)\](?:\s*#\[(?:[^\[\]]|\[[^\]]*\])*\])*\s*pub(?:\([^)]*\))? (?:enum|struct) (\w+)"
)


def sources():
    """Returns the text of the Rust sources and the set-up scripts."""
    crates = [ROOT / "cli", ROOT / "learner", ROOT / "proto", ROOT / "rewarder", ROOT / "sampler"]
    files = [file for crate in [*crates, *(ROOT / "crates").iterdir()] for file in crate.glob("src/**/*.rs")]
    return [file.read_text() for file in sorted(files)], [file.read_text() for file in sorted((ROOT / "scripts").iterdir())]


def test_the_reference_of_settings_is_current(binaries):
    hint = "run `make reference`"
    assert (ROOT / "docs/settings.md").read_text() == settings.page(binaries), hint


def test_the_reference_of_metrics_is_current():
    hint = "run `make reference`"
    assert (ROOT / "docs/metrics.md").read_text() == metrics.page(), hint


def rows():
    """Yields the messages in the first column of the tables of docs/troubleshooting.md."""
    for _, text, _ in parts(ROOT / "docs/troubleshooting.md"):
        if text.startswith("| `"):
            first = re.split(r"(?<!\\)\|", text)[1].replace("\\|", "|")
            yield from re.findall(r"`([^`]+)`", first)


def plain(text):
    """Returns a source text with its strings joined and without quotes."""
    text = re.sub(r"\\\n\s*", "", text)
    return re.sub(r"\s+", " ", text.replace('\\"', "").replace('"', "").replace("`", ""))


def test_messages_of_the_troubleshooting_page_exist():
    rust, scripts = sources()
    text = "\n".join(map(plain, rust + scripts))
    missing = []
    for message in rows():
        pieces = [piece.strip(" :;=") for piece in message.split("...")]
        if message not in ELSEWHERE and not all(piece in text for piece in pieces):
            missing.append(message)
    assert missing == []


def test_the_troubleshooting_page_names_every_type_of_error():
    rust, _ = sources()
    defined = {name for text in rust for name in ERROR.findall(text)}
    text = (ROOT / "docs/troubleshooting.md").read_text()
    assert sorted(name for name in defined if f"`{name}`" not in text) == []
    types = re.findall(r"`(\w+)`", " ".join(re.findall(r"^Types: .*?\.$", text, re.MULTILINE | re.DOTALL)))
    assert sorted(set(types) - defined) == []
