//! Answers that several calls share.

use axum::Json;
use axum::body::Bytes;
use axum::http::header::{CONTENT_RANGE, RANGE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::json;

/// An error answer: the status, the Hub's code if it has one, and the message.
#[derive(Debug)]
pub(crate) struct Refusal(pub(crate) u16, pub(crate) Option<&'static str>, pub(crate) &'static str);

pub(crate) const NO_REPOSITORY: Refusal =
    Refusal(404, Some("RepoNotFound"), "Repository not found");
pub(crate) const NO_REVISION: Refusal = Refusal(404, Some("RevisionNotFound"), "Invalid rev id");

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let Self(status, code, message) = self;
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let code = code.map(|code| [("x-error-code", code)]);
        let body = Json(json!({ "error": message }));
        match code {
            Some(code) => (status, code, [("x-error-message", message)], body).into_response(),
            None => (status, [("x-error-message", message)], body).into_response(),
        }
    }
}

/// Returns the bytes from the start of the requested range on, or all if it has none.
pub(crate) fn content(bytes: &[u8], headers: &HeaderMap) -> Response {
    let range = headers.get(RANGE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let from = range.strip_prefix("bytes=").and_then(|range| range.strip_suffix('-'));
    let from = from.and_then(|from| from.parse().ok()).filter(|from| *from < bytes.len());
    let Some(from) = from else { return Bytes::copy_from_slice(bytes).into_response() };
    let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
    let rest = Bytes::copy_from_slice(&bytes[from..]);
    (StatusCode::PARTIAL_CONTENT, [(CONTENT_RANGE, range)], rest).into_response()
}
