//! The settings tables of a binary, and the sources that override their defaults.

use crate::environment::{self, is_service_link};
use crate::part::Part;
use crate::source::{SettingsError, Source, hint, nearest, not_toml};
use crate::table::SettingsTable;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use toml::{Table, Value};

/// Largest size of a settings file: 1 MiB.
const MOST_BYTES: u64 = 1 << 20;

/// Maximum edit distance at which an unknown variable counts as a misspelt variable of this binary.
const MISSPELT: usize = 2;

/// The settings tables of a binary with the sources applied so far.
#[derive(Clone, Debug)]
pub struct Layers {
    parts: Vec<Part>,
    others: Vec<String>,
    sources: BTreeMap<String, Source>,
}

/// The table that a variable belongs to.
enum Owner {
    /// A table of this binary, by index, and the key in it.
    Part(usize, String),
    /// A table of another binary.
    Other,
    /// No table.
    Unknown,
}

impl Layers {
    /// Starts with the flat table, whose keys are at the top level of a file.
    ///
    /// # Errors
    /// [`SettingsError::Schema`] if the defaults cannot be written as TOML.
    pub fn flat<T: SettingsTable>(defaults: &T) -> Result<Self, SettingsError> {
        Ok(Self { parts: vec![Part::new("", defaults)?], ..Self::of_tables() })
    }

    /// Starts without a flat table: keys at the top level of a file belong to another binary.
    pub fn of_tables() -> Self {
        Self { parts: Vec::new(), others: Vec::new(), sources: BTreeMap::new() }
    }

