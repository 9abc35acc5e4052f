//! Secrets, which are never printed, logged or serialised.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// The text that replaces a secret in output.
pub const HIDDEN: &str = "[hidden]";

/// A secret string: `Debug`, `Display` and `Serialize` write `[hidden]`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps a string.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// Returns the secret. Do not log it or put it into an error.
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

/// A URL whose password is hidden in output: `redis://user:[hidden]@host:6379/0`.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretUrl(String);

impl SecretUrl {
    /// Wraps a URL; `None` if the text does not begin with `scheme://`.
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        let (scheme, rest) = text.split_once("://")?;
        let fits = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        let whole = !scheme.is_empty() && scheme.chars().all(fits) && !rest.is_empty();
        whole.then_some(Self(text))
    }

    /// Returns `scheme://127.0.0.1:port`.
    pub fn local(scheme: &'static str, port: u16) -> Self {
        Self(format!("{scheme}://127.0.0.1:{port}"))
    }

    /// Returns the URL with its password. Do not log it or put it into an error.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns the URL with its password hidden.
    fn shown(&self) -> String {
        let (scheme, rest) = self.0.split_once("://").unwrap_or((&self.0, ""));
        if scheme.contains("unix") {
            return format!("{scheme}://{}", shown_tail(rest));
        }
        // A password may contain `/`, `?`, `#` and `@`, so the last `@` ends it.
        match rest.rsplit_once('@') {
            Some((user, host)) => format!("{scheme}://{}@{}", shown_user(user), shown_tail(host)),
            None => format!("{scheme}://{}", shown_tail(rest)),
        }
    }
}

fn shown_user(user: &str) -> String {
    match user.split_once(':') {
        Some((name, _)) => format!("{name}:{HIDDEN}"),
        None => user.to_owned(),
    }
}

/// Hides passwords in the query of a host or of a path.
fn shown_tail(tail: &str) -> String {
    match tail.split_once('?') {
        Some((place, query)) => format!("{place}?{}", shown_query(query)),
        None => tail.to_owned(),
    }
}

/// Hides passwords in a query: the URL of a socket file has its password as `pass=`.
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
    fn hides_a_secret() {
        let secret = Secret::new("correct horse");
        assert_eq!(format!("{secret} {secret:?}"), "[hidden] [hidden]");
        assert_eq!(serde_json::to_string(&secret).unwrap(), "\"[hidden]\"");
        assert_eq!(secret.expose(), "correct horse");
    }

    #[test]
    fn hides_only_the_password_of_a_url() {
        let shown = |text: &str| SecretUrl::new(text).unwrap().to_string();
        assert_eq!(shown("redis://127.0.0.1:6379/0"), "redis://127.0.0.1:6379/0");
        assert_eq!(shown("rediss://u:p@host:1/0"), "rediss://u:[hidden]@host:1/0");
        assert_eq!(shown("redis://:p:q@host"), "redis://:[hidden]@host");
        assert_eq!(shown("redis://:p/q@r@host"), "redis://:[hidden]@host");
        assert_eq!(shown("redis://:a?b@host"), "redis://:[hidden]@host");
        assert_eq!(shown("redis://u:a?b#c@host:1/2"), "redis://u:[hidden]@host:1/2");
        assert_eq!(shown("redis://host:1/2?protocol=resp3"), "redis://host:1/2?protocol=resp3");
        assert_eq!(shown("unix:///s?user=u&pass=p@q"), "unix:///s?user=u&pass=[hidden]");
        assert_eq!(shown("redis+unix:///s?db=1&pass=p"), "redis+unix:///s?db=1&pass=[hidden]");
    }

    #[test]
    fn rejects_a_url_without_a_scheme() {
        assert_eq!(SecretUrl::new("host:6379"), None);
        assert_eq!(SecretUrl::new("://host"), None);
        assert_eq!(SecretUrl::new("redis://"), None);
    }
}
