//! Checks of the numbers of a table of settings against their ranges.

use crate::range::Range;
use crate::table::SettingsTable;
use toml::{Table, Value};

/// A number outside its range.
#[derive(Clone, Debug, PartialEq)]
pub struct OutOfRange {
    /// Key of the setting.
    pub name: &'static str,
    /// The range.
    pub range: Range,
    /// The value.
    pub found: String,
}

/// Checks all numbers of a struct of settings, for callers that set fields themselves.
///
/// # Errors
/// The first number outside its range.
pub fn check<T: SettingsTable>(settings: &T) -> Result<(), OutOfRange> {
    // Only a number beyond those of TOML has no form in it.
    let beyond = |error: toml::ser::Error| {
        let (name, range) = ("settings", Range::SEED);
        OutOfRange { name, range, found: error.to_string() }
    };
    let table = Table::try_from(settings).map_err(beyond)?;
    for &(name, range) in T::RANGES {
        if let Some(found) = table.get(name).filter(|value| !range.contains(value)) {
            return Err(OutOfRange { name, range, found: found.to_string() });
        }
    }
    Ok(())
}

/// Returns the numeric settings of a table that have no range, and the ranges of unknown settings. A
/// table is complete if there are none; the tests of each table check it.
#[must_use]
pub fn incomplete<T: SettingsTable>() -> Vec<String> {
    let example = Table::try_from(T::example()).unwrap_or_default();
    let has_range = |key: &str| T::RANGES.iter().any(|(name, _)| *name == key);
    let is_number = |value: &Value| matches!(value, Value::Integer(_) | Value::Float(_));
    let numbers = example.iter().filter(|(_, value)| is_number(value)).map(|(key, _)| key.clone());
    let unknown = T::RANGES.iter().map(|(name, _)| (*name).to_owned());
    numbers
        .filter(|key| !has_range(key))
        .chain(unknown.filter(|name| !example.contains_key(name)))
        .collect()
}
