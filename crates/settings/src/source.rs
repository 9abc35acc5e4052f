//! The sources of settings, and their errors.

use std::fmt;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// The source of a value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// The default.
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

/// Errors in settings. `found` is `[hidden]` for a secret.
#[derive(Debug, Error)]
pub enum SettingsError {
    /// The named file cannot be read.
    #[error("settings file {}: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The system's error.
        error: std::io::Error,
    },
    /// The named file is not TOML.
    #[error("settings file {}: line {line}: {reason}", path.display())]
    NotToml {
        /// The file.
        path: PathBuf,
        /// Number of the line, from 1.
        line: usize,
        /// The parser's message.
        reason: String,
    },
    /// The key is not a setting.
    #[error("{from}: unknown setting `{key}`{hint}")]
    Unknown {
        /// Its source.
        from: Source,
        /// The key.
        key: String,
        /// The nearest known key, if one is near.
        hint: String,
    },
    /// The setting has moved.
    #[error("{from}: {key} is no longer a setting of this program; hint: {hint}")]
    Moved {
        /// Its source.
        from: Source,
        /// The key.
        key: String,
        /// The new location of the setting.
        hint: &'static str,
    },
    /// The table does not exist.
    #[error("{from}: unknown table `[{table}]`{hint}")]
    UnknownTable {
        /// Its source.
        from: Source,
        /// The table.
        table: String,
        /// The nearest known table, if one is near.
        hint: String,
    },
    /// The value has the wrong type.
    #[error("{from}: {key} = {found}: expected {expected}")]
    Type {
        /// Its source.
        from: Source,
        /// The key.
        key: String,
        /// The expected type.
        expected: &'static str,
        /// The value.
        found: String,
    },
    /// The setting does not accept the value.
    #[error("{from}: {key} = {found}: {reason}")]
    Value {
        /// Its source.
        from: Source,
        /// The key.
        key: String,
        /// The value.
        found: String,
        /// The reason.
        reason: String,
    },
    /// The settings struct cannot be written as TOML: a programming error.
    #[error("settings: {0}")]
    Schema(#[from] toml::ser::Error),
    /// Two tables of one binary have the same key, or a table is missing: a programming error.
    #[error("settings: {0}")]
    Declaration(String),
}

/// Returns the error for a file that is not TOML, in one line; the parser's message has several lines.
pub(super) fn not_toml(path: &Path, text: &str, error: &toml::de::Error) -> SettingsError {
    let before = error.span().map_or(0, |span| span.start);
    let line = text.bytes().take(before).filter(|byte| *byte == b'\n').count() + 1;
    let reason = error.message().replace('\n', ", ");
    // The parser's words are about its own types.
    let is_beyond = reason.contains("value was too large") || reason.contains("overflowed");
    let reason = if is_beyond { "expected whole numbers up to 2^63 - 1".into() } else { reason };
    SettingsError::NotToml { path: path.into(), line, reason }
}

/// Returns `; hint: did you mean ...` with the nearest known key, or an empty string if no key is within
/// three edits.
pub(super) fn hint<'a>(key: &str, known: impl Iterator<Item = &'a str>) -> String {
    match nearest(key, known) {
        Some((distance, name)) if distance <= 3 => format!("; hint: did you mean `{name}`?"),
        _ => String::new(),
    }
}

/// Returns the nearest known key and its edit distance.
pub(super) fn nearest<'a>(
    key: &str,
    known: impl Iterator<Item = &'a str>,
) -> Option<(usize, &'a str)> {
    known.map(|name| (strsim::levenshtein(key, name), name)).min()
}
