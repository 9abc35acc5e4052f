//! Tables of the accepted values of a config. Validation reads a table, and so does `tests/accepted.rs`,
//! which requires a golden of diffusers for every value in it.

use crate::fields::FieldError;
use serde::Serialize;
use serde_json::Value;
use std::fmt;

/// A field of a config and its accepted values.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Name in the file.
    pub name: &'static str,
    /// Accepted values.
    pub values: &'static [Accepted],
    /// Values of diffusers that are not accepted, and the reasons. The value `*` stands for all others.
    pub refused: &'static [(&'static str, &'static str)],
    holds: Holds,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Holds {
    OneValue,
    List,
}

/// An accepted value, or a range of values that the code treats alike.
#[derive(Clone, Copy, Debug)]
pub enum Accepted {
    /// null.
    Null,
    /// true or false.
    Flag(bool),
    /// A name.
    Name(&'static str),
    /// The whole numbers from the first to the second.
    Whole(i64, i64),
    /// Numbers.
    Number {
        /// Description for messages.
        expected: &'static str,
        /// Returns whether a number is accepted.
        fits: fn(f64) -> bool,
    },
    /// A list that is not empty and whose elements are accepted.
    List(&'static Accepted),
}

impl Accepted {
    /// Numbers that are above 0 and finite as f32, in which the model computes.
    pub const POSITIVE: Self = Self::Number {
        expected: "a positive number that f32 can hold",
        fits: |x| (f64::from(f32::MIN_POSITIVE)..=f64::from(f32::MAX)).contains(&x),
    };
    /// Numbers between 0 and 1, both excluded.
    pub const BETWEEN_0_AND_1: Self =
        Self::Number { expected: "a number between 0 and 1", fits: |x| x > 0.0 && x < 1.0 };
    /// Numbers from 0 to 1, both included.
    pub const FROM_0_TO_1: Self =
        Self::Number { expected: "a number from 0 to 1", fits: |x| (0.0..=1.0).contains(&x) };
    /// All finite numbers.
    pub const ANY_NUMBER: Self = Self::Number { expected: "a number", fits: f64::is_finite };
    /// All whole numbers.
    pub const ANY_WHOLE: Self = Self::Whole(i64::MIN, i64::MAX);

    /// Returns whether `value` is accepted.
    pub fn fits(&self, value: &Value) -> bool {
        match self {
            Self::Null => value.is_null(),
            Self::Flag(flag) => value.as_bool() == Some(*flag),
            Self::Name(name) => value.as_str() == Some(name),
            Self::Whole(least, most) => {
                value.as_i64().is_some_and(|found| (*least..=*most).contains(&found))
            }
            Self::Number { fits, .. } => value.as_f64().is_some_and(fits),
            Self::List(element) => value
                .as_array()
                .is_some_and(|list| !list.is_empty() && list.iter().all(|one| element.fits(one))),
        }
    }

    /// Returns whether more than one value is accepted.
    pub fn is_range(&self) -> bool {
        match self {
            Self::Null | Self::Flag(_) | Self::Name(_) => false,
            Self::Whole(least, most) => least < most,
            Self::Number { .. } | Self::List(_) => true,
        }
    }
}

impl fmt::Display for Accepted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("null"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::Name(name) => f.write_str(name),
            Self::Whole(i64::MIN, i64::MAX) => f.write_str("a whole number"),
            Self::Whole(least, most) if least == most => write!(f, "{least}"),
            Self::Whole(least, most) => write!(f, "a whole number from {least} to {most}"),
            Self::Number { expected, .. } => f.write_str(expected),
            Self::List(element) => write!(f, "a list, each {element}"),
        }
    }
}

impl Field {
    /// A field that holds one of `values`.
    pub const fn one(name: &'static str, values: &'static [Accepted]) -> Self {
        Self { name, values, refused: &[], holds: Holds::OneValue }
    }

    /// A field that holds a list, each element one of `values`.
    pub const fn list(name: &'static str, values: &'static [Accepted]) -> Self {
        Self { name, values, refused: &[], holds: Holds::List }
    }

