//! One table of settings: its keys, their types, and their current values.

use crate::range::Range;
use crate::secret::{HIDDEN, SecretUrl};
use crate::source::{SettingsError, Source, hint};
use crate::table::{Kind, SettingsTable};
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use toml::{Table, Value};

/// One table. The flat table, whose keys are at the top level of a file, has an empty name.
#[derive(Clone, Debug)]
pub(super) struct Part {
    pub(super) name: String,
    schema: Table,
    merged: Table,
    hidden: BTreeMap<&'static str, Kind>,
    moved: &'static [(&'static str, &'static str)],
    ranges: &'static [(&'static str, Range)],
}

impl Part {
    pub(super) fn new<T: SettingsTable>(name: &str, defaults: &T) -> Result<Self, SettingsError> {
        let (schema, merged) = (Table::try_from(T::example())?, Table::try_from(defaults)?);
        let hidden = T::TABLE.iter().filter(|setting| setting.hides());
        let hidden = hidden.map(|setting| (setting.name, setting.kind));
        let (moved, ranges) = (T::MOVED, T::RANGES);
        Ok(Self { name: name.into(), schema, merged, hidden: hidden.collect(), moved, ranges })
    }

    /// Returns the values with secrets masked.
    pub(super) fn shown(&self) -> Table {
        let mut table = self.merged.clone();
        for (key, kind) in &self.hidden {
            if let Some(Value::String(text)) = table.get_mut(*key) {
                *text = masked(*kind, text);
            }
        }
        table
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.schema.contains_key(key)
    }

    /// Returns the new location of a setting that this table no longer has.
    pub(super) fn moved(&self, key: &str) -> Option<&'static str> {
        self.moved.iter().find(|(name, _)| *name == key).map(|(_, now)| *now)
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.schema.keys().map(String::as_str)
    }

    /// Returns the key with the name of its table: `service.redis_url`; the key alone in the flat table.
    pub(super) fn qualified(&self, key: &str) -> String {
        match self.name.as_str() {
            "" => key.to_owned(),
            table => format!("{table}.{key}"),
        }
    }

    pub(super) fn set_text(
        &mut self,
        key: &str,
        text: &str,
        from: &Source,
    ) -> Result<(), SettingsError> {
        let schema = self.known(key, from)?;
        if text.contains(char::REPLACEMENT_CHARACTER) {
            let (found, key) = (self.found(key, &Value::String(text.into())), self.qualified(key));
            return Err(SettingsError::Type { from: from.clone(), key, expected: UNICODE, found });
        }
        let Some(value) = parse(schema, text) else {
            // A whole number that TOML cannot hold is outside every range.
            let is_whole = matches!(schema, Value::Integer(_)) && is_whole(text);
            if let Some(range) = self.range(key).filter(|_| is_whole) {
                return Err(self.outside(key, text.into(), range, from));
            }
            return Err(self.mistyped(key, text.into(), from));
        };
        self.set(key, value, from)
    }

    pub(super) fn set(
        &mut self,
        key: &str,
        value: Value,
        from: &Source,
    ) -> Result<(), SettingsError> {
        let schema = self.known(key, from)?;
        let value = match (schema, value) {
            (Value::Float(_), Value::Integer(whole)) => Value::Float(whole as f64),
            // The setting accepts a number or the word `auto`.
            (Value::String(word), Value::Integer(whole)) if word == AUTO => {
                Value::String(whole.to_string())
            }
            (_, value) => value,
        };
        if !schema.same_type(&value) {
            return Err(self.mistyped(key, self.found(key, &value), from));
        }
        if let Some(range) = self.range(key).filter(|range| !range.contains(&value)) {
            return Err(self.outside(key, self.found(key, &value), range, from));
        }
        self.merged.insert(key.into(), value);
        Ok(())
    }

    /// Converts the table to its struct. First checks each value separately, so that an error names its
    /// source.
    pub(super) fn finish<T: DeserializeOwned>(
        &self,
        sources: &BTreeMap<String, Source>,
    ) -> Result<T, SettingsError> {
        for key in self.schema.keys() {
            let (Some(from), Some(value)) =
                (sources.get(&self.qualified(key)), self.merged.get(key))
            else {
                continue;
            };
            let mut alone = self.schema.clone();
            alone.insert(key.clone(), value.clone());
            alone.try_into::<T>().map_err(|error| self.refused(key, from.clone(), &error))?;
        }
        let whole = self.merged.clone().try_into();
        whole.map_err(|error| self.refused("settings", Source::Default, &error))
    }

    fn refused(&self, key: &str, from: Source, error: &toml::de::Error) -> SettingsError {
        let found = self.merged.get(key).map_or_else(String::new, |value| self.found(key, value));
        let reason = error.message().to_owned();
        SettingsError::Value { from, key: self.qualified(key), found, reason }
    }

    fn mistyped(&self, key: &str, found: String, from: &Source) -> SettingsError {
        let expected = self.schema.get(key).map_or("another type", type_name);
        let (from, key) = (from.clone(), self.qualified(key));
        SettingsError::Type { from, key, expected, found }
    }

    fn range(&self, key: &str) -> Option<Range> {
        self.ranges.iter().find(|(name, _)| *name == key).map(|(_, range)| *range)
    }

    fn outside(&self, key: &str, found: String, range: Range, from: &Source) -> SettingsError {
        let (key, reason) = (self.qualified(key), format!("expected {range}"));
        SettingsError::Value { from: from.clone(), key, found, reason }
    }

    /// Returns the value for a message.
    fn found(&self, key: &str, value: &Value) -> String {
        match (self.hidden.get(key), value) {
            (None, value) => value.to_string(),
            (Some(kind), Value::String(text)) => masked(*kind, text),
            (Some(_), _) => HIDDEN.to_owned(),
        }
    }

    pub(super) fn known(&self, key: &str, from: &Source) -> Result<&Value, SettingsError> {
        self.schema.get(key).ok_or_else(|| {
            let (from, qualified) = (from.clone(), self.qualified(key));
            match self.moved(key) {
                Some(hint) => SettingsError::Moved { from, key: qualified, hint },
                None => {
                    SettingsError::Unknown { from, key: qualified, hint: hint(key, self.keys()) }
                }
            }
        })
    }
}

