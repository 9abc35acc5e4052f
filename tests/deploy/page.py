"""The grpcurl commands of docs/compose.md."""

import re

from stack import ROOT

PAGE = "docs/compose.md"
SECTION = "## Look inside with grpcurl"


def commands_with(word):
    """Returns the lines of the section's shell block that contains `word`."""
    text = (ROOT / PAGE).read_text()
    _, _, rest = text.partition(f"\n{SECTION}\n")
    section = re.split(r"^## ", rest, maxsplit=1, flags=re.MULTILINE)[0]
    blocks = re.findall(r"^```sh\n(.*?)^```", section, re.MULTILINE | re.DOTALL)
    found = [block for block in blocks if word in block]
    assert len(found) == 1, f"{PAGE}, {SECTION}: expected one block with {word}, found {len(found)}"
    # Join lines that end in a backslash.
    return re.sub(r"\\\n\s*", "", found[0]).splitlines()
