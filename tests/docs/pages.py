"""The Markdown pages of the repository: their headings, links and code blocks."""

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
FENCE = re.compile(r"^ *```(.*)$")
LINK = re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^()\s]+)\)")


class Block(NamedTuple):
    """A code block: its file, the line on which it starts, its language and its text."""

    file: Path
    line: int
    language: str
    text: str

    @property
    def name(self):
        return f"{self.file.relative_to(ROOT)}:{self.line}"


def pages():
    """Returns the pages that people read, in the order of their paths."""
    folders = [ROOT, ROOT / "docs", ROOT / "examples", ROOT / "deploy", ROOT / "models", ROOT / "bench"]
    files = {file for folder in folders[1:] for file in folder.rglob("*.md")} | set(ROOT.glob("*.md"))
    return sorted(files)


def parts(file):
    """Yields (line number, text, code block or None) of a page; a block is yielded once, at its first line."""
    lines = file.read_text().split("\n")
    number = 0
    while number < len(lines):
        fence = FENCE.match(lines[number])
        if not fence:
            yield number + 1, lines[number], None
            number += 1
            continue
        end = next(i for i in range(number + 1, len(lines)) if lines[i].strip() == "```")
        text = "\n".join(lines[number + 1 : end]) + "\n"
        yield number + 1, "", Block(file, number + 1, fence.group(1), text)
        number = end + 1


def blocks():
    """Returns the code blocks of all pages."""
    return [block for file in pages() for _, _, block in parts(file) if block]


def links(file):
    """Yields (line number, target) of the links of a page."""
    for number, text, _ in parts(file):
        for target in LINK.findall(text):
            yield number, target


def anchors(file):
    """Returns the anchors of a page's headings, as GitHub and mdBook make them."""
    found = set()
    for _, text, _ in parts(file):
        if heading := re.match(r"#+ (.*)", text):
            words = re.sub(r"[^\w\- ]", "", heading.group(1).lower())
            found.add(words.strip().replace(" ", "-"))
    return found
