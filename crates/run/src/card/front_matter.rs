//! The front matter of a model card: YAML that the Hub reads.

use crate::card::base::{BaseModel, Licence};

/// Returns the front matter of a model derived from `base`, with `tags` added to the usual ones.
pub fn front_matter(base: &BaseModel, tags: &[&str]) -> String {
    let mut lines = vec!["---".to_owned()];
    match &base.licence {
        Some(Licence { ids, name, link }) => {
            match ids.as_slice() {
                [id] => lines.push(format!("license: {}", plain(id))),
                ids => {
                    lines.push("license:".into());
                    lines.extend(ids.iter().map(|id| format!("- {}", plain(id))));
                }
            }
            lines.extend(name.as_ref().map(|name| format!("license_name: {}", quoted(name))));
            lines.extend(link.as_ref().map(|link| format!("license_link: {}", quoted(link))));
        }
        None => lines.push("license: unknown".into()),
    }
    lines.push("library_name: diffusers".into());
    lines.push("pipeline_tag: unconditional-image-generation".into());
    lines.extend(base.repository.as_ref().map(|name| format!("base_model: {name}")));
    lines.push("tags:".into());
    lines.extend(
        ["ddpo", "reinforcement-learning"].iter().chain(tags).map(|tag| format!("- {tag}")),
    );
    lines.push("---\n".into());
    lines.join("\n")
}

/// Returns an identifier as it is, or quoted if YAML could read it as a number, a truth value or a list.
fn plain(id: &str) -> String {
    const OTHERS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let is_word = id.starts_with(|first: char| first.is_ascii_alphabetic());
    let is_other = OTHERS.iter().any(|other| id.eq_ignore_ascii_case(other));
    if is_word && !is_other { id.to_owned() } else { quoted(id) }
}

/// Quotes a text as JSON, which YAML reads as the same text.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_the_licence_or_writes_unknown() {
        let licence = |id: &str, name: Option<&str>, link: Option<&str>| Licence {
            ids: id.split(' ').map(Into::into).collect(),
            name: name.map(Into::into),
            link: link.map(Into::into),
        };
        let base = BaseModel {
            name: "google/ddpm-church-256".into(),
            repository: Some("google/ddpm-church-256".into()),
            licence: Some(licence("apache-2.0", None, None)),
        };
        let text = front_matter(&base, &["diffusers"]);
        assert_eq!(
            text,
            "---\nlicense: apache-2.0\nlibrary_name: diffusers\n\
             pipeline_tag: unconditional-image-generation\nbase_model: google/ddpm-church-256\n\
             tags:\n- ddpo\n- reinforcement-learning\n- diffusers\n---\n"
        );
        let other = Some(licence("other", Some("own: terms"), Some("https://example.org")));
        let text = front_matter(&BaseModel { licence: other, ..base.clone() }, &[]);
        assert!(
            text.contains("license: other\nlicense_name: \"own: terms\"\nlicense_link: \"https")
        );
        let two = Some(licence("mit apache-2.0", None, None));
        let text = front_matter(&BaseModel { licence: two, ..base.clone() }, &[]);
        assert!(text.contains("---\nlicense:\n- mit\n- apache-2.0\nlibrary_name"), "{text}");
        for (id, line) in [("0bsd", "\"0bsd\""), ("True", "\"True\""), ("-", "\"-\"")] {
            let one = Some(licence(id, None, None));
            let text = front_matter(&BaseModel { licence: one, ..base.clone() }, &[]);
            assert!(text.starts_with(&format!("---\nlicense: {line}\n")), "{text}");
        }
        let text = front_matter(&BaseModel { licence: None, repository: None, ..base }, &[]);
        assert!(text.contains("license: unknown\n") && !text.contains("base_model"), "{text}");
    }
}
