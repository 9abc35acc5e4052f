//! Address, cache, token and timeouts of the Hub, read from the environment.
//!
//! Source: huggingface_hub 1.x, `constants.py` and `utils/_auth.py`.

use std::env;
use std::fmt;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use crate::hub::error::HubError;

const DEFAULT_ENDPOINT: &str = "https://huggingface.co";

/// The settings of a Hub.
#[derive(Clone)]
pub struct HubSettings {
    /// Address of the Hub, without a trailing slash (`HF_ENDPOINT`).
    pub endpoint: String,
    /// Folder of fetched repositories (`HF_HUB_CACHE`, else `HF_HOME/hub`).
    pub cache: PathBuf,
    /// Access token (`HF_TOKEN`, else the file `HF_HOME/token`).
    pub token: Option<String>,
    /// Whether the network may be used (`HF_HUB_OFFLINE`).
    pub network: Network,
    /// Timeout for a connection, for the start of a response, and for the next bytes of a body.
    pub patience: Duration,
    /// Timeout for another process that fetches the same file.
    pub lock_patience: Duration,
    /// PEM file of the certificates to trust instead of the built-in ones (`SSL_CERT_FILE`).
    pub certificates: Option<PathBuf>,
}

/// Whether the network may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Network {
    /// The Hub is asked first; the cache is used if the Hub cannot be reached.
    Online,
    /// Only the cache is used.
    Offline,
}

impl HubSettings {
    /// Creates settings for a Hub at `endpoint` with the cache folder `cache`, online and without a token.
    pub fn new(endpoint: &str, cache: PathBuf) -> Self {
        Self {
            endpoint: endpoint.trim_end_matches('/').to_owned(),
            cache,
            token: None,
            network: Network::Online,
            patience: Duration::from_secs(20),
            lock_patience: Duration::from_secs(30 * 60),
            certificates: None,
        }
    }

    /// Reads settings from `HF_ENDPOINT`, `HF_HUB_CACHE`, `HF_HOME`, `XDG_CACHE_HOME`, `HF_TOKEN`,
    /// `HF_HUB_OFFLINE` and `SSL_CERT_FILE`.
    ///
    /// # Errors
    /// If neither a cache folder nor a home folder is set.
    pub fn from_env() -> Result<Self, HubError> {
        let home = variable("HF_HOME").map(PathBuf::from).or_else(|| {
            let cache = variable("XDG_CACHE_HOME").map(PathBuf::from);
            let cache =
                cache.or_else(|| variable("HOME").map(|home| PathBuf::from(home).join(".cache")));
            cache.map(|cache| cache.join("huggingface"))
        });
        let cache = variable("HF_HUB_CACHE").map(PathBuf::from);
        let cache = cache.or_else(|| home.as_ref().map(|home| home.join("hub")));
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| DEFAULT_ENDPOINT.to_owned());
        let mut settings = Self::new(&endpoint, cache.ok_or(HubError::NoCache)?);
        settings.token = variable("HF_TOKEN").or_else(|| {
            let text = fs::read_to_string(home?.join("token")).ok()?;
            Some(text.trim().to_owned()).filter(|token| !token.is_empty())
        });
        settings.certificates = variable("SSL_CERT_FILE").map(PathBuf::from);
        if variable("HF_HUB_OFFLINE").is_some_and(|value| is_yes(&value)) {
            settings.network = Network::Offline;
        }
        Ok(settings)
    }
}

impl fmt::Debug for HubSettings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("HubSettings")
            .field("endpoint", &self.endpoint)
            .field("cache", &self.cache)
            .field("token", &self.token.as_ref().map(|_| "set"))
            .field("network", &self.network)
            .finish_non_exhaustive()
    }
}

fn variable(name: &str) -> Option<String> {
    env::var(name).ok().map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())
}

fn is_yes(value: &str) -> bool {
    ["1", "on", "yes", "true"].contains(&value.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::{HubSettings, is_yes};

    #[test]
    fn debug_output_hides_the_token() {
        let mut settings = HubSettings::new("http://hub/", "/cache".into());
        settings.token = Some("hf_secret".to_owned());
        assert!(!format!("{settings:?}").contains("secret"));
        assert_eq!(settings.endpoint, "http://hub");
    }

    #[test]
    fn accepts_several_spellings_of_yes() {
        assert!(["1", "ON", "Yes", "true"].into_iter().all(is_yes));
        assert!(!["0", "off", "no", "false"].into_iter().any(is_yes));
    }
}