    /// Adds a table of this binary, `[name]` in a file.
    ///
    /// # Errors
    /// [`SettingsError::Declaration`] if two tables have the same key, because one flag would then set two
    /// settings.
    pub fn table<T: SettingsTable>(
        mut self,
        name: &str,
        defaults: &T,
    ) -> Result<Self, SettingsError> {
        let part = Part::new(name, defaults)?;
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

    /// Declares the tables of other binaries, which are accepted and ignored.
    #[must_use]
    pub fn leave(mut self, tables: &[&str]) -> Self {
        self.others.extend(tables.iter().map(|table| (*table).to_owned()));
        self
    }

    /// Applies a TOML file.
    ///
    /// # Errors
    /// If the file is missing or not TOML, a key or table is unknown, or a value has the wrong type.
    pub fn file(&mut self, path: &Path) -> Result<(), SettingsError> {
        let text =
            read(path).map_err(|error| SettingsError::Unreadable { path: path.into(), error })?;
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
        let other = self.others.iter().any(|other| other == key);
        match (own, value) {
            (Some(index), Value::Table(table)) => {
                table.into_iter().try_for_each(|(key, value)| self.set(index, &key, value, from))
            }
            (None, Value::Table(_)) if other => Ok(()),
            (own, value) if own.is_some() || other => Err(SettingsError::Type {
                from: from.clone(),
                key: key.into(),
                expected: "a table",
                found: value.type_str().into(),
            }),
            (_, value) => self.flat_entry(key, value, from),
        }
    }

    fn flat_entry(&mut self, key: &str, value: Value, from: &Source) -> Result<(), SettingsError> {
        let flat = self.flat_part();
        let known = flat.is_some_and(|index| self.parts[index].has(key));
        match (flat, value) {
            (_, Value::Table(_)) if !known => Err(self.unknown_table(key, from.clone())),
            (Some(index), value) => self.set(index, key, value, from),
            (None, _) => Ok(()),
        }
    }

    /// Applies one value of the flat table that a program read itself.
    ///
    /// # Errors
    /// If the key is unknown, or the value has the wrong type.
    pub fn value(&mut self, key: &str, value: Value, from: &Source) -> Result<(), SettingsError> {
        self.flat_entry(key, value, from)
    }

    fn flat_part(&self) -> Option<usize> {
        self.parts.iter().position(|part| part.name.is_empty())
    }

    /// Applies the variables that begin with `prefix`: `PREFIX_BATCH_SIZE` sets `batch_size`,
    /// `PREFIX_SERVICE_LISTEN` sets `listen` of `[service]`. Ignores the names in `others` and the
    /// variables that Kubernetes sets for its services.
    ///
    /// # Errors
    /// If a name is unknown, or a value has the wrong type.
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
                Owner::Other => {}
                Owner::Unknown if is_service_link(&name, &value) => {}
                Owner::Unknown => return Err(self.unknown(&key, from)),
            }
        }
        Ok(())
    }

    /// Applies flags, given as (key, text). The name of a flag does not contain its table.
    ///
    /// # Errors
    /// If a key is unknown, or a value has the wrong type.
    pub fn flags(
        &mut self,
        flags: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(), SettingsError> {
        for (key, value) in flags {
            let from = Source::Flag(format!("--{}", key.replace('_', "-")));
            let knows = |part: &Part| part.has(&key) || part.moved(&key).is_some();
            match self.parts.iter().position(knows) {
                Some(index) => self.set_text(index, &key, &value, &from)?,
                None => return Err(self.unknown(&key, from)),
            }
        }
        Ok(())
    }

    /// Applies the file if given, then the environment, then flags.
    ///
    /// # Errors
    /// See [`file`](Self::file), [`environment`](Self::environment) and [`flags`](Self::flags).
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

    /// Returns all tables of this binary as one TOML document, for `--dry-run`; secrets are hidden.
    ///
    /// # Errors
    /// [`SettingsError::Schema`] if a table cannot be written as TOML.
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

    /// Returns the source of each key that is not a default. Keys of a table are prefixed with its name:
    /// `service.redis_url`.
    pub fn sources(&self) -> &BTreeMap<String, Source> {
        &self.sources
    }

    /// Converts the flat table to its struct.
    ///
    /// # Errors
    /// [`SettingsError::Value`] if a setting does not accept its value.
    pub fn finish<T: DeserializeOwned>(&self) -> Result<T, SettingsError> {
        self.finish_table("")
    }

    /// Converts the table `[name]` to its struct.
    ///
    /// # Errors
    /// [`SettingsError::Value`] if a setting does not accept its value.
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
            if let Some(key) =
                within(&part.name, name).filter(|key| part.has(key) || part.moved(key).is_some())
            {
                return Owner::Part(index, key.to_owned());
            }
        }
        let own = |part: &Part| !part.name.is_empty() && within(&part.name, name).is_some();
        if self.parts.iter().any(own) {
            return Owner::Unknown;
        }
        if self.others.iter().any(|other| within(other, name).is_some()) {
            return Owner::Other;
        }
        let names = self.variable_names();
        let near = nearest(name, names.iter().map(String::as_str));
        let misspelt = near.is_some_and(|(distance, _)| distance <= MISSPELT);
        if self.flat_part().is_none() && !misspelt { Owner::Other } else { Owner::Unknown }
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

    /// Returns the error for an unknown table. A binary without tables reports an unknown setting.
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

    /// Returns the names of all variables, in lower case and without the prefix.
    fn variable_names(&self) -> Vec<String> {
        let names = |part: &Part| {
            part.keys().map(|key| part.qualified(key).replace('.', "_")).collect::<Vec<_>>()
        };
        self.parts.iter().flat_map(names).collect()
    }
}

/// Reads a settings file of at most [`MOST_BYTES`]. A pipe is accepted: `--config <(command)`.
fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "expected at most 1 MiB"));
    }
    Ok(text)
}

/// Returns the part of a variable's name after `table_`; the whole name for the flat table.
fn within<'a>(table: &str, name: &'a str) -> Option<&'a str> {
    match table {
        "" => Some(name),
        table => name.strip_prefix(table)?.strip_prefix('_'),
    }
}
