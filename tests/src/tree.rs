//! Reads folders as maps from relative path to bytes, to compare the results of two processes.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// The files under a folder. An empty folder counts as a file whose name ends in a slash.
pub type Tree = BTreeMap<String, Vec<u8>>;

/// Reads every file under `folder`.
///
/// # Panics
/// If a file cannot be read.
pub fn read(folder: &Path) -> Tree {
    let mut tree = Tree::new();
    look_into(folder, "", &mut tree);
    tree
}

fn look_into(folder: &Path, prefix: &str, tree: &mut Tree) {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut empty = true;
    for entry in entries {
        let entry = entry.expect("a folder can be listed");
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        empty = false;
        if entry.path().is_dir() {
            look_into(&entry.path(), &format!("{name}/"), tree);
        } else {
            let bytes = fs::read(entry.path()).unwrap_or_else(|e| panic!("{name}: {e}"));
            tree.insert(name, bytes);
        }
    }
    if empty && !prefix.is_empty() {
        tree.insert(prefix.into(), Vec::new());
    }
}

/// Returns the part of a tree below `prefix`, with names relative to it.
pub fn below(tree: &Tree, prefix: &str) -> Tree {
    let inner = tree.iter().filter_map(|(name, bytes)| Some((name.strip_prefix(prefix)?, bytes)));
    inner.map(|(name, bytes)| (name.to_owned(), bytes.clone())).collect()
}

/// Checks that two trees have the same names and bytes.
///
/// # Panics
/// If a file is in one tree only or differs; the message names it.
#[track_caller]
pub fn assert_same(expected: &Tree, found: &Tree) {
    let names: std::collections::BTreeSet<&String> = expected.keys().chain(found.keys()).collect();
    let differing: Vec<String> = names
        .into_iter()
        .filter_map(|name| match (expected.get(name), found.get(name)) {
            (Some(_), None) => Some(format!("{name} is missing")),
            (None, Some(_)) => Some(format!("{name} is unexpected")),
            (one, other) if one != other => Some(format!("{name} differs")),
            _ => None,
        })
        .collect();
    assert!(!expected.is_empty(), "the expected tree is empty");
    assert!(differing.is_empty(), "{}", differing.join(", "));
}

/// Copies a folder.
///
/// # Panics
/// If a file cannot be copied.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap_or_else(|e| panic!("{}: {e}", to.display()));
    for entry in fs::read_dir(from).unwrap_or_else(|e| panic!("{}: {e}", from.display())) {
        let entry = entry.expect("a folder can be listed");
        let target = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &target),
            false => drop(fs::copy(entry.path(), &target).expect("a file can be copied")),
        }
    }
}
