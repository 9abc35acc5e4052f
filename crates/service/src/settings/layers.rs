//! The layers themselves: which tables there are, and what has been laid over their defaults.

use crate::settings::environment::{self, is_service_link};
use crate::settings::part::Part;
use crate::settings::source::{SettingsError, Source, hint, nearest, not_toml};
use crate::settings::table::SettingsTable;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::path::Path;
use toml::{Table, Value};

/// Edits up to which a variable that could be another binary's is taken for a misspelt one of ours.
const MISSPELT: usize = 2;

/// The layers laid so far.
#[derive(Clone, Debug)]
pub struct Layers {
    parts: Vec<Part>,
    others: Vec<String>,
    leaves_keys: bool,
    sources: BTreeMap<String, Source>,
}

/// Whose a key is.
enum Owner {
    Part(usize, String),
    Others,
    Unknown,
}

impl Layers {
    /// Starts from `defaults` of the table that is laid flat: its keys stand at the top of a file.
    /// `example` has every optional field filled, to tell the types.
    ///
    /// # Errors
    /// [`SettingsError::Schema`] if they are not TOML tables.
    pub fn new<T: Serialize>(defaults: &T, example: &T) -> Result<Self, SettingsError> {
        let parts = vec![Part::new("", defaults, example)?];
        Ok(Self { parts, leaves_keys: false, ..Self::of_tables() })
    }

    /// Starts from the defaults of a declared table that is laid flat.
    ///
    /// # Errors
    /// [`SettingsError::Schema`] if it is no TOML table.
    pub fn flat<T: SettingsTable>(defaults: &T) -> Result<Self, SettingsError> {
        let parts = vec![Part::new("", defaults, &T::example())?.hide(T::TABLE)];
        Ok(Self { parts, leaves_keys: false, ..Self::of_tables() })
    }

    /// Starts without a flat table: keys at the top of a file are somebody else's.
    #[must_use]
    pub fn of_tables() -> Self {
        let (parts, others, sources) = (Vec::new(), Vec::new(), BTreeMap::new());
        Self { parts, others, leaves_keys: true, sources }
    }

    /// Adds a table of ours, `[name]` in a file.
    ///
    /// # Errors
    /// [`SettingsError::Declaration`] if another table has one of its keys, which would make a flag
    /// mean two settings.
    pub fn table<T: SettingsTable>(
        mut self,
        name: &str,
        defaults: &T,
    ) -> Result<Self, SettingsError> {
        let part = Part::new(name, defaults, &T::example())?.hide(T::TABLE);
        for other in &self.parts {
            if let Some(key) = part.keys().find(|key| other.has(key)) {
                let (one, two) = (part.qualified(key), other.qualified(key));
                let reason = format!("{one} and {two} would be one flag");
                return Err(SettingsError::Declaration(reason));
            }
        }
        self.parts.push(part);
        Ok(self)
    }

    /// Names tables that belong to other binaries: accepted and not looked into.
    #[must_use]
    pub fn leave(mut self, tables: &[&str]) -> Self {
        self.others.extend(tables.iter().map(|table| (*table).to_owned()));
        self
    }

    /// Accepts keys at the top of a file that the flat table does not have, as another binary's.
    #[must_use]
    pub fn leave_unknown_keys(mut self) -> Self {
        self.leaves_keys = true;
        self
    }

    /// Lays a TOML file over what is there.
    ///
    /// # Errors
    /// A file that is missing or not TOML, an unknown key or table, or a value of another type.
    pub fn file(&mut self, path: &Path) -> Result<(), SettingsError> {
        let text = std::fs::read_to_string(path)
            .map_err(|error| SettingsError::Unreadable { path: path.into(), error })?;
        let table: Table =
            text.parse().map_err(|error: toml::de::Error| not_toml(path, &text, &error))?;
        let from = Source::File(path.into());
        for (key, value) in table {
            self.file_entry(&key, value, &from)?;
        }
        Ok(())
    }

