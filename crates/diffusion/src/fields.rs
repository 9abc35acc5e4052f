//! Reads the configs of Python libraries: JSON objects whose fields have defaults. Errors name the
//! field.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use thiserror::Error;

/// Errors from reading a config.
#[derive(Debug, Error)]
pub enum FieldError {
    /// The text is not a JSON object.
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    /// The library does not define the field.
    #[error("unknown field `{0}`")]
    Unknown(String),
    /// A field's value has the wrong type.
    #[error("`{field}`: {error}")]
    Mistyped {
        /// Name of the field.
        field: String,
        /// Expected and found type.
        error: serde_json::Error,
    },
    /// A field has a value that is not supported.
    #[error("`{field}` = {found} is not supported, expected {expected}")]
    Unsupported {
        /// Name of the field.
        field: &'static str,
        /// Supported values.
        expected: String,
        /// Value in the file.
        found: String,
    },
}

impl FieldError {
    /// Builds an error for an unsupported value of `field`.
    pub fn unsupported(
        field: &'static str,
        expected: impl Into<String>,
        found: impl ToString,
    ) -> Self {
        Self::Unsupported { field, expected: expected.into(), found: found.to_string() }
    }
}

/// Reads an object into `T`, whose fields all have defaults. Unknown fields are ignored.
///
/// # Errors
/// [`FieldError::Mistyped`] names the first field whose value has the wrong type.
pub fn read<T: DeserializeOwned>(fields: Map<String, Value>) -> Result<T, FieldError> {
    for (name, value) in &fields {
        let alone = Map::from_iter([(name.clone(), value.clone())]);
        serde_json::from_value::<T>(Value::Object(alone))
            .map_err(|error| FieldError::Mistyped { field: name.clone(), error })?;
    }
    Ok(serde_json::from_value(Value::Object(fields))?)
}

/// Like [`read`], but rejects unknown fields. Names that begin with `_` are diffusers' metadata and are
/// ignored.
///
/// # Errors
/// [`FieldError::Unknown`], and the errors of [`read`].
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
