//! Flattens nested dictionaries and lists to dotted names.

use std::collections::BTreeMap;

use crate::pickle::error::PickleError;
use crate::pickle::values::{Id, StoredTensor, Value, Values};

/// Nesting depth of dictionaries and lists.
const MAX_DEPTH: usize = 32;

/// Visited values; a value counts once for each reference to it.
const MAX_VISITS: usize = 4 << 20;

/// Bytes of one dotted name.
const MAX_NAME_BYTES: usize = 1024;

/// Total bytes of names and strings.
const MAX_TEXT_BYTES: usize = 256 << 20;

/// A number or string beside the tensors.
#[derive(Debug, Clone, PartialEq)]
pub enum PickleScalar {
    /// `True` or `False`.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A floating-point number.
    Float(f64),
    /// A string.
    Text(String),
}

/// The tensors and scalars of a pickle, by dotted name.
#[derive(Debug, Default)]
pub(crate) struct Parsed {
    pub(crate) tensors: BTreeMap<String, StoredTensor>,
    /// The tensors' names in the order of the pickle.
    pub(crate) order: Vec<String>,
    pub(crate) scalars: BTreeMap<String, PickleScalar>,
}

/// Names every tensor and scalar under `root`, which must be a dictionary.
pub(crate) fn flatten(values: &Values, root: Id) -> Result<Parsed, PickleError> {
    match values.get(root) {
        Value::Dictionary(_) => {}
        other => return Err(PickleError::NotADictionary { found: other.describe() }),
    }
    let mut walk = Walk { values, parsed: Parsed::default(), visits: 0, text_bytes: 0 };
    walk.visit("", root, 0)?;
    Ok(walk.parsed)
}

struct Walk<'a> {
    values: &'a Values,
    parsed: Parsed,
    visits: usize,
    text_bytes: usize,
}

impl Walk<'_> {
    fn visit(&mut self, name: &str, id: Id, depth: usize) -> Result<(), PickleError> {
        self.visits += 1;
        if self.visits > MAX_VISITS {
            return Err(PickleError::Limit { what: "values", limit: MAX_VISITS });
        }
        if depth > MAX_DEPTH {
            return Err(PickleError::Limit { what: "levels", limit: MAX_DEPTH });
        }
        let values = self.values;
        match values.get(id) {
            Value::Dictionary(items) => {
                for (key, value) in items {
                    self.visit(&joined(name, &self.key(*key)?)?, *value, depth + 1)?;
                }
            }
            Value::List(items) | Value::Tuple(items) => {
                for (index, value) in items.iter().enumerate() {
                    self.visit(&joined(name, &index.to_string())?, *value, depth + 1)?;
                }
            }
            value => self.keep(name, value)?,
        }
        Ok(())
    }

    fn key(&self, id: Id) -> Result<String, PickleError> {
        match self.values.get(id) {
            Value::Text(text) if text.len() > MAX_NAME_BYTES => Err(long_name()),
            Value::Text(text) => Ok(text.clone()),
            Value::Int(number) => Ok(number.to_string()),
            _ => Err(PickleError::Malformed {
                offset: 0,
                reason: "expected a string or an integer as a key",
            }),
        }
    }

    fn keep(&mut self, name: &str, value: &Value) -> Result<(), PickleError> {
        let scalar = match value {
            Value::Tensor(tensor) => {
                self.count(name.len())?;
                self.parsed.order.push(name.to_owned());
                let before = self.parsed.tensors.insert(name.to_owned(), (**tensor).clone());
                return self.once(name, before.is_some());
            }
            Value::Bool(value) => PickleScalar::Bool(*value),
            Value::Int(value) => PickleScalar::Int(*value),
            Value::Float(value) => PickleScalar::Float(*value),
            Value::Text(value) => {
                self.count(value.len())?;
                PickleScalar::Text(value.clone())
            }
            _ => return Ok(()),
        };
        self.count(name.len())?;
        let before = self.parsed.scalars.insert(name.to_owned(), scalar);
        self.once(name, before.is_some())
    }

    fn count(&mut self, bytes: usize) -> Result<(), PickleError> {
        self.text_bytes += bytes;
        if self.text_bytes > MAX_TEXT_BYTES {
            return Err(PickleError::Limit { what: "bytes of text", limit: MAX_TEXT_BYTES });
        }
        Ok(())
    }

    fn once(&self, name: &str, again: bool) -> Result<(), PickleError> {
        if again {
            return Err(PickleError::Duplicate { name: name.to_owned() });
        }
        Ok(())
    }
}

fn joined(prefix: &str, key: &str) -> Result<String, PickleError> {
    let name = if prefix.is_empty() { key.to_owned() } else { format!("{prefix}.{key}") };
    if name.len() > MAX_NAME_BYTES { Err(long_name()) } else { Ok(name) }
}

fn long_name() -> PickleError {
    PickleError::Limit { what: "bytes in a name", limit: MAX_NAME_BYTES }
}
