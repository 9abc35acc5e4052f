//! Settings in layers: defaults < file < environment < flag.
//!
//! A binary describes its settings once, as a struct that serde reads and writes; [`Layers`] lays
//! the sources over each other, remembers where each value came from, and refuses what it does not
//! know. Values from the environment and from flags are texts; an example of the struct with every
//! optional field filled tells which type each key has.

use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use thiserror::Error;
use toml::{Table, Value};

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

/// Why settings cannot be used.
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
}

/// The layers laid so far.
#[derive(Clone, Debug)]
pub struct Layers {
    schema: Table,
    merged: Table,
    sources: BTreeMap<String, Source>,
}

impl Layers {
    /// Starts from `defaults`. `example` has every optional field filled, to tell the types.
    ///
    /// # Errors
    /// [`SettingsError::Schema`] if they are not TOML tables.
    pub fn new<T: Serialize>(defaults: &T, example: &T) -> Result<Self, SettingsError> {
        let (schema, merged) = (Table::try_from(example)?, Table::try_from(defaults)?);
        Ok(Self { schema, merged, sources: BTreeMap::new() })
    }

    /// Lays a TOML file over what is there.
    ///
    /// # Errors
    /// A file that is missing or not TOML, an unknown key, or a value of another type.
    pub fn file(&mut self, path: &Path) -> Result<(), SettingsError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| SettingsError::Unreadable { path: path.into(), error })?;
        let table: Table =
            text.parse().map_err(|error: toml::de::Error| not_toml(path, &text, &error))?;
        for (key, value) in table {
            self.set(&key, value, Source::File(path.into()))?;
        }
        Ok(())
    }

    /// Lays the variables that begin with `prefix` over what is there; `PREFIX_BATCH_SIZE` sets
    /// `batch_size`. Names in `others` belong to somebody else.
    ///
    /// # Errors
    /// An unknown name, or a value of another type.
    pub fn environment(
        &mut self,
        prefix: &str,
        others: &[&str],
        variables: impl Iterator<Item = (String, String)>,
    ) -> Result<(), SettingsError> {
        for (name, value) in variables {
            let Some(key) = name.strip_prefix(prefix) else { continue };
            if !others.contains(&name.as_str()) {
                self.set_text(&key.to_lowercase(), &value, Source::Environment(name.clone()))?;
            }
        }
        Ok(())
    }

    /// Lays flags, given as (key, text), over what is there.
    ///
    /// # Errors
    /// An unknown key, or a value of another type.
    pub fn flags(
        &mut self,
        flags: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), SettingsError> {
        for (key, value) in flags {
            let name = format!("--{}", key.replace('_', "-"));
            self.set_text(&key, &value, Source::Flag(name))?;
        }
        Ok(())
    }

    /// The keys that a source above the defaults has set, and the uppermost source of each.
    #[must_use]
    pub fn sources(&self) -> &BTreeMap<String, Source> {
        &self.sources
    }

    /// The struct that the layers make. Each value is tried alone over the defaults first, so that
    /// an error names its source.
    ///
    /// # Errors
    /// [`SettingsError::Value`].
    pub fn finish<T: DeserializeOwned>(&self) -> Result<T, SettingsError> {
        for (key, from) in &self.sources {
            let mut alone = self.schema.clone();
            if let Some(value) = self.merged.get(key) {
                alone.insert(key.clone(), value.clone());
            }
            alone.try_into::<T>().map_err(|error| self.refused(key, from.clone(), &error))?;
        }
        let whole = self.merged.clone().try_into();
        whole.map_err(|error| self.refused("settings", Source::Default, &error))
    }

    fn refused(&self, key: &str, from: Source, error: &toml::de::Error) -> SettingsError {
        let found = self.merged.get(key).map_or_else(String::new, ToString::to_string);
        let reason = error.message().to_owned();
        SettingsError::Value { from, key: key.into(), found, reason }
    }

    fn set_text(&mut self, key: &str, text: &str, from: Source) -> Result<(), SettingsError> {
        let schema = self.known(key, &from)?;
        let parsed = match schema {
            Value::String(_) => Some(Value::String(text.into())),
            Value::Integer(_) => text.parse().ok().map(Value::Integer),
            Value::Float(_) => text.parse().ok().map(Value::Float),
            Value::Boolean(_) => text.parse().ok().map(Value::Boolean),
            _ => None,
        };
        let expected = type_name(schema);
        let wrong = || SettingsError::Type {
            from: from.clone(),
            key: key.into(),
            expected,
            found: text.into(),
        };
        let value = parsed.ok_or_else(wrong)?;
        self.set(key, value, from)
    }

    fn set(&mut self, key: &str, value: Value, from: Source) -> Result<(), SettingsError> {
        let schema = self.known(key, &from)?;
        let value = match (schema, value) {
            (Value::Float(_), Value::Integer(whole)) => Value::Float(whole as f64),
            (_, value) => value,
        };
        if !schema.same_type(&value) {
            let (expected, found) = (type_name(schema), value.to_string());
            return Err(SettingsError::Type { from, key: key.into(), expected, found });
        }
        self.merged.insert(key.into(), value);
        self.sources.insert(key.into(), from);
        Ok(())
    }

    fn known(&self, key: &str, from: &Source) -> Result<&Value, SettingsError> {
        self.schema.get(key).ok_or_else(|| SettingsError::Unknown {
            from: from.clone(),
            key: key.into(),
            hint: nearest(key, self.schema.keys()),
        })
    }
}

