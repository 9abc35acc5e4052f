//! The bearer token: read, presented and checked.

use crate::auth::certificates;
use crate::auth::error::AuthError;
use crate::metrics::Metrics;
use ddpo_settings::Secret;
use std::path::Path;
use std::sync::Arc;
use subtle::ConstantTimeEq;
use tonic::service::Interceptor;
use tonic::{Request, Status};

/// Shortest token: 16 hexadecimal digits are 64 bits.
const SHORTEST: usize = 16;

pub(super) const UNFIT: &str = "expected visible ASCII characters only";

const HEADER: &str = "authorization";
const SCHEME: &str = "Bearer ";

/// Returns the token from the setting or from the file.
///
/// # Errors
/// Both are set, the file cannot be read, or the token is too short or not visible ASCII.
pub fn resolve(token: Option<&Secret>, file: Option<&Path>) -> Result<Option<Secret>, AuthError> {
    match (token, file) {
        (Some(_), Some(_)) => Err(AuthError::Token("both token and token_file are set".into())),
        (Some(token), None) => {
            judge(token.expose()).map_err(AuthError::Token)?;
            Ok(Some(token.clone()))
        }
        (None, Some(path)) => {
            let text = certificates::read("token_file", path)?;
            let token = text.trim();
            judge(token).map_err(|reason| certificates::wrong("token_file", path, reason))?;
            Ok(Some(Secret::new(token)))
        }
        (None, None) => Ok(None),
    }
}

/// Checks a token; the error does not contain it.
fn judge(token: &str) -> Result<(), String> {
    let length = token.chars().count();
    if length < SHORTEST {
        let hint = "hint: openssl rand -hex 32 makes one";
        return Err(format!("{length} characters, expected at least {SHORTEST}; {hint}"));
    }
    if token.chars().all(|c| c.is_ascii_graphic()) { Ok(()) } else { Err(UNFIT.into()) }
}

/// Rejects requests without the token; passes all requests if no token is set.
#[derive(Clone, Debug)]
pub struct TokenCheck {
    expected: Option<Arc<Secret>>,
    metrics: Option<Metrics>,
}

impl TokenCheck {
    /// Creates a check for `token`.
    pub fn new(token: Option<Secret>) -> Self {
        Self { expected: token.map(Arc::new), metrics: None }
    }

    /// Counts rejections as errors of the stage `auth`.
    #[must_use]
    pub fn counted(mut self, metrics: Metrics) -> Self {
        self.metrics = Some(metrics);
        self
    }

    fn shown(expected: &Secret, request: &Request<()>) -> bool {
        let header = request.metadata().get(HEADER);
        header.and_then(|value| bearer(value.as_bytes())).is_some_and(|token| same(token, expected))
    }
}

/// Returns the token of a header `Bearer TOKEN`.
pub(super) fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME.as_bytes()).then_some(token)
}

/// Compares with the secret in constant time, except for its length.
pub(super) fn same(shown: &[u8], expected: &Secret) -> bool {
    bool::from(shown.ct_eq(expected.expose().as_bytes()))
}

impl Interceptor for TokenCheck {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        match &self.expected {
            Some(expected) if !Self::shown(expected, &request) => {
                if let Some(metrics) = &self.metrics {
                    metrics.errors.inc(["auth"]);
                }
                tracing::debug!(peer = ?request.remote_addr(), "refused: no token, or another");
                Err(Status::unauthenticated("expected `authorization: Bearer` with the token"))
            }
            _ => Ok(request),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ddpo_delivery::transport::Bearer;

    fn request(header: Option<&str>) -> Request<()> {
        let mut request = Request::new(());
        if let Some(header) = header {
            request.metadata_mut().insert(HEADER, header.parse().unwrap());
        }
        request
    }

    #[test]
    fn accepts_only_the_token() {
        let mut check = TokenCheck::new(Some(Secret::new("0123456789abcdef")));
        assert!(check.call(request(Some("Bearer 0123456789abcdef"))).is_ok());
        assert!(check.call(request(Some("bearer 0123456789abcdef"))).is_ok());
        for header in [
            None,
            Some(""),
            Some("Bearer"),
            Some("Bearer "),
            Some("Bearer 0123456789abcdeF"),
            Some("Bearer 0123456789abcde"),
            Some("Bearer 0123456789abcdef0"),
            Some("Basic 0123456789abcdef"),
            Some("0123456789abcdef"),
        ] {
            let status = check.call(request(header)).unwrap_err();
            assert_eq!(status.code(), tonic::Code::Unauthenticated, "{header:?}");
        }
    }

    #[test]
    fn debug_output_does_not_contain_the_token() {
        let secret = Secret::new("0123456789abcdef");
        let bearer = Bearer::new(Some(secret.expose())).unwrap();
        let check = TokenCheck::new(Some(secret));
        let shown = format!("{bearer:?} {check:?} {:?}", bearer.clone().call(request(None)));
        assert!(!shown.contains("0123456789abcdef"), "{shown}");
    }

    #[test]
    fn rejects_a_token_that_is_short_or_not_ascii() {
        let message =
            |token: &str| resolve(Some(&Secret::new(token)), None).unwrap_err().to_string();
        assert!(message("short").starts_with("token: 5 characters, expected at least 16"));
        assert_eq!(message("0123456789 abcdef"), "token: expected visible ASCII characters only");
        assert_eq!(resolve(None, None).unwrap(), None);
    }

    #[test]
    fn reads_the_token_without_the_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("token");
        std::fs::write(&path, "0123456789abcdef\n").unwrap();
        let token = resolve(None, Some(&path)).unwrap().unwrap();
        assert_eq!(token.expose(), "0123456789abcdef");
        std::fs::write(&path, "hush").unwrap();
        let short = resolve(None, Some(&path)).unwrap_err().to_string();
        let expected = format!("token_file {}: 4 characters, expected at least 16", path.display());
        assert!(short.starts_with(&expected) && !short.contains("hush"), "{short}");
        let both = resolve(Some(&token), Some(&path)).unwrap_err().to_string();
        assert_eq!(both, "token: both token and token_file are set");
        let missing = resolve(None, Some(Path::new("no/token"))).unwrap_err().to_string();
        assert!(missing.starts_with("token_file no/token: "), "{missing}");
    }
}