    /// Returns the field with the reasons for which values of diffusers are not accepted.
    pub const fn refusing(self, refused: &'static [(&'static str, &'static str)]) -> Self {
        Self { refused, ..self }
    }

    /// Returns the parts of the field's value that [`Field::values`] applies to: the elements of a list
    /// field, otherwise the value.
    pub fn parts<'a>(&self, value: &'a Value) -> &'a [Value] {
        match (self.holds, value) {
            (Holds::List, Value::Array(elements)) => elements,
            _ => std::slice::from_ref(value),
        }
    }

    fn check(&self, value: &Value) -> Result<(), FieldError> {
        let is_accepted = |part: &&Value| self.values.iter().any(|accepted| accepted.fits(part));
        match self.parts(value).iter().find(|part| !is_accepted(part)) {
            None => Ok(()),
            Some(part) => {
                let expected: Vec<String> = self.values.iter().map(Accepted::to_string).collect();
                let found = shown(self.culprit(part));
                let reason =
                    self.refused.iter().find(|(value, _)| *value == found || *value == "*");
                let reason = reason.map_or_else(String::new, |(_, why)| format!("; reason: {why}"));
                let expected = expected.join(" or ") + &reason;
                Err(FieldError::unsupported(self.name, expected, found))
            }
        }
    }

    /// Returns the first element that a list has wrongly, or the value itself.
    fn culprit<'a>(&self, value: &'a Value) -> &'a Value {
        let element = self.values.iter().find_map(|accepted| match (accepted, value) {
            (Accepted::List(element), Value::Array(list)) => {
                list.iter().find(|one| !element.fits(one))
            }
            _ => None,
        });
        element.unwrap_or(value)
    }
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Checks every field of `config` that `table` lists.
///
/// # Errors
/// [`FieldError::Unsupported`] names the first field with another value, and its accepted values.
pub fn check(table: &[Field], config: &impl Serialize) -> Result<(), FieldError> {
    let config = serde_json::to_value(config)?;
    table.iter().try_for_each(|field| field.check(&config[field.name]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const TABLE: &[Field] = &[
        Field::one("name", &[Accepted::Name("a"), Accepted::Name("b")]),
        Field::one("padding", &[Accepted::Whole(0, 0), Accepted::Whole(2, 4)]),
        Field::one("betas", &[Accepted::Null, Accepted::List(&Accepted::BETWEEN_0_AND_1)]),
        Field::one("range", &[Accepted::POSITIVE]),
        Field::list("blocks", &[Accepted::Name("Down")]).refusing(&[("Skip", "it skips")]),
    ];

    fn refusal(field: &str, value: Value) -> String {
        let mut config = json!({
            "name": "a", "padding": 0, "betas": null, "range": 1.0, "blocks": ["Down"]
        });
        config[field] = value;
        check(TABLE, &config).unwrap_err().to_string()
    }

    #[test]
    fn an_error_names_the_field_the_accepted_values_and_the_wrong_element() {
        for (field, value, expected) in [
            ("name", json!("c"), "`name` = c is not supported, expected a or b"),
            (
                "padding",
                json!(1),
                "`padding` = 1 is not supported, expected 0 or a whole number from 2 to 4",
            ),
            (
                "betas",
                json!([0.5, 2.0]),
                "`betas` = 2.0 is not supported, expected null or a list, each a number between 0 and 1",
            ),
            (
                "range",
                json!(1e39),
                "`range` = 1e+39 is not supported, expected a positive number that f32 can hold",
            ),
            ("range", json!(1e-39), "`range` = 1e-39 is not supported"),
            ("betas", json!([]), "`betas` = [] is not supported, expected null or a list"),
            ("blocks", json!(["Down", "Up"]), "`blocks` = Up is not supported, expected Down"),
            (
                "blocks",
                json!(["Skip"]),
                "`blocks` = Skip is not supported, expected Down; reason: it skips",
            ),
        ] {
            let message = refusal(field, value);
            assert!(message.starts_with(expected), "{message}");
        }
    }
}
