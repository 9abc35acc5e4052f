"""Finds files of a crate that import from each other in a circle.

    python3 tests/structure/cycles.py crates/service learner

An import of a re-exported name counts as an import from the file that defines the name. `mod name;`, comments and
items under `#[cfg(test)]` do not count. A method call names no file, so it does not count either.
"""

import sys
from collections import defaultdict
from pathlib import Path

import modules

# How many imports and re-exports one name may pass through; more is a circle of re-exports.
LONGEST_CHAIN = 32


def definition(module, segments, chain=LONGEST_CHAIN):
    """Returns the file that defines a path, as named in `module`; None for a module and for other crates."""
    place = start(module, segments[0])
    if place is None:
        return imported(module, segments, chain)
    return below(place, segments[1:], chain)


def start(module, word):
    """Returns the module that the first segment of a path names."""
    if word == "crate":
        return module.root
    if word == "self":
        return module
    if word == "super":
        return module.parent
    if word in module.children:
        return module.children[word]
    return None


def below(place, segments, chain):
    """Returns the file that defines the path `segments` in the module `place`."""
    while segments:
        word, *segments = segments
        if word == "super":
            place = place.parent
        elif word in place.children:
            place = place.children[word]
        elif word in place.items:
            return place.items[word]
        else:
            # A name that no pattern recognises, as one that a macro defines, is the module's.
            found = imported(place, [word, *segments], chain)
            return found or (None if is_foreign(place, word) else place.file)
    return None


def imported(module, segments, chain):
    """Returns the file that defines a path whose first segment `module` has imported."""
    if chain == 0:
        return None
    if segments[0] in module.imports:
        path = module.imports[segments[0]].segments
        if path[0] == segments[0] and start(module, path[0]) is None:
            return None
        return definition(module, [*path, *segments[1:]], chain - 1)
    for glob in module.globs:
        place = module_of(module, glob.segments)
        if place is None or place is module:
            continue
        if {segments[0]} & (place.items.keys() | place.children.keys() | place.imports.keys()):
            return below(place, segments, chain - 1)
    return None


def is_foreign(module, word):
    """Whether `module` imports this name from another crate."""
    return word in module.imports and start(module, module.imports[word].segments[0]) is None


def module_of(module, segments):
    """Returns the module that a path names; None for one of another crate, and for an enum."""
    place = start(module, segments[0])
    for word in segments[1:]:
        place = place and (place.parent if word == "super" else place.children.get(word))
    return place


def roots(crate):
    """Yields the root modules of a crate: its library and its binaries."""
    for file in [crate / "src/lib.rs", crate / "src/main.rs", *sorted(crate.glob("src/bin/*.rs"))]:
        if file.exists():
            yield modules.read(file)


def imports(crate):
    """Returns {file: {imported file: [(line, path)]}} of a crate."""
    found = defaultdict(lambda: defaultdict(list))
    for root in roots(crate):
        for module in root.walk():
            for mention in module.mentions:
                target = definition(module, mention.segments)
                if target and target != module.file:
                    found[module.file][target].append((mention.line, "::".join(mention.segments)))
            for glob in module.globs:
                place = module_of(module, glob.segments)
                if place and place.file != module.file:
                    found[module.file][place.file].append((glob.line, "::".join([*glob.segments, "*"])))
    return found


def cycles(graph):
    """Returns the strongly connected components of more than one file, each sorted."""
    reached = {file: reach(graph, file) for file in graph}
    found = {
        frozenset(other for other in reached[file] if file in reached.get(other, ())) for file in graph if file in reached[file]
    }
    return sorted(sorted(component) for component in found)


def reach(graph, file):
    """Returns the files that `file` imports from, directly or through others."""
    seen, waiting = set(), [file]
    while waiting:
        for target in graph.get(waiting.pop(), ()):
            if target not in seen:
                seen.add(target)
                waiting.append(target)
    return seen


def report(crate):
    """Yields a text for each cycle of a crate: its files, and the imports that close it."""
    graph = imports(crate)
    for component in cycles(graph):
        lines = [f"{crate}: {len(component)} files import from each other"]
        for source in component:
            for target, mentions in sorted(graph[source].items()):
                if target in component:
                    told = ", ".join(f"{path} (line {line})" for line, path in sorted(mentions)[:3])
                    lines.append(f"  {source.relative_to(crate)} -> {target.relative_to(crate)}: {told}")
        yield "\n".join(lines)


if __name__ == "__main__":
    texts = [text for crate in sys.argv[1:] for text in report(Path(crate))]
    print("\n".join(texts) or "no cycle")
    sys.exit(bool(texts))
