"""Links between files, and the links of the built book."""

import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from pages import ROOT, anchors, links, pages

EXTERNAL = re.compile(r"[a-z][a-z0-9+.-]*:")


@pytest.mark.parametrize("file", pages(), ids=lambda file: str(file.relative_to(ROOT)))
def test_links_resolve_to_files_and_headings(file):
    wrong = []
    for number, target in links(file):
        if EXTERNAL.match(target):
            continue
        path, _, anchor = target.partition("#")
        found = (file.parent / path).resolve() if path else file
        if not found.exists():
            wrong.append(f"{number}: {target}: no such file")
        elif anchor and found.suffix == ".md" and anchor not in anchors(found) and not includes(found, anchor):
            wrong.append(f"{number}: {target}: no such heading")
    assert wrong == []


def includes(page, anchor):
    """Returns whether the file that a page of the book includes has the heading."""
    found = re.search(r"<!-- include: (\S+) -->", page.read_text())
    return found is not None and anchor in anchors((page.parent / found.group(1)).resolve())


def test_every_page_of_docs_is_in_the_summary():
    summary = ROOT / "docs/SUMMARY.md"
    named = {target for _, target in links(summary)}
    assert named == {file.name for file in (ROOT / "docs").glob("*.md")} - {"SUMMARY.md"}


class Page(HTMLParser):
    """The links and the ids of an HTML page."""

    def __init__(self, file):
        super().__init__()
        self.targets, self.ids = [], set()
        self.feed(file.read_text())

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name in ("href", "src") and value:
                self.targets.append((tag, value))
            if name in ("id", "name") and value:
                self.ids.add(value)


def test_links_of_the_book_resolve_within_it(book):
    parsed = {file.resolve(): Page(file) for file in book.rglob("*.html")}
    wrong = []
    for file, page in parsed.items():
        if file.name == "404.html":
            continue
        for tag, target in page.targets:
            if EXTERNAL.match(target):
                # Only links may be external; a page loads no external resources.
                if tag != "a":
                    wrong.append(f"{file.name}: {tag} {target}")
                continue
            path, _, anchor = unquote(target).partition("#")
            found = (file.parent / path).resolve() if path else file
            if not found.exists():
                wrong.append(f"{file.name}: {target}: no such file")
            elif anchor and found in parsed and anchor not in parsed[found].ids:
                wrong.append(f"{file.name}: {target}: no such heading")
    assert wrong == []


def test_the_book_shows_included_files(book):
    assert "If you know PPO" in (book / "architecture.html").read_text()
    front = Page(book / "index.html").targets
    for target in [("img", "images/over50.png"), ("a", "tutorial.html"), ("a", "architecture.html#if-you-know-ppo")]:
        assert target in front


def test_readme_and_architecture_are_short():
    assert len((ROOT / "README.md").read_text().splitlines()) <= 130
    assert len((ROOT / "ARCHITECTURE.md").read_text().splitlines()) <= 200


def test_source_files_named_in_architecture_exist():
    text = (ROOT / "ARCHITECTURE.md").read_text()
    named = set(re.findall(r"`((?:[\w-]+/)+[\w-]+(?:\.\w+)?)`", text))
    missing = sorted(path for path in named if not (ROOT / path).exists() and not Path(path).suffix == "")
    assert missing == []
