//! HTTP requests to the Hub: metadata of a file, and its bytes from an offset.
//!
//! Source: huggingface_hub 1.x, `file_download.py` (`get_hf_file_metadata`).

use std::fs;
use std::path::Path;

use ureq::config::{ConfigBuilder, RedirectAuthHeaders};
use ureq::http::{HeaderMap, Response, Uri};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::typestate::AgentScope;
use ureq::{Agent, Body};

use crate::hub::error::{Failure, HubError};
use crate::hub::settings::HubSettings;

/// Maximum of redirects to follow for one request.
const MAX_REDIRECTS: u32 = 5;

/// The metadata of a file on the Hub.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Remote {
    /// Commit of the requested revision.
    pub(crate) commit: String,
    /// Identifier of the content: its SHA-256 for large files.
    pub(crate) etag: String,
    /// Length in bytes, if the Hub reports it.
    pub(crate) size: Option<u64>,
}

/// A connection pool and the token.
#[derive(Debug)]
pub(crate) struct Client {
    endpoint: String,
    token: Option<String>,
    /// Does not follow redirects, because the Hub's own response has the metadata.
    asking: Agent,
    fetching: Agent,
}

impl Client {
    pub(crate) fn new(settings: &HubSettings) -> Result<Self, HubError> {
        let agent = |redirects| {
            let config = base_config(settings)?
                .max_redirects(redirects)
                .max_redirects_will_error(redirects > 0)
                .redirect_auth_headers(RedirectAuthHeaders::SameHost);
            Ok::<Agent, HubError>(Agent::from(config.build()))
        };
        Ok(Self {
            endpoint: settings.endpoint.clone(),
            token: settings.token.clone(),
            asking: agent(0)?,
            fetching: agent(MAX_REDIRECTS)?,
        })
    }

    /// Requests the Hub's home page; any response is a success.
    pub(crate) fn reach(&self) -> Result<(), String> {
        self.asking.head(&self.endpoint).call().map(drop).map_err(|error| error.to_string())
    }

    /// Returns the URL of a file.
    pub(crate) fn url(&self, repository: &str, revision: &str, file: &str) -> String {
        let revision = revision.replace('/', "%2F");
        format!("{}/{repository}/resolve/{revision}/{file}", self.endpoint)
    }

    /// Requests the metadata of a file.
    pub(crate) fn ask(&self, url: &str) -> Result<Remote, Failure> {
        let mut url = url.to_owned();
        for _ in 0..=MAX_REDIRECTS {
            let mut request = self.asking.head(&url);
            if let Some(token) = &self.token {
                request = request.header("authorization", format!("Bearer {token}"));
            }
            let response = request.call().map_err(unreachable)?;
            let status = response.status();
            if !status.is_redirection() {
                check_status(&response)?;
                return remote(response.headers(), true);
            }
            // A redirect to large storage already has the metadata.
            if response.headers().contains_key("x-linked-etag") {
                return remote(response.headers(), false);
            }
            url = self.moved_to(&url, text(response.headers(), "location"))?;
        }
        Err(Failure::Protocol(format!("more than {MAX_REDIRECTS} redirects")))
    }

    /// Requests the bytes of a file from offset `from` on.
    pub(crate) fn fetch(&self, url: &str, from: u64) -> Result<Response<Body>, Failure> {
        let mut request = self.fetching.get(url);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if from > 0 {
            request = request.header("range", format!("bytes={from}-"));
        }
        let response = request.call().map_err(unreachable)?;
        check_status(&response)?;
        Ok(response)
    }

    /// Returns the new URL of a renamed repository. Rejects other hosts, which must not see the token.
    fn moved_to(&self, url: &str, location: Option<&str>) -> Result<String, Failure> {
        let location = location.unwrap_or_default();
        let base: Uri = url.parse().map_err(|_| Failure::Protocol("an invalid URL".to_owned()))?;
        let origin = format!(
            "{}://{}",
            base.scheme_str().unwrap_or_default(),
            base.authority().map(|host| host.as_str()).unwrap_or_default()
        );
        if location.starts_with('/') && !location.starts_with("//") {
            return Ok(format!("{origin}{location}"));
        }
        if location.starts_with(&format!("{origin}/")) {
            return Ok(location.to_owned());
        }
        Err(Failure::Protocol(format!("a redirect to another host: `{location}`")))
    }
}

/// Returns the configuration of all requests to a Hub: timeouts, certificates and user agent.
pub(crate) fn base_config(settings: &HubSettings) -> Result<ConfigBuilder<AgentScope>, HubError> {
    let patience = Some(settings.patience);
    let config = Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(concat!("ddpo/", env!("CARGO_PKG_VERSION")))
        // Content lengths must be those of the file, not of a compressed transfer.
        .accept_encoding("identity")
        .timeout_resolve(patience)
        .timeout_connect(patience)
        .timeout_recv_response(patience)
        .timeout_per_read(patience)
        .timeout_per_write(patience);
    Ok(match settings.certificates.as_deref().map(trusted).transpose()? {
        Some(tls) => config.tls_config(tls),
        None => config,
    })
}

fn trusted(path: &Path) -> Result<TlsConfig, HubError> {
    let bad = |reason| HubError::Certificates { path: path.into(), reason };
    let pem = fs::read(path).map_err(|error| bad(error.to_string()))?;
    let mut certificates = Vec::new();
    for item in parse_pem(&pem) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| bad(error.to_string()))? {
            certificates.push(certificate);
        }
    }
    if certificates.is_empty() {
        return Err(bad("expected a certificate, found none".to_owned()));
    }
    Ok(TlsConfig::builder().root_certs(RootCerts::from(certificates)).build())
}

fn unreachable(error: ureq::Error) -> Failure {
    match error {
        ureq::Error::BadUri(reason) => Failure::Protocol(reason),
        error => Failure::Unreachable(error.to_string()),
    }
}

fn check_status(response: &Response<Body>) -> Result<(), Failure> {
    let code = text(response.headers(), "x-error-code").unwrap_or_default();
    match (response.status().as_u16(), code) {
        (200..=299, _) => Ok(()),
        (_, "RepoNotFound") => Err(Failure::NoRepository),
        (_, "RevisionNotFound") => Err(Failure::NoRevision),
        (404, _) => Err(Failure::NoFile),
        (status @ (401 | 403), _) => Err(Failure::Denied(status)),
        (status @ (408 | 429 | 500..=599), _) => Err(Failure::Busy(status)),
        (status, _) => Err(Failure::Protocol(format!("status {status}"))),
    }
}

fn remote(headers: &HeaderMap, has_body: bool) -> Result<Remote, Failure> {
    let missing =
        |name: &str| Failure::Protocol(format!("the response has no valid `{name}` header"));
    let etag = text(headers, "x-linked-etag").or_else(|| text(headers, "etag"));
    let etag = etag.map(|etag| etag.trim_start_matches("W/").trim_matches('"'));
    let commit = text(headers, "x-repo-commit");
    let length = text(headers, "x-linked-size")
        .or_else(|| text(headers, "content-length").filter(|_| has_body));
    Ok(Remote {
        commit: commit
            .filter(|name| is_plain(name))
            .ok_or_else(|| missing("x-repo-commit"))?
            .to_owned(),
        etag: etag.filter(|name| is_plain(name)).ok_or_else(|| missing("etag"))?.to_owned(),
        size: length.and_then(|length| length.parse().ok()),
    })
}

/// Returns whether a name from the network is a safe file name.
fn is_plain(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !name.is_empty() && name.len() <= 128 && name.bytes().all(plain)
}

pub(crate) fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