/// The parser's own message shows the place in several lines; this names it in one.
fn not_toml(path: &Path, text: &str, error: &toml::de::Error) -> SettingsError {
    let before = error.span().map_or(0, |span| span.start);
    let line = text.bytes().take(before).filter(|byte| *byte == b'\n').count() + 1;
    let reason = error.message().replace('\n', ", ");
    SettingsError::NotToml { path: path.into(), line, reason }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        _ => "another type",
    }
}

/// `; hint: did you mean ...` for the known key with the fewest edits, if they are few.
fn nearest<'a>(key: &str, known: impl Iterator<Item = &'a String>) -> String {
    let closest = known.map(|name| (edits(key, name), name)).min();
    match closest {
        Some((distance, name)) if distance <= 3 => format!("; hint: did you mean `{name}`?"),
        _ => String::new(),
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Settings {
        batch_size: usize,
        rate: f64,
        name: String,
        stop: Option<f64>,
    }

    fn layers() -> Layers {
        let settings = |stop| Settings { batch_size: 5, rate: 0.1, name: "a".into(), stop };
        Layers::new(&settings(None), &settings(Some(0.0))).unwrap()
    }

    fn pairs(pairs: &[(&str, &str)]) -> impl Iterator<Item = (String, String)> {
        pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect::<Vec<_>>().into_iter()
    }

    #[test]
    fn a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.toml");
        std::fs::write(&path, "batch_size = 6\nrate = 2\nname = \"file\"").unwrap();
        let mut layers = layers();
        layers.file(&path).unwrap();
        layers.environment("X_", &[], pairs(&[("X_RATE", "3"), ("X_NAME", "env")])).unwrap();
        layers.flags(pairs(&[("name", "flag"), ("stop", "1e-3")])).unwrap();
        let expected = Settings { batch_size: 6, rate: 3.0, name: "flag".into(), stop: Some(1e-3) };
        assert_eq!(layers.finish::<Settings>().unwrap(), expected);
    }

    #[test]
    fn an_unknown_variable_is_refused_with_the_nearest_name() {
        let error =
            layers().environment("X_", &["X_OTHER"], pairs(&[("X_BATCHSIZE", "3")])).unwrap_err();
        let expected = "X_BATCHSIZE: unknown setting `batchsize`; hint: did you mean `batch_size`?";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_value_of_another_type_names_its_source() {
        let error = layers().flags(pairs(&[("batch_size", "five")])).unwrap_err();
        let expected = "--batch-size: batch_size = five: expected a whole number";
        assert_eq!(error.to_string(), expected);
    }

    #[test]
    fn a_negative_count_is_refused_at_the_end() {
        let mut layers = layers();
        layers.flags(pairs(&[("batch_size", "-5")])).unwrap();
        let message = layers.finish::<Settings>().unwrap_err().to_string();
        assert!(message.starts_with("--batch-size: batch_size = -5: "), "{message}");
    }

    #[test]
    fn a_file_that_is_not_toml_is_named_with_the_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.toml");
        std::fs::write(&path, "rate = 1\nbatch_size 6\n").unwrap();
        let message = layers().file(&path).unwrap_err().to_string();
        assert!(message.contains("settings.toml: line 2: key with no value"), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let message = layers().file(Path::new("no/such.toml")).unwrap_err().to_string();
        assert!(message.starts_with("settings file no/such.toml: "), "{message}");
    }
}
