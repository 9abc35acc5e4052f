//! What the page's port answers: the page, its events, and a question for the token.

use crate::news::{MOST_VIEWERS, News};
use crate::page::Page;
use crate::pulse::Pulse;
use crate::stream::events;
use bytes::Bytes;
use ddpo_service::doors::WebDoor;
use futures::StreamExt;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION,
    REFERRER_POLICY, RETRY_AFTER, SET_COOKIE, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode};
use std::convert::Infallible;
use std::sync::Arc;
use tokio_util::sync::CancellationToken;

const HTML: &str = "text/html; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";
const EVENTS: &str = "text/event-stream; charset=utf-8";

/// Largest body of a request (bytes): a form with a token in it.
const FORM: usize = 4 << 10;

/// What is sent back.
pub type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// Answers requests.
pub struct Answers {
    /// Who may come in.
    pub door: WebDoor,
    /// The page.
    pub page: Page,
    /// What it shows.
    pub news: News,
    /// Cancelled when streams are to end.
    pub stop: CancellationToken,
}

impl Answers {
    /// The answer to `request`, over a connection with this `pulse`.
    pub async fn answer(&self, request: Request<Incoming>, pulse: Arc<Pulse>) -> Answer {
        let mut answer = self.choose(request, pulse).await;
        let headers = [
            (CACHE_CONTROL, "no-store"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (X_FRAME_OPTIONS, "DENY"),
            // An address may have the token in it.
            (REFERRER_POLICY, "no-referrer"),
            (CONTENT_SECURITY_POLICY, self.page.policy()),
        ];
        for (name, value) in headers {
            set(&mut answer, name, value);
        }
        answer
    }

    async fn choose(&self, request: Request<Incoming>, pulse: Arc<Pulse>) -> Answer {
        if !self.door.is_meant(request.headers()) {
            let line = "expected the host localhost or an address; hint: open the address that the run printed\n";
            return plain(StatusCode::MISDIRECTED_REQUEST, line);
        }
        let path = request.uri().path();
        if *request.method() == Method::POST && path == "/" && self.door.asks() {
            return self.let_in(request).await;
        }
        if let Some(token) = token_in(request.uri().query().unwrap_or_default()) {
            return self.pass(&token);
        }
        if !self.door.admits(request.headers()) {
            return self.ask(path, "");
        }
        if *request.method() != Method::GET && *request.method() != Method::HEAD {
            let mut refused =
                plain(StatusCode::METHOD_NOT_ALLOWED, "GET only: the page changes nothing\n");
            set(&mut refused, ALLOW, "GET, HEAD");
            return refused;
        }
        match path {
            "/" => whole(StatusCode::OK, HTML, self.page.html()),
            "/events" if *request.method() == Method::HEAD => {
                whole(StatusCode::OK, EVENTS, Bytes::new())
            }
            "/events" => self.events(pulse),
            _ => plain(StatusCode::NOT_FOUND, "expected / or /events\n"),
        }
    }

    fn events(&self, pulse: Arc<Pulse>) -> Answer {
        let Some(viewer) = self.news.admit() else {
            let line = format!(
                "too many viewers: expected at most {MOST_VIEWERS} at one time; hint: close a page, and try again\n"
            );
            let mut refused = plain(StatusCode::SERVICE_UNAVAILABLE, line);
            set(&mut refused, RETRY_AFTER, "5");
            return refused;
        };
        let events = events(viewer, pulse, self.stop.clone());
        let body = StreamBody::new(events.map(|event| Ok(Frame::data(event))));
        response(StatusCode::OK, EVENTS, BodyExt::boxed_unsync(body))
    }

    /// The form came back.
    async fn let_in(&self, request: Request<Incoming>) -> Answer {
        match Limited::new(request.into_body(), FORM).collect().await {
            Ok(body) => {
                let form = String::from_utf8_lossy(&body.to_bytes()).into_owned();
                self.pass(&token_in(&form).unwrap_or_default())
            }
            Err(_) => plain(StatusCode::PAYLOAD_TOO_LARGE, "expected a form with the token\n"),
        }
    }

    /// The pass for the token, and on to the page, whose address does not have the token in it.
    fn pass(&self, token: &str) -> Answer {
        if !self.door.asks() {
            return on_to_the_page();
        }
        match self.door.cookie(token) {
            None => self.ask("/", "That is not the token."),
            Some(cookie) => {
                let mut answer = on_to_the_page();
                set(&mut answer, SET_COOKIE, &cookie);
                answer
            }
        }
    }

    fn ask(&self, path: &str, complaint: &str) -> Answer {
        let line = "expected the token: as `authorization: Bearer`, or once as /?token=\n";
        let mut answer = match path {
            "/" => whole(StatusCode::UNAUTHORIZED, HTML, self.page.question(complaint)),
            _ => plain(StatusCode::UNAUTHORIZED, line),
        };
        set(&mut answer, WWW_AUTHENTICATE, "Bearer");
        answer
    }
}

fn on_to_the_page() -> Answer {
    let mut answer = plain(StatusCode::SEE_OTHER, "the page is at /\n");
    set(&mut answer, LOCATION, "/");
    answer
}

/// The value of `token` in a query or a form. A token is visible ASCII, of which browsers write some
/// signs as `%` and two digits.
fn token_in(text: &str) -> Option<String> {
    let value = text.split('&').find_map(|pair| pair.strip_prefix("token="))?;
    let mut bytes = Vec::with_capacity(value.len());
    let mut rest = value.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let escaped = digits.filter(|_| first == b'%');
        let escaped = escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(escaped.unwrap_or(first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn plain(status: StatusCode, text: impl Into<String>) -> Answer {
    whole(status, PLAIN, Bytes::from(text.into()))
}

fn whole(status: StatusCode, kind: &'static str, body: Bytes) -> Answer {
    response(status, kind, BodyExt::boxed_unsync(Full::new(body)))
}

fn response(
    status: StatusCode,
    kind: &'static str,
    body: UnsyncBoxBody<Bytes, Infallible>,
) -> Answer {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    set(&mut response, CONTENT_TYPE, kind);
    response
}

fn set(answer: &mut Answer, name: HeaderName, value: &str) {
    // All values are made here, of signs that may stand in a header.
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_token_is_read_out_of_a_query_or_a_form() {
        assert_eq!(token_in("a=b&token=0123%2Babc%3D&c").as_deref(), Some("0123+abc="));
        assert_eq!(token_in("token=100%&x").as_deref(), Some("100%"));
        assert_eq!(token_in("token=%zz%4").as_deref(), Some("%zz%4"));
        assert_eq!((token_in(""), token_in("tokens=1")), (None, None));
    }
}
