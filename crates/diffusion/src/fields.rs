//! The configs of Python libraries: JSON objects whose fields have defaults. An error names the field
//! that is wrong.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use thiserror::Error;

/// Errors from reading a config.
#[derive(Debug, Error)]
pub enum FieldError {
    /// It is not a JSON object.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// A field that the library does not have.
    #[error("unknown field `{0}`")]
    Unknown(String),
    /// A field's value is of another type.
    #[error("`{field}`: {error}")]
    Mistyped {
        /// Name of the field.
        field: String,
        /// What was expected and found.
        error: serde_json::Error,
    },
    /// A field has a value that is not supported.
    #[error("`{field}` = {found} is not supported, expected {expected}")]
    Unsupported {
        /// Name of the field.
        field: &'static str,
        /// What is supported.
        expected: String,
        /// What the file has.
        found: String,
    },
}

impl FieldError {
    /// Refuses the value of a field.
    pub fn unsupported(
        field: &'static str,
        expected: impl Into<String>,
        found: impl ToString,
    ) -> Self {
        Self::Unsupported { field, expected: expected.into(), found: found.to_string() }
    }
}

/// Reads an object into fields that all have defaults; other fields are passed over.
///
/// # Errors
/// [`FieldError::Mistyped`] names the first field whose value is of another type.
pub fn read<T: DeserializeOwned>(fields: Map<String, Value>) -> Result<T, FieldError> {
    for (name, value) in &fields {
        let alone = Map::from_iter([(name.clone(), value.clone())]);
        serde_json::from_value::<T>(Value::Object(alone))
            .map_err(|error| FieldError::Mistyped { field: name.clone(), error })?;
    }
    Ok(serde_json::from_value(Value::Object(fields))?)
}

/// As [`read`], but refuses other fields, unless their names begin with `_`: diffusers' bookkeeping.
///
/// # Errors
/// [`FieldError::Unknown`], and as [`read`].
pub fn read_known<T: Default + Serialize + DeserializeOwned>(
    mut fields: Map<String, Value>,
) -> Result<T, FieldError> {
    fields.retain(|name, _| !name.starts_with('_'));
    let known = serde_json::to_value(T::default())?;
    match fields.keys().find(|name| known.get(name.as_str()).is_none()) {
        Some(name) => Err(FieldError::Unknown(name.clone())),
        None => read(fields),
    }
}

/// Checks that a field has one of the `allowed` values.
///
/// # Errors
/// [`FieldError::Unsupported`] lists them.
pub fn one_of(field: &'static str, value: &str, allowed: &[&str]) -> Result<(), FieldError> {
    if allowed.contains(&value) {
        return Ok(());
    }
    Err(FieldError::unsupported(field, allowed.join(" or "), value))
}
