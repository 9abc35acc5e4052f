//! Configs as JSON: the text of an input that begins like an object, and otherwise an object whose
//! fields and values the input chooses from the table of accepted values.

use ddpo_diffusion::accepted::{Accepted, Field};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use serde_json::{Map, Value, json};

/// Returns the input as text, if it begins like a JSON object.
pub fn text_of(input: &[u8]) -> Option<String> {
    (input.first() == Some(&b'{')).then(|| String::from_utf8_lossy(input).into_owned())
}

/// Sets up to 15 of `fields` in `object` to values in and around the accepted ones.
pub fn change(
    object: &mut Map<String, Value>,
    fields: &[Field],
    choices: &mut Unstructured<'_>,
) -> Result<()> {
    for _ in 0..choices.int_in_range(0..=15)? {
        let field = choices.choose(fields)?;
        let value = value_of(field.values, choices)?;
        // Some fields hold a list of names or numbers.
        let value = match choices.int_in_range(0..=7)? {
            0 => json!([value]),
            _ => value,
        };
        object.insert(field.name.to_owned(), value);
    }
    Ok(())
}

fn value_of(values: &[Accepted], choices: &mut Unstructured<'_>) -> Result<Value> {
    Ok(match choices.choose(values)? {
        Accepted::Null => Value::Null,
        Accepted::Flag(flag) => json!(flag),
        Accepted::Name(name) => json!(name),
        Accepted::Whole(least, most) => match choices.int_in_range(0..=7)? {
            0 => json!(least),
            1 => json!(most),
            2 => json!(choices.arbitrary::<i64>()?),
            _ => json!(choices.arbitrary::<u8>()?.max(1)),
        },
        Accepted::Number { .. } => match choices.int_in_range(0..=3)? {
            0 => json!(choices.arbitrary::<f64>()?),
            1 => json!(choices.arbitrary::<i16>()?),
            _ => json!(f64::from(choices.arbitrary::<u16>()?) / 65_536.0),
        },
        Accepted::List(element) => {
            let length = choices.int_in_range(1..=4)?;
            let elements = (0..length).map(|_| value_of(std::slice::from_ref(*element), choices));
            Value::Array(elements.collect::<Result<_>>()?)
        }
    })
}
