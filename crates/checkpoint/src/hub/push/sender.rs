//! HTTP requests with retries.

use std::thread;
use std::time::Duration;

use ureq::http::Response;
use ureq::typestate::WithBody;
use ureq::{Agent, Body, RequestBuilder};

use crate::hub::backoff::waits;
use crate::hub::client::{base_config, text};
use crate::hub::push::error::PushError;
use crate::hub::settings::HubSettings;

/// Retries after a failed request.
const MOST_RETRIES: usize = 4;

/// Maximum of a server's `retry-after`.
const MOST_WAIT: Duration = Duration::from_secs(30);

/// Maximum length of a response.
const MOST_ANSWER_BYTES: u64 = 4 << 20;

/// Maximum of characters to report of a server's reason.
const MOST_REASON: usize = 300;

/// The purpose of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Purpose {
    /// The action on the repository, for messages.
    pub(super) action: &'static str,
    /// A status that also counts as success.
    pub(super) content_with: Option<u16>,
}

/// A complete response.
#[derive(Debug)]
pub(super) struct Answer {
    /// The `etag` header.
    pub(super) etag: Option<String>,
    body: Vec<u8>,
}

impl Answer {
    /// Parses the body as JSON.
    pub(super) fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, String> {
        serde_json::from_slice(&self.body).map_err(|error| format!("is invalid: {error}"))
    }
}

/// The failure of one attempt.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("status {status}{reason}")]
    Status { status: u16, reason: String, wait: Option<Duration> },
    #[error("{0}")]
    Unreachable(String),
    /// A local file could not be read.
    #[error(transparent)]
    Local(PushError),
}

/// A connection pool to a Hub, and the token.
#[derive(Debug)]
pub(super) struct Sender {
    /// Address of the Hub.
    pub(super) endpoint: String,
    token: String,
    repository: String,
    agent: Agent,
}

impl Sender {
    pub(super) fn new(settings: &HubSettings, repository: &str) -> Result<Self, PushError> {
        let token = settings.token.clone().ok_or(PushError::NoToken)?;
        // A request with a body must not follow redirects.
        let agent = Agent::from(base_config(settings)?.max_redirects(0).build());
        let (endpoint, repository) = (settings.endpoint.clone(), repository.to_owned());
        Ok(Self { endpoint, token, repository, agent })
    }

    /// Creates a POST request to the Hub, with the token.
    pub(super) fn post(&self, url: &str, kind: &str) -> RequestBuilder<WithBody> {
        let request = self.agent.post(url).header("content-type", kind);
        request.header("authorization", format!("Bearer {}", self.token))
    }

    /// Creates a POST request to a URL that the Hub returned, with the token only if the URL is on the
    /// Hub.
    pub(super) fn post_given(&self, url: &str, kind: &str) -> RequestBuilder<WithBody> {
        if url.strip_prefix(&self.endpoint).is_some_and(|rest| rest.starts_with('/')) {
            self.post(url, kind)
        } else {
            self.agent.post(url).header("content-type", kind)
        }
    }

    /// Creates a PUT request to a signed URL of large storage, without the token.
    pub(super) fn put(&self, url: &str) -> RequestBuilder<WithBody> {
        self.agent.put(url)
    }

    /// Returns whether the repository exists, for tokens that may not create it.
    pub(super) fn has_repository(&self, progress: &mut dyn FnMut(&str)) -> bool {
        let url = format!("{}/api/models/{}", self.endpoint, self.repository);
        let purpose = Purpose { action: "look up", content_with: None };
        let found = self.attempts(purpose, progress, &mut || {
            let request = self.agent.get(&url);
            Ok(request.header("authorization", format!("Bearer {}", self.token)).call())
        });
        found.is_ok()
    }

