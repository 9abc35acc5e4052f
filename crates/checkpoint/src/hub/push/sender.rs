//! Requests with retries.

use std::thread;
use std::time::Duration;

use ureq::http::Response;
use ureq::typestate::WithBody;
use ureq::{Agent, Body, RequestBuilder};

use crate::hub::backoff::waits;
use crate::hub::client::{base_config, text};
use crate::hub::push::error::PushError;
use crate::hub::settings::HubSettings;

/// Further attempts after a request has failed.
const MOST_RETRIES: usize = 4;

/// Longest wait that a server may ask for.
const MOST_WAIT: Duration = Duration::from_secs(30);

/// Bytes of an answer that are read.
const MOST_ANSWER_BYTES: u64 = 4 << 20;

/// Characters of a server's reason that are reported.
const MOST_REASON: usize = 300;

/// What a request is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Purpose {
    /// What it does to the repository, for messages.
    pub(super) action: &'static str,
    /// A status that counts as success.
    pub(super) content_with: Option<u16>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(super) struct Answer {
    /// `etag`.
    pub(super) etag: Option<String>,
    body: Vec<u8>,
}

impl Answer {
    /// The body as JSON.
    pub(super) fn json<T: serde::de::DeserializeOwned>(&self) -> Result<T, String> {
        serde_json::from_slice(&self.body).map_err(|error| format!("is not as expected: {error}"))
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

/// The connections to a Hub and its token.
#[derive(Debug)]
pub(super) struct Sender {
    /// The Hub.
    pub(super) endpoint: String,
    token: String,
    repository: String,
    agent: Agent,
}

impl Sender {
    pub(super) fn new(settings: &HubSettings, repository: &str) -> Result<Self, PushError> {
        let token = settings.token.clone().ok_or(PushError::NoToken)?;
        // A request with a body is not sent elsewhere: the Hub's own answer is wanted.
        let agent = Agent::from(base_config(settings)?.max_redirects(0).build());
        let (endpoint, repository) = (settings.endpoint.clone(), repository.to_owned());
        Ok(Self { endpoint, token, repository, agent })
    }

    /// A POST to the Hub itself, which is told who asks.
    pub(super) fn post(&self, url: &str, kind: &str) -> RequestBuilder<WithBody> {
        let request = self.agent.post(url).header("content-type", kind);
        request.header("authorization", format!("Bearer {}", self.token))
    }

    /// A POST to an address that the Hub gave, which is told only where it is the Hub's own.
    pub(super) fn post_given(&self, url: &str, kind: &str) -> RequestBuilder<WithBody> {
        if url.strip_prefix(&self.endpoint).is_some_and(|rest| rest.starts_with('/')) {
            self.post(url, kind)
        } else {
            self.agent.post(url).header("content-type", kind)
        }
    }

    /// A PUT to an address that large storage signed: it is told nothing more.
    pub(super) fn put(&self, url: &str) -> RequestBuilder<WithBody> {
        self.agent.put(url)
    }

    /// Returns whether the Hub has the repository, for one that may not make it.
    pub(super) fn has_repository(&self, progress: &mut dyn FnMut(&str)) -> bool {
        let url = format!("{}/api/models/{}", self.endpoint, self.repository);
        let purpose = Purpose { action: "look at", content_with: None };
        let found = self.attempts(purpose, progress, &mut || {
            let request = self.agent.get(&url);
            Ok(request.header("authorization", format!("Bearer {}", self.token)).call())
        });
        found.is_ok()
    }

    /// Makes the request until it is answered, or another attempt would not help. Requests are made
    /// by `once`, which fails only for what is wrong on this machine.
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
            progress(&format!("{trouble}; trying again in {seconds:.1} s ({})", purpose.action));
            thread::sleep(wait);
            attempt += 1;
        }
    }

    /// An answer that cannot be right.
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

    /// A failure of the connection, without the address: it may be a signed one.
    fn unreachable(&self, error: &ureq::Error) -> String {
        match error {
            ureq::Error::BadUri(_) => "it sent an invalid address".into(),
            error => self.clean(&error.to_string()),
        }
    }

    /// A server's words on one line, and without the token, should it repeat that.
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

/// Returns whether a status may be another one the next time.
fn passing(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..=599)
}
