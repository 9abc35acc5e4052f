"""Front matter of a base model's card: always accepted, and its licence is copied or unknown."""

from case import Case, links, pipes, writes

CONVERT = ["convert", "model.pth", "--ddpm-ckpt=model", "--out=out"]


def states(licence):
    """Returns a check that the new card states this licence."""

    def check(folder):
        card = (folder / "out/README.md").read_text()
        return [] if card.startswith(f"---\nlicense:{licence}\n") else [f"expected {licence!r}, found {card[:60]!r}"]

    return check


def card(name, yaml, licence=" unknown", more=""):
    return Case(f"card {name}", CONVERT, writes("model/README.md", f"---\n{yaml}\n---\n{more}"), True, after=states(licence))


BOMB = "\n".join(["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40))])

CASES = [
    card("of one licence", "license: mit", " mit"),
    card("of a list of one", "license: [mit]", " mit"),
    card("of a list of two", "license: [mit, apache-2.0]", "\n- mit\n- apache-2.0"),
    card("of a list in lines", "license:\n- mit\n- mit", " mit"),
    card("of a mapping", "license: {id: mit}"),
    card("of a number", "license: 7"),
    card("of a list of lists", "license: [[mit]]"),
    card("with an escape", 'license: "\\e[2J"'),
    card("with a line break", 'license: "mit\\nlibrary_name: other"'),
    card("with a tag", "license: !!python/object/apply:os.system [touch hacked]"),
    card("with an alias bomb", f"license: mit\n{BOMB}"),
    card("of deep lists", "license: mit\nx: " + "[" * 30_000),
    card("of deep blocks", "license: mit\nx:\n  " + "- " * 30_000 + "x"),
    card("with one key twice", "license: mit\nlicense: apache-2.0"),
    card("of a megabyte", "license: mit\nx: " + "x" * 1_000_000, " mit"),
    card("with a base model of parents", "license: mit\nbase_model: ../../etc", " mit"),
    Case("card of bytes", CONVERT, writes("model/README.md", bytes(range(256)) * 1000), True, after=states(" unknown")),
    Case("card an endless device", CONVERT, links("model/README.md", "/dev/zero"), True, after=states(" unknown")),
    Case("card a pipe", CONVERT, pipes("model/README.md"), True, after=states(" unknown")),
]