    /// Repeats the request until it succeeds or another attempt cannot help. `once` sends the request; it
    /// returns `Err` only for local errors.
    pub(super) fn attempts(
        &self,
        purpose: Purpose,
        progress: &mut dyn FnMut(&str),
        once: &mut dyn FnMut() -> Result<Result<Response<Body>, ureq::Error>, PushError>,
    ) -> Result<Answer, PushError> {
        let (mut attempt, mut waits) = (1, waits(MOST_RETRIES));
        loop {
            let trouble = match once() {
                Ok(Ok(response)) => match self.answer(response, purpose) {
                    Ok(answer) => return Ok(answer),
                    Err(trouble) => trouble,
                },
                Ok(Err(error)) => Trouble::Unreachable(self.unreachable(&error)),
                Err(error) => Trouble::Local(error),
            };
            let Some(wait) = waits.next().filter(|_| trouble.may_pass()) else {
                return Err(self.error(purpose.action, trouble, attempt));
            };
            let wait = wait.max(trouble.asked_wait());
            let seconds = wait.as_secs_f64();
            progress(&format!("{trouble}; retrying in {seconds:.1} s ({})", purpose.action));
            thread::sleep(wait);
            attempt += 1;
        }
    }

    /// Builds the error for an invalid response.
    pub(super) fn protocol(&self, action: &'static str, reason: impl Into<String>) -> PushError {
        let reason = self.clean(&reason.into());
        PushError::Protocol { action, repository: self.repository.clone(), reason }
    }

    fn answer(&self, response: Response<Body>, purpose: Purpose) -> Result<Answer, Trouble> {
        let status = response.status().as_u16();
        let header = |name: &str| text(response.headers(), name).map(str::to_owned);
        let (etag, said, after) =
            (header("etag"), header("x-error-message"), header("retry-after"));
        let body = response.into_body().into_with_config().limit(MOST_ANSWER_BYTES).read_to_vec();
        if (200..300).contains(&status) || purpose.content_with == Some(status) {
            let body = body.map_err(|error| Trouble::Unreachable(self.unreachable(&error)))?;
            return Ok(Answer { etag, body });
        }
        let said = said.or_else(|| {
            let body: serde_json::Value = serde_json::from_slice(&body.ok()?).ok()?;
            let error = body.get("error").or_else(|| body.get("message"))?;
            error.as_str().map(str::to_owned)
        });
        let reason = said.map_or(String::new(), |said| format!(": {}", self.clean(&said)));
        let wait = after.and_then(|after| after.parse().ok()).map(Duration::from_secs);
        Err(Trouble::Status { status, reason, wait })
    }

    fn error(&self, action: &'static str, trouble: Trouble, attempts: u32) -> PushError {
        let (repository, endpoint) = (self.repository.clone(), self.endpoint.clone());
        match trouble {
            Trouble::Local(error) => error,
            Trouble::Unreachable(reason) => {
                PushError::Unreachable { action, repository, reason, attempts }
            }
            Trouble::Status { status, reason, .. } if passing(status) => {
                let reason = format!("status {status}{reason}");
                PushError::Unreachable { action, repository, reason, attempts }
            }
            Trouble::Status { status, reason, .. } => {
                PushError::Refused { action, repository, endpoint, status, reason }
            }
        }
    }

    /// Describes a connection failure without the URL, which may be signed.
    fn unreachable(&self, error: &ureq::Error) -> String {
        match error {
            ureq::Error::BadUri(_) => "the hub sent an invalid URL".into(),
            error => self.clean(&error.to_string()),
        }
    }

    /// Returns a server's text on one line and with the token masked.
    fn clean(&self, said: &str) -> String {
        let said = said.replace(&self.token, "***").replace(char::is_control, " ");
        said.chars().take(MOST_REASON).collect()
    }
}

impl Trouble {
    fn may_pass(&self) -> bool {
        match self {
            Self::Status { status, .. } => passing(*status),
            Self::Unreachable(_) => true,
            Self::Local(_) => false,
        }
    }

    fn asked_wait(&self) -> Duration {
        match self {
            Self::Status { wait, .. } => wait.unwrap_or_default().min(MOST_WAIT),
            _ => Duration::ZERO,
        }
    }
}

/// Returns whether a status is transient, so that a retry may succeed.
fn passing(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..=599)
}
