//! Values that are used but never shown.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// What stands in the place of a secret wherever one would be shown.
pub const HIDDEN: &str = "[hidden]";

/// A text that is never shown: `Debug`, `Display` and `Serialize` give `[hidden]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides a text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself; not to be logged, nor put into an error.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(HIDDEN)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self)
    }
}

/// A URL whose password is never shown: `redis://user:[hidden]@host:6379/0`.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretUrl(String);

impl SecretUrl {
    /// Takes a URL; `None` where the text has no `scheme://`.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let (scheme, rest) = text.split_once("://")?;
        let fits = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        let whole = !scheme.is_empty() && scheme.chars().all(fits) && !rest.is_empty();
        whole.then_some(Self(text))
    }

    /// `scheme://127.0.0.1:port`.
    #[must_use]
    pub fn local(scheme: &'static str, port: u16) -> Self {
        Self(format!("{scheme}://127.0.0.1:{port}"))
    }

    /// The URL with its password; not to be logged, nor put into an error.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The URL as it may be shown.
    fn shown(&self) -> String {
        let (scheme, rest) = self.0.split_once("://").unwrap_or((&self.0, ""));
        let (place, query) = match rest.split_once('?') {
            Some((place, query)) => (place, format!("?{}", shown_query(query))),
            None => (rest, String::new()),
        };
        // A password may hold a slash, so the last `@` counts, wherever it stands.
        let place = match place.rsplit_once('@') {
            Some((user, host)) => format!("{}@{host}", shown_user(user)),
            None => place.to_owned(),
        };
        format!("{scheme}://{place}{query}")
    }
}

fn shown_user(user: &str) -> String {
    match user.split_once(':') {
        Some((name, _)) => format!("{name}:{HIDDEN}"),
        None => user.to_owned(),
    }
}

/// A URL for a socket file has its password as `pass=` in the query.
fn shown_query(query: &str) -> String {
    let shown = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if name.contains("pass") => format!("{name}={HIDDEN}"),
        _ => pair.to_owned(),
    });
    shown.collect::<Vec<_>>().join("&")
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown())
    }
}

impl Serialize for SecretUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.shown())
    }
}

impl<'de> Deserialize<'de> for SecretUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(text).ok_or_else(|| D::Error::custom("expected a URL such as redis://host:6379"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_nothing_of_itself() {
        let secret = Secret::new("correct horse");
        assert_eq!(format!("{secret} {secret:?}"), "[hidden] [hidden]");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"[hidden]\"");
        assert_eq!(secret.expose(), "correct horse");
    }

    #[test]
    fn a_url_shows_all_but_its_password() {
        let shown = |text: &str| SecretUrl::new(text).unwrap().to_string();
        assert_eq!(shown("redis://127.0.0.1:6379/0"), "redis://127.0.0.1:6379/0");
        assert_eq!(shown("rediss://u:p@host:1/0"), "rediss://u:[hidden]@host:1/0");
        assert_eq!(shown("redis://:p:q@host"), "redis://:[hidden]@host");
        assert_eq!(shown("redis://:p/q@r@host"), "redis://:[hidden]@host");
        assert_eq!(shown("redis+unix:///s?db=1&pass=p"), "redis+unix:///s?db=1&pass=[hidden]");
    }

    #[test]
    fn a_text_without_a_scheme_is_no_url() {
        assert_eq!(SecretUrl::new("host:6379"), None);
        assert_eq!(SecretUrl::new("://host"), None);
        assert_eq!(SecretUrl::new("redis://"), None);
    }
}