/// The expected text where the environment has other bytes.
const UNICODE: &str = "UTF-8 text";

fn is_whole(text: &str) -> bool {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The example value of a setting that accepts a number or this word.
const AUTO: &str = "auto";

/// Returns the masked form of a hidden setting: a URL without its password, `[hidden]` for anything else.
fn masked(kind: Kind, text: &str) -> String {
    // A secret may look like a URL.
    let url = SecretUrl::new(text).filter(|_| kind == Kind::Url);
    url.map_or_else(|| HIDDEN.to_owned(), |url| url.to_string())
}

/// Parses a string as the type of `schema`; the items of a list are separated by commas.
fn parse(schema: &Value, text: &str) -> Option<Value> {
    match schema {
        Value::String(_) => Some(Value::String(text.into())),
        Value::Integer(_) => text.parse().ok().map(Value::Integer),
        Value::Float(_) => text.parse().ok().map(Value::Float),
        Value::Boolean(_) => text.parse().ok().map(Value::Boolean),
        Value::Array(_) if text.trim().is_empty() => Some(Value::Array(Vec::new())),
        Value::Array(examples) => {
            let item = examples.first().cloned().unwrap_or(Value::String(String::new()));
            let items = text.split(',').map(|part| parse(&item, part.trim()));
            items.collect::<Option<Vec<_>>>().map(Value::Array)
        }
        _ => None,
    }
}

fn type_name(value: &Value) -> &'static str {
    match value {
        Value::String(_) => "a text",
        Value::Integer(_) => "a whole number",
        Value::Float(_) => "a number",
        Value::Boolean(_) => "true or false",
        Value::Array(_) => "a list",
        _ => "another type",
    }
}
