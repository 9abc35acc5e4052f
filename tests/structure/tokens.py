"""Rust source as tokens with line numbers, without comments and literals."""

import re
from typing import NamedTuple

TOKEN = re.compile(
    r"""
    (?P<skipped> \s+ | //[^\n]* )
  | (?P<comment> /\* )
  | (?P<literal> b?r(?P<hashes>\#*)" .*? "(?P=hashes) | [bc]?"(?: \\. | [^"\\] )*" | b?'(?: \\[^\n']+ | \\' | [^\\'\n] )' )
  | (?P<lifetime> '[A-Za-z_]\w* )
  | (?P<word> (?: r\#)?[A-Za-z_]\w* )
  | (?P<number> \d\w* )
  | (?P<mark> :: | . )
    """,
    re.X | re.S,
)


class Token(NamedTuple):
    """A word or a punctuation mark."""

    text: str
    line: int

    @property
    def is_word(self):
        return self.text[0].isalpha() or self.text[0] == "_"


def tokens(source):
    """Returns the words and punctuation marks of `source`; a literal is the mark `""`."""
    found, position, line = [], 0, 1
    while position < len(source):
        match = TOKEN.match(source, position)
        end = comment_end(source, position) if match["comment"] else match.end()
        if match["word"] or match["mark"]:
            found.append(Token(match.group().removeprefix("r#"), line))
        elif match["literal"]:
            found.append(Token('""', line))
        line += source.count("\n", position, end)
        position = end
    return found


def comment_end(source, start):
    """Returns where the block comment at `start` ends; block comments nest."""
    depth = 0
    for mark in re.compile(r"/\*|\*/").finditer(source, start):
        depth += 1 if mark.group() == "/*" else -1
        if depth == 0:
            return mark.end()
    return len(source)


CLOSING = {"{": "}", "(": ")", "[": "]"}


def block_end(found, start):
    """Returns the index after the bracket that closes the one at `start`."""
    opening, closing, depth = found[start].text, CLOSING[found[start].text], 0
    for index in range(start, len(found)):
        if found[index].text == opening:
            depth += 1
        elif found[index].text == closing:
            depth -= 1
            if depth == 0:
                return index + 1
    return len(found)
