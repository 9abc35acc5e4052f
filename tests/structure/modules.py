"""The modules of a crate: the file of each, the names that it defines or imports, and the paths that it mentions."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from tokens import block_end, tokens

DEFINING = {"fn", "struct", "enum", "trait", "type", "const", "static", "union"}
# Words that can stand between `const` or `unsafe` and the name that is defined.
QUALIFYING = {"fn", "unsafe", "extern", "async", "mut", "_"}


class Mention(NamedTuple):
    """A path in the source: its segments and its line."""

    segments: tuple
    line: int


@dataclass
class Module:
    """A module, which is a file or a block of one."""

    file: Path
    folder: Path
    parent: "Module | None" = None
    children: dict = field(default_factory=dict)
    # Name -> file that defines it.
    items: dict = field(default_factory=dict)
    # Name -> path that it is imported from, re-exports included.
    imports: dict = field(default_factory=dict)
    globs: list = field(default_factory=list)
    mentions: list = field(default_factory=list)

    @property
    def root(self):
        return self.parent.root if self.parent else self

    def walk(self):
        """Yields this module and all below it."""
        yield self
        for child in self.children.values():
            yield from child.walk()


def read(file, folder=None, parent=None):
    """Reads the module in `file` and, through its `mod` declarations, all below it.

    `folder` is where the files of its children are.
    """
    module = Module(file, folder or file.parent, parent)
    Reader(module, tokens(file.read_text())).items()
    return module


class Reader:
    """Reads the tokens of one module."""

    def __init__(self, module, found):
        self.module, self.found, self.at = module, found, 0

    def text(self, offset=0):
        index = self.at + offset
        return self.found[index].text if 0 <= index < len(self.found) else ""

    def items(self):
        """Reads to the end."""
        depth, exported = 0, False
        while self.at < len(self.found):
            word = self.text()
            if word == "#" and self.attribute() == ["cfg", "(", "test", ")"]:
                self.skip_item()
            elif word == "#":
                exported = exported or self.attribute() == ["macro_export"]
                self.skip_attribute()
            elif word == "mod" and self.text(2) in (";", "{"):
                self.child()
            elif word == "use" and self.text(1) != "<":
                self.use()
            elif word == "macro_rules" and self.text(1) == "!":
                (self.module.root if exported else self.module).items[self.text(2)] = self.module.file
                exported = False
                self.at += 3
            elif word in DEFINING and depth == 0 and self.text(1) not in QUALIFYING:
                self.module.items[self.text(1)] = self.module.file
                self.at += 2
            elif self.found[self.at].is_word:
                self.path()
            else:
                depth += {"{": 1, "}": -1}.get(word, 0)
                self.at += 1

    def attribute(self):
        """Returns the words of the attribute here."""
        opening = self.at + (2 if self.text(1) == "!" else 1)
        return [token.text for token in self.found[opening + 1 : block_end(self.found, opening) - 1]]

    def skip_attribute(self):
        self.at = block_end(self.found, self.at + (2 if self.text(1) == "!" else 1))

    def skip_item(self):
        """Skips the attributes here and the item that they belong to."""
        while self.text() == "#":
            self.skip_attribute()
        ends_in_semicolon = self.text() == "use"
        while self.at < len(self.found) and self.text() != ";":
            if self.text() == "{" and not ends_in_semicolon:
                self.at = block_end(self.found, self.at)
                return
            self.at = block_end(self.found, self.at) if self.text() in ("(", "[", "{") else self.at + 1
        self.at += 1

    def child(self):
        """Reads `mod name;` or `mod name { ... }`."""
        name, body = self.text(1), self.at + 2
        folder = self.module.folder / name
        if self.text(2) == "{":
            self.at = block_end(self.found, body)
            child = Module(self.module.file, folder, self.module)
            self.module.children[name] = child
            Reader(child, self.found[body + 1 : self.at - 1]).items()
            return
        self.at += 3
        for file in [folder.with_name(f"{name}.rs"), folder / "mod.rs"]:
            if file.exists():
                self.module.children[name] = read(file, folder, self.module)

    def path(self):
        """Reads a path in code."""
        segments, line = [self.text()], self.found[self.at].line
        is_absolute = self.text(-1) == "::"
        while self.text(1) == "::" and self.at + 2 < len(self.found) and self.found[self.at + 2].is_word:
            self.at += 2
            segments.append(self.text())
        self.at += 1
        if len(segments) > 1 and not is_absolute:
            self.module.mentions.append(Mention(tuple(segments), line))

    def use(self):
        """Reads a `use` declaration."""
        self.at += 1
        if self.text() != "::":
            self.tree(())
        while self.at < len(self.found) and self.text() != ";":
            self.at += 1

    def tree(self, before):
        """Reads one tree of a `use` declaration, whose segments so far are `before`."""
        segments = before
        while self.text() not in ("{", "*", "}", ",", ";", "as", ""):
            if self.text() != "::":
                segments = (*segments, self.text())
            self.at += 1
        line = self.found[self.at - 1].line
        if self.text() == "{":
            self.at += 1
            while self.text() not in ("}", ";", ""):
                self.tree(segments)
                self.at += self.text() == ","
            self.at += 1
        elif self.text() == "*":
            self.at += 1
            self.module.globs.append(Mention(segments, line))
        elif segments:
            self.leaf(segments, line)

    def leaf(self, segments, line):
        """Notes one imported name."""
        if segments[-1] == "self":
            segments = segments[:-1]
        name = segments[-1]
        if self.text() == "as":
            name = self.text(1)
            self.at += 2
        self.module.imports[name] = Mention(segments, line)
        self.module.mentions.append(Mention(segments, line))
