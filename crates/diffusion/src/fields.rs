//! The fields of a JSON config, one by one, so that an error can name the one that is wrong.

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// The first field whose value is not of the type that `T` has for it, and what serde says of it.
/// Every field of `T` must have a default.
pub fn mistyped<T: DeserializeOwned>(
    fields: &Map<String, Value>,
) -> Option<(String, serde_json::Error)> {
    fields.iter().find_map(|(name, value)| {
        let alone = Map::from_iter([(name.clone(), value.clone())]);
        let error = serde_json::from_value::<T>(Value::Object(alone)).err()?;
        Some((name.clone(), error))
    })
}
