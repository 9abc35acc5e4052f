//! Flattens a JSON value to numbers by path, so that new fields of `metrics.jsonl` are logged without
//! another list of names.

use serde_json::Value;

/// Returns every number in `value` with its path: keys and indices joined by `/`, such as
/// `components/jpeg_kilobytes/mean` or `ratio_gap_by_step/3`. Null, text and booleans are left out.
pub fn scalars(value: &Value) -> Vec<(String, f64)> {
    let mut found = Vec::new();
    collect(value, "", &mut found);
    found
}

fn collect(value: &Value, path: &str, found: &mut Vec<(String, f64)>) {
    let below = |name: &str| match path {
        "" => name.to_owned(),
        _ => format!("{path}/{name}"),
    };
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| collect(value, &below(name), found));
        }
        Value::Array(values) => {
            let values = values.iter().enumerate();
            values.for_each(|(index, value)| collect(value, &below(&index.to_string()), found));
        }
        Value::Number(number) => {
            found.extend(number.as_f64().map(|number| (path.to_owned(), number)))
        }
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn finds_numbers_by_their_paths() {
        let value = json!({"epoch": 3, "gaps": [0.5, 1e-7], "none": null, "word": "seven",
            "of": {"a term": {"mean": -2.25}}});
        let expected =
            [("epoch", 3.0), ("gaps/0", 0.5), ("gaps/1", 1e-7), ("of/a term/mean", -2.25)];
        assert_eq!(scalars(&value), expected.map(|(name, number)| (name.to_owned(), number)));
    }
}
