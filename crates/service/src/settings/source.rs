//! Where values come from, and what can be wrong with them.

use std::fmt;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// Where a value came from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// Built in.
    Default,
    /// A settings file.
    File(PathBuf),
    /// An environment variable, by name.
    Environment(String),
    /// A flag, by name.
    Flag(String),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("the defaults"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
        }
    }
}

/// Why settings cannot be used. Where a setting is a secret, `found` is `[hidden]`.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// The named file cannot be read.
    #[error("settings file {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system said.
        error: std::io::Error,
    },
    /// The named file is not TOML.
    #[error("settings file {}: line {line}: {reason}", path.display())]
    NotToml {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// Why.
        reason: String,
    },
    /// A key that no setting has.
    #[error("{from}: unknown setting `{key}`{hint}")]
    Unknown {
        /// Where it stands.
        from: Source,
        /// The key.
        key: String,
        /// The nearest known key, if one is near.
        hint: String,
    },
    /// A table that no binary has.
    #[error("{from}: unknown table `[{table}]`{hint}")]
    UnknownTable {
        /// Where it stands.
        from: Source,
        /// The table.
        table: String,
        /// The nearest known table, if one is near.
        hint: String,
    },
    /// A value of another type.
    #[error("{from}: {key} = {found}: expected {expected}")]
    Type {
        /// Where it stands.
        from: Source,
        /// The key.
        key: String,
        /// The type's name.
        expected: &'static str,
        /// The value.
        found: String,
    },
    /// A value that its setting does not take.
    #[error("{from}: {key} = {found}: {reason}")]
    Value {
        /// Where it stands.
        from: Source,
        /// The key.
        key: String,
        /// The value.
        found: String,
        /// Why not.
        reason: String,
    },
    /// The settings struct cannot be written as TOML: an error of the program.
    #[error("settings: {0}")]
    Schema(#[from] toml::ser::Error),
    /// Two tables of one binary have the same key, or a table is missing: an error of the program.
    #[error("settings: {0}")]
    Declaration(String),
}

/// The parser's own message shows the place in several lines; this names it in one.
pub(super) fn not_toml(path: &Path, text: &str, error: &toml::de::Error) -> SettingsError {
    let before = error.span().map_or(0, |span| span.start);
    let line = text.bytes().take(before).filter(|byte| *byte == b'\n').count() + 1;
    let reason = error.message().replace('\n', ", ");
    SettingsError::NotToml { path: path.into(), line, reason }
}

/// `; hint: did you mean ...` for the known key with the fewest edits, if they are few.
pub(super) fn hint<'a>(key: &str, known: impl Iterator<Item = &'a str>) -> String {
    match nearest(key, known) {
        Some((distance, name)) if distance <= 3 => format!("; hint: did you mean `{name}`?"),
        _ => String::new(),
    }
}

/// The known key with the fewest edits, and how many.
pub(super) fn nearest<'a>(
    key: &str,
    known: impl Iterator<Item = &'a str>,
) -> Option<(usize, &'a str)> {
    known.map(|name| (edits(key, name), name)).min()
}

/// Levenshtein's distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
