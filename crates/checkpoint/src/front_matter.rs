//! The front matter of a repository's `README.md`: YAML between two lines of three dashes, which the
//! Hub reads.
//!
//! Only the fields that a derived model has to repeat are read. The text is untrusted: aliases and
//! deep nesting are rejected, and a value that our own card cannot repeat counts as missing.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;
use serde_saphyr::{Options, budget, options};

use crate::names::is_repository_name;

/// The file name of a model card, in a repository and in a checkpoint's folder.
pub const MODEL_CARD: &str = "README.md";

/// Bytes read from the start of a card.
const MAX_BYTES: u64 = 64 << 10;

/// Nesting depth of lists and mappings.
const MAX_DEPTH: usize = 32;

/// Characters in a value.
const MAX_CHARACTERS: usize = 200;

/// The licence and the base model that a card states.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FrontMatter {
    /// `license`: the Hub's identifiers, such as `apache-2.0`; several if the card lists several.
    pub license: Vec<String>,
    /// `license_name`, set if `license` is `other`.
    pub license_name: Option<String>,
    /// `license_link`, set if `license` is `other`.
    pub license_link: Option<String>,
    /// `base_model`: the repository of the model that this one is derived from.
    pub base_model: Option<String>,
}

/// The fields as they appear in the YAML: a string, or a list of strings.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Fields {
    license: Value,
    license_name: Value,
    license_link: Value,
    base_model: Value,
}

impl FrontMatter {
    /// Reads the card in `folder`. A missing or unreadable card gives an empty front matter.
    pub fn of_folder(folder: &Path) -> Self {
        let (path, mut bytes) = (folder.join(MODEL_CARD), Vec::new());
        // Opening a named pipe would wait for a writer.
        if !path.is_file() {
            return Self::default();
        }
        let file = File::open(path);
        let read = file.and_then(|file| file.take(MAX_BYTES).read_to_end(&mut bytes));
        match read {
            Ok(_) => Self::of_text(&String::from_utf8_lossy(&bytes)),
            Err(_) => Self::default(),
        }
    }

    /// Reads the text of a card. Invalid YAML gives an empty front matter.
    fn of_text(text: &str) -> Self {
        let mut lines = text.trim_start_matches('\u{feff}').split_inclusive('\n');
        if lines.next().map(str::trim_end) != Some("---") {
            return Self::default();
        }
        let yaml: String = lines.take_while(|line| line.trim_end() != "---").collect();
        let fields: Fields =
            serde_saphyr::from_str_with_options(&yaml, limits()).unwrap_or_default();
        Self {
            license: identifiers(&fields.license).unwrap_or_default(),
            license_name: first(&fields.license_name),
            license_link: first(&fields.license_link),
            base_model: first(&fields.base_model).filter(|name| is_repository_name(name)),
        }
    }
}

/// Returns the limits for a text of [`MAX_BYTES`]. Cards do not use aliases, and a few aliases can
/// expand to gigabytes.
fn limits() -> Options {
    options! { budget: budget! { max_aliases: 0, max_depth: MAX_DEPTH } }
}

/// Returns the identifiers of a string or a list without repetitions, if all are usable: a part of the
/// licences would promise too much.
fn identifiers(value: &Value) -> Option<Vec<String>> {
    let items = match value {
        Value::Array(items) => items.as_slice(),
        value => std::slice::from_ref(value),
    };
    let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-._+".contains(&byte);
    let mut found: Vec<String> = Vec::new();
    for item in items {
        let text = item.as_str()?.trim();
        if !is_usable(text) || !text.bytes().all(letter) {
            return None;
        }
        if !found.iter().any(|other| other == text) {
            found.push(text.to_owned());
        }
    }
    Some(found)
}

/// Returns the string, or the first string of a list, if it is usable.
fn first(value: &Value) -> Option<String> {
    let text = match value {
        Value::Array(items) => items.first()?.as_str()?,
        value => value.as_str()?,
    };
    is_usable(text).then(|| text.to_owned())
}

fn is_usable(value: &str) -> bool {
    let odd = |letter: char| letter.is_control() || "\"'`<>[]{}|\\".contains(letter);
    !value.is_empty() && value.chars().count() <= MAX_CHARACTERS && !value.contains(odd)
}

#[cfg(test)]
mod tests {
    use super::{FrontMatter, MODEL_CARD};

