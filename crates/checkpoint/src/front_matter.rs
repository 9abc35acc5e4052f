//! What a repository's `README.md` says of itself before its text: the front matter that the Hub
//! reads, YAML between two lines of three dashes.
//!
//! Only what a derived model has to pass on is read, and only in the forms that cards use: one line
//! a key, or a list below it. The text is somebody else's: a value that could not stand in a card of
//! ours as it is counts as missing.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// The file, in a repository and in a checkpoint's folder.
pub const MODEL_CARD: &str = "README.md";

/// Bytes of a card that are looked at; the front matter is at its start.
const MOST_BYTES: u64 = 64 << 10;

/// Characters of a value.
const MOST_CHARACTERS: usize = 200;

/// What a card says of licence and origin.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FrontMatter {
    /// `license`: the Hub's identifier, such as `apache-2.0`.
    pub license: Option<String>,
    /// `license_name`, where `license` is `other`.
    pub license_name: Option<String>,
    /// `license_link`, where `license` is `other`.
    pub license_link: Option<String>,
    /// `base_model`: the repository that the model was made from.
    pub base_model: Option<String>,
}

impl FrontMatter {
    /// Reads the card in `folder`; what is not there is not said.
    #[must_use]
    pub fn of_folder(folder: &Path) -> Self {
        let mut bytes = Vec::new();
        let file = File::open(folder.join(MODEL_CARD));
        let read = file.and_then(|file| file.take(MOST_BYTES).read_to_end(&mut bytes));
        match read {
            Ok(_) => Self::of_text(&String::from_utf8_lossy(&bytes)),
            Err(_) => Self::default(),
        }
    }

    /// Reads the text of a card.
    #[must_use]
    pub fn of_text(text: &str) -> Self {
        let mut lines = text.trim_start_matches('\u{feff}').lines().map(str::trim_end);
        let mut found = Self::default();
        if lines.next() != Some("---") {
            return found;
        }
        let lines: Vec<&str> = lines.take_while(|line| *line != "---").collect();
        for (at, line) in lines.iter().enumerate() {
            let Some((key, value)) = line.split_once(':') else { continue };
            let place = match key {
                "license" => &mut found.license,
                "license_name" => &mut found.license_name,
                "license_link" => &mut found.license_link,
                "base_model" => &mut found.base_model,
                _ => continue,
            };
            let first = lines.get(at + 1).and_then(|next| next.trim_start().strip_prefix("- "));
            *place = match plain(value) {
                "" => first.map(plain).filter(|item| is_usable(item)).map(str::to_owned),
                value => Some(value.to_owned()).filter(|value| is_usable(value)),
            };
        }
        // A licence is an identifier, and a base model a repository.
        let word = |byte: u8| byte.is_ascii_alphanumeric() || b"-._+".contains(&byte);
        found.license = found.license.filter(|licence| licence.bytes().all(word));
        found.base_model = found.base_model.filter(|name| crate::hub::is_repository_name(name));
        found
    }
}

/// A value without its quotes and what is remarked behind it.
fn plain(value: &str) -> &str {
    let value = value.trim();
    for quote in ['"', '\''] {
        let inner = value.strip_prefix(quote).and_then(|rest| rest.split_once(quote));
        if let Some((inner, _)) = inner {
            return inner;
        }
    }
    value.split(" #").next().unwrap_or(value).trim()
}

fn is_usable(value: &str) -> bool {
    let odd = |letter: char| letter.is_control() || "\"'`<>[]{}|\\".contains(letter);
    !value.is_empty() && value.chars().count() <= MOST_CHARACTERS && !value.contains(odd)
}

#[cfg(test)]
mod tests {
    use super::FrontMatter;

    fn said(text: &str) -> [Option<String>; 4] {
        let FrontMatter { license, license_name, license_link, base_model } =
            FrontMatter::of_text(text);
        [license, license_name, license_link, base_model]
    }

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn licence_and_origin_are_read_in_the_forms_that_cards_use() {
        let one = "---\nlicense: apache-2.0\nbase_model: google/ddpm-church-256\n---\n# text";
        assert_eq!(said(one), [some("apache-2.0"), None, None, some("google/ddpm-church-256")]);
        let listed =
            "---\r\ntags:\r\n- x\r\nlicense:\r\n- mit\r\nbase_model:\r\n  - a/b\r\n---\r\n";
        assert_eq!(said(listed), [some("mit"), None, None, some("a/b")]);
        let other = "---\nlicense: other # see below\nlicense_name: 'own terms'\n\
                     license_link: \"https://example.org/a\"\n---\n";
        let link = some("https://example.org/a");
        assert_eq!(said(other), [some("other"), some("own terms"), link, None]);
    }

    #[test]
    fn what_could_not_stand_in_a_card_is_not_said() {
        for text in [
            "license: mit\n",
            "---\nlicence: mit\n---\n",
            "---\n---\nlicense: mit\n",
            "---\nlicense: mit and more\n---\n",
            "---\nlicense:\ntags:\n- x\n---\n",
            "---\nlicense: [mit]\nbase_model: ../../etc\n---\n",
            "---\nlicense_name: a`b\nlicense_link: \"a|b\"\n---\n",
        ] {
            assert_eq!(said(text), [None, None, None, None], "{text}");
        }
        assert_eq!(FrontMatter::of_folder("/no/such/folder".as_ref()), FrontMatter::default());
    }
}