    fn file_entry(&mut self, key: &str, value: Value, from: &Source) -> Result<(), SettingsError> {
        let own = self.parts.iter().position(|part| !part.name.is_empty() && part.name == key);
        let theirs = own.is_none() && self.others.iter().any(|other| other == key);
        let flat = self.parts.iter().position(|part| part.name.is_empty());
        let known = flat.is_some_and(|index| self.parts[index].has(key));
        match (own, value) {
            (Some(index), Value::Table(table)) => {
                table.into_iter().try_for_each(|(key, value)| self.set(index, &key, value, from))
            }
            (None, Value::Table(_)) if theirs => Ok(()),
            (None, Value::Table(_)) if !known => Err(self.unknown_table(key, from.clone())),
            (own, value) if own.is_some() || theirs => Err(SettingsError::Type {
                from: from.clone(),
                key: key.into(),
                expected: "a table",
                found: value.type_str().into(),
            }),
            (_, _) if !known && self.leaves_keys => Ok(()),
            (_, value) => match flat {
                Some(index) => self.set(index, key, value, from),
                None => Ok(()),
            },
        }
    }

    /// Lays the variables that begin with `prefix` over what is there; `PREFIX_BATCH_SIZE` sets
    /// `batch_size`, `PREFIX_SERVICE_LISTEN` sets `listen` of `[service]`. Names in `others` belong
    /// to somebody else, and so do those that Kubernetes makes for its services.
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
            let Some(rest) = name.strip_prefix(prefix) else { continue };
            if others.contains(&name.as_str()) {
                continue;
            }
            let key = rest.to_lowercase();
            let from = Source::Environment(name.clone());
            match self.owner_of_variable(&key) {
                Owner::Part(index, key) => self.set_text(index, &key, &value, &from)?,
                Owner::Others => {}
                Owner::Unknown if is_service_link(&name, &value) => {}
                Owner::Unknown => return Err(self.unknown(&key, from)),
            }
        }
        Ok(())
    }

    /// Lays flags, given as (key, text), over what is there. A flag has no table in its name.
    ///
    /// # Errors
    /// An unknown key, or a value of another type.
    pub fn flags(
        &mut self,
        flags: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), SettingsError> {
        for (key, value) in flags {
            let from = Source::Flag(format!("--{}", key.replace('_', "-")));
            match self.parts.iter().position(|part| part.has(&key)) {
                Some(index) => self.set_text(index, &key, &value, &from)?,
                None => return Err(self.unknown(&key, from)),
            }
        }
        Ok(())
    }

    /// Lays a file if one is named, then the environment, then flags: what every binary does.
    ///
    /// # Errors
    /// As [`file`](Self::file), [`environment`](Self::environment) and [`flags`](Self::flags).
    pub fn lay(
        mut self,
        file: Option<&Path>,
        variables: impl Iterator<Item = (String, String)>,
        flags: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, SettingsError> {
        if let Some(path) = file {
            self.file(path)?;
        }
        self.environment(environment::PREFIX, &environment::NO_SETTINGS, variables)?;
        self.flags(flags)?;
        Ok(self)
    }

    /// All tables of ours as one TOML document, for `--dry-run`; secrets are hidden.
    ///
    /// # Errors
    /// [`SettingsError::Schema`] if they are not TOML.
    pub fn to_toml(&self) -> Result<String, SettingsError> {
        let mut document = Table::new();
        for part in &self.parts {
            match part.name.as_str() {
                "" => document.extend(part.shown()),
                table => drop(document.insert(table.into(), Value::Table(part.shown()))),
            }
        }
        Ok(toml::to_string(&document)?)
    }

    /// The keys that a source above the defaults has set, and the uppermost source of each. A key
    /// of a table has the table's name before it: `service.redis_url`.
    #[must_use]
    pub fn sources(&self) -> &BTreeMap<String, Source> {
        &self.sources
    }

    /// The struct that the flat table makes.
    ///
    /// # Errors
    /// [`SettingsError::Value`] for a value that its setting does not take.
    pub fn finish<T: DeserializeOwned>(&self) -> Result<T, SettingsError> {
        self.finish_table("")
    }

    /// The struct that the table `[name]` makes.
    ///
    /// # Errors
    /// [`SettingsError::Value`] for a value that its setting does not take.
    pub fn finish_table<T: DeserializeOwned>(&self, name: &str) -> Result<T, SettingsError> {
        let undeclared = || SettingsError::Declaration(format!("no table `[{name}]`"));
        let part = self.parts.iter().find(|part| part.name == name).ok_or_else(undeclared)?;
        part.finish(&self.sources)
    }

    fn set(
        &mut self,
        index: usize,
        key: &str,
        value: Value,
        from: &Source,
    ) -> Result<(), SettingsError> {
        self.parts[index].set(key, value, from)?;
        self.sources.insert(self.parts[index].qualified(key), from.clone());
        Ok(())
    }

    fn set_text(
        &mut self,
        index: usize,
        key: &str,
        text: &str,
        from: &Source,
    ) -> Result<(), SettingsError> {
        self.parts[index].set_text(key, text, from)?;
        self.sources.insert(self.parts[index].qualified(key), from.clone());
        Ok(())
    }

    fn owner_of_variable(&self, name: &str) -> Owner {
        for (index, part) in self.parts.iter().enumerate() {
            if let Some(key) = within(&part.name, name).filter(|key| part.has(key)) {
                return Owner::Part(index, key.to_owned());
            }
        }
        let ours = |part: &Part| !part.name.is_empty() && within(&part.name, name).is_some();
        if self.parts.iter().any(ours) {
            return Owner::Unknown;
        }
        if self.others.iter().any(|other| within(other, name).is_some()) {
            return Owner::Others;
        }
        let names = self.variable_names();
        let near = nearest(name, names.iter().map(String::as_str));
        match self.leaves_keys && near.is_none_or(|(distance, _)| distance > MISSPELT) {
            true => Owner::Others,
            false => Owner::Unknown,
        }
    }

    fn unknown(&self, key: &str, from: Source) -> SettingsError {
        let names = self.variable_names();
        let flags = self.parts.iter().flat_map(Part::keys);
        let hint = match from {
            Source::Flag(_) => hint(key, flags),
            _ => hint(key, names.iter().map(String::as_str)),
        };
        SettingsError::Unknown { from, key: key.into(), hint }
    }

    /// A binary that knows no tables at all takes one for a setting.
    fn unknown_table(&self, key: &str, from: Source) -> SettingsError {
        let tables = self.parts.iter().map(|part| part.name.as_str());
        let tables = tables.chain(self.others.iter().map(String::as_str));
        let mut tables = tables.filter(|table| !table.is_empty()).peekable();
        match tables.peek() {
            Some(_) => {
                let hint = hint(key, tables);
                SettingsError::UnknownTable { from, table: key.into(), hint }
            }
            None => self.unknown(key, from),
        }
    }

    /// All keys as environment variables have them, in lower case and without the prefix.
    fn variable_names(&self) -> Vec<String> {
        let names = |part: &Part| {
            part.keys().map(|key| part.qualified(key).replace('.', "_")).collect::<Vec<_>>()
        };
        self.parts.iter().flat_map(names).collect()
    }
}

/// What follows `table_` in a variable's name; all of it for the flat table.
fn within<'a>(table: &str, name: &'a str) -> Option<&'a str> {
    match table {
        "" => Some(name),
        table => name.strip_prefix(table)?.strip_prefix('_'),
    }
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
    fn a_table_is_an_unknown_setting_where_there_are_no_tables() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("settings.toml");
        std::fs::write(&path, "[train]\nbatch_size = 6\n").unwrap();
        let message = layers().file(&path).unwrap_err().to_string();
        assert!(message.contains("settings.toml: unknown setting `train`"), "{message}");
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
