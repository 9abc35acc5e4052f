//! Checks that the objects of a JSON text have no key twice. Parsers keep one of the values, so that two
//! readers could see different tensors.

use std::collections::HashSet;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, Error, IgnoredAny, MapAccess, Visitor};

/// The key whose value is an object, not a tensor.
const METADATA_KEY: &str = "__metadata__";

/// A safetensors header whose keys, and those of its metadata, occur once.
pub(crate) struct UniqueKeys;

impl<'de> Deserialize<'de> for UniqueKeys {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Keys { nested: METADATA_KEY })
    }
}

/// The keys of the metadata.
struct Inner;

impl<'de> Deserialize<'de> for Inner {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Keys { nested: "" }).map(|_| Self)
    }
}

struct Keys {
    /// The key whose value is checked too; empty for none.
    nested: &'static str,
}

impl<'de> Visitor<'de> for Keys {
    type Value = UniqueKeys;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<UniqueKeys, A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            if !self.nested.is_empty() && key == self.nested {
                map.next_value::<Inner>()?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
            if let Some(again) = seen.replace(key) {
                return Err(A::Error::custom(format_args!("the key `{again}` occurs twice")));
            }
        }
        Ok(UniqueKeys)
    }
}
