"""Files of a crate have no circular imports."""

from pathlib import Path

import cycles
import pytest
import workspace

CRATES = {package["name"]: Path(package["manifest_path"]).parent for package in workspace.packages()}


@pytest.mark.parametrize("name", sorted(CRATES))
def test_files_have_no_circular_imports(name):
    assert list(cycles.roots(CRATES[name])), f"{name}: no src/lib.rs and no src/main.rs"
    found = list(cycles.report(CRATES[name]))
    assert not found, "\n".join(found)


@pytest.fixture
def found(tmp_path):
    """Writes a crate from {file: source} and returns the files of each cycle in it."""

    def write(files):
        for name, source in files.items():
            path = tmp_path / "src" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(source)
        components = cycles.cycles(cycles.imports(tmp_path))
        return [[str(file.relative_to(tmp_path / "src")) for file in component] for component in components]

    return write


def test_finds_a_cycle_through_nested_imports(found):
    files = {
        "lib.rs": "pub mod a;\npub mod b;\nmod c;",
        "a.rs": "use crate::{b::{self, One}, c::Three as Other};\npub struct Two;",
        "b.rs": "pub struct One;\nuse crate::c;\nfn f(_: c::Three) {}",
        "c.rs": "pub struct Three;\nfn f() -> super::a::Two { super::a::Two }",
    }
    assert found(files) == [["a.rs", "b.rs", "c.rs"]]


def test_finds_a_child_that_imports_from_its_parent(found):
    files = {
        "lib.rs": "mod parent;",
        "parent/mod.rs": "mod child;\npub use child::Child;\npub struct Parent;",
        "parent/child.rs": "pub struct Child(super::Parent);",
    }
    assert found(files) == [["parent/child.rs", "parent/mod.rs"]]


def test_finds_a_cycle_of_paths_in_code(found):
    files = {
        "lib.rs": "mod a;\nmod b;",
        "a.rs": "pub fn go() { crate::b::go(); let text = \"crate::b\"; }",
        "b.rs": "pub fn go() { if 'a' == '\\'' { crate::a::go(); } }",
    }
    assert found(files) == [["a.rs", "b.rs"]]


def test_follows_a_re_export_to_the_file_that_defines_the_name(found):
    files = {
        "lib.rs": "mod parent;",
        "parent/mod.rs": "mod one;\nmod two;\npub use one::One;\npub use two::*;",
        "parent/one.rs": "pub struct One;\nuse crate::parent::Two;",
        "parent/two.rs": "pub struct Two;",
    }
    assert found(files) == []
    files["parent/two.rs"] = "pub struct Two(super::One);"
    assert found(files) == [["parent/one.rs", "parent/two.rs"]]


def test_ignores_tests_comments_text_and_other_crates(found):
    files = {
        "lib.rs": "mod a;\nmod b;",
        "a.rs": "use crate::b::B;\npub struct A;",
        "b.rs": """
            //! [`crate::a::A`]
            /* use crate::a::A; /* nested */ use crate::a::A; */
            use ::crate_a::a::A;
            pub struct B;
            pub fn f<'a>(_: &'a str) -> impl Iterator<Item = char> + use<'a> { r#"crate::a::A " "#.chars() }
            #[cfg(test)]
            use crate::a::A as Other;
            #[cfg(test)]
            mod tests { use crate::a::A; fn f() -> crate::a::A { A } }
        """,
    }
    assert found(files) == []


def test_names_the_imports_that_close_a_cycle(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src/main.rs").write_text("mod a;\npub struct Shared;\nfn main() { a::go() }")
    (tmp_path / "src/a.rs").write_text("use crate::Shared;\npub fn go() { let _ = Shared; }")
    (text,) = cycles.report(tmp_path)
    assert "2 files import from each other" in text
    assert "src/a.rs -> src/main.rs: crate::Shared (line 1)" in text
    assert "src/main.rs -> src/a.rs: a::go (line 3)" in text