    fn said(text: &str) -> [Option<String>; 4] {
        let FrontMatter { license, license_name, license_link, base_model } =
            FrontMatter::of_text(text);
        let license = (!license.is_empty()).then(|| license.join(" "));
        [license, license_name, license_link, base_model]
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn reads_licence_and_origin_from_texts_and_lists() {
        let one = "---\nlicense: apache-2.0\nbase_model: google/ddpm-church-256\n---\n# text";
        assert_eq!(said(one), [some("apache-2.0"), None, None, some("google/ddpm-church-256")]);
        let listed =
            "---\r\ntags:\r\n- x\r\nlicense:\r\n- mit\r\nbase_model:\r\n  - a/b\r\n---\r\n";
        assert_eq!(said(listed), [some("mit"), None, None, some("a/b")]);
        let flow = "---\nlicense: [mit]\nbase_model: [a/b, c/d]\n---\n";
        assert_eq!(said(flow), [some("mit"), None, None, some("a/b")]);
        let other = "---\nlicense: other # see below\nlicense_name: 'own terms'\n\
                     license_link: \"https://example.org/a\"\n---\n";
        let link = some("https://example.org/a");
        assert_eq!(said(other), [some("other"), some("own terms"), link, None]);
    }

    #[test]
    fn keeps_every_licence_of_a_list() {
        for (list, expected) in [
            ("[mit]", some("mit")),
            ("[ \"mit\" ]", some("mit")),
            ("[mit, apache-2.0]", some("mit apache-2.0")),
            ("\n- mit\n- cc-by-4.0\n- mit", some("mit cc-by-4.0")),
            ("[mit, 'a b']", None),
            ("[mit, 7]", None),
            ("[]", None),
        ] {
            assert_eq!(said(&format!("---\nlicense: {list}\n---\n"))[0], expected, "{list}");
        }
    }

    #[test]
    fn ignores_missing_and_unusable_values() {
        for text in [
            "license: mit\n",
            "---\nlicence: mit\n---\n",
            "---\n---\nlicense: mit\n",
            "---\nlicense: mit and more\n---\n",
            "---\nlicense:\ntags:\n- x\n---\n",
            "---\nlicense: [[mit]]\nbase_model: ../../etc\n---\n",
            "---\nlicense: {id: mit}\nbase_model: 7\n---\n",
            "---\nlicense: mit\ntags: [x\n---\n",
            "---\nlicense_name: a`b\nlicense_link: \"a|b\"\n---\n",
        ] {
            assert_eq!(said(text), [None, None, None, None], "{text}");
        }
        for folder in ["/no/such/folder", "/dev"] {
            assert_eq!(FrontMatter::of_folder(folder.as_ref()), FrontMatter::default());
        }
    }

    /// Without limits, each text would take gigabytes or overflow the stack.
    #[test]
    fn rejects_alias_bombs_and_deep_nesting() {
        let mut bomb = String::from("---\nlicense: mit\na0: &a0 [x, x]\n");
        for level in 1..40 {
            let below = level - 1;
            bomb += &format!("a{level}: &a{level} [*a{below}, *a{below}]\n");
        }
        bomb += "base_model: *a39\n---\n";
        let long = "x".repeat(30_000);
        let copies = format!("---\nx: &x {long}\nlicense: [mit, {}]\n---\n", "*x,".repeat(10_000));
        let flow = ["[", "]"].map(|bracket| bracket.repeat(30_000)).concat();
        let flow = format!("---\nlicense: mit\nx: {flow}\n---\n");
        let block = format!("---\nlicense: mit\nx:\n  {}x\n---\n", "- ".repeat(30_000));
        for text in [bomb, copies, flow, block] {
            assert_eq!(said(&text), [None, None, None, None], "{}", &text[..40]);
        }
    }

    #[test]
    fn reads_only_the_start_of_a_card() {
        let folder = tempfile::tempdir().unwrap();
        let card = |padding: usize| {
            let text = format!("---\n# {}\nlicense: mit\n---\n", "x".repeat(padding));
            std::fs::write(folder.path().join(MODEL_CARD), text).unwrap();
            FrontMatter::of_folder(folder.path()).license
        };
        assert_eq!(card(60_000), ["mit"]);
        assert_eq!(card(70_000), Vec::<String>::new());
    }
}
