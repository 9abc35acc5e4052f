//! The HTTP routes: the page, its events, and the token form.

use crate::idle::IdleTimer;
use crate::news::{MOST_VIEWERS, News};
use crate::page::Page;
use crate::stream::events;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, RETRY_AFTER,
    SET_COOKIE, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::get;
use axum::{Extension, Router};
use ddpo_service::auth::WebAuth;
use futures::StreamExt;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// Largest request body (bytes): a form with a token.
const FORM: usize = 4 << 10;
/// Longest time for a request body.
const BODY_DEADLINE: Duration = Duration::from_secs(5);
/// Forms that may arrive at the same time. Others are refused at once, so that slow bodies do not hold all
/// connections.
const FORMS: usize = 8;

/// The state of the routes.
pub struct Answers {
    /// Checks the token.
    pub auth: WebAuth,
    /// The page.
    pub page: Page,
    /// The events.
    pub news: News,
    /// Ends the streams when cancelled.
    pub stop: CancellationToken,
    /// A permit for each form that arrives.
    forms: Semaphore,
}

/// Builds the routes. The server adds the extension [`IdleTimer`] to each connection.
pub fn router(answers: Answers) -> Router {
    let asks = answers.auth.asks();
    let state = Arc::new(answers);
    let page = if asks { get(page).post(sign_in) } else { get(page) };
    Router::new()
        .route("/", page)
        .route("/events", get(stream))
        .fallback((StatusCode::NOT_FOUND, "expected / or /events\n"))
        .method_not_allowed_fallback(not_allowed)
        .layer(from_fn_with_state(Arc::clone(&state), admit))
        .layer(from_fn_with_state(Arc::clone(&state), protect))
        .with_state(state)
}

/// Adds the security headers of the page.
async fn protect(State(answers): State<Arc<Answers>>, request: Request, next: Next) -> Response {
    let headers = [
        (CACHE_CONTROL, "no-store"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        // An address may contain the token.
        (REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, answers.page.policy()),
    ];
    (headers, next.run(request).await).into_response()
}

/// Forwards requests with the token or its cookie; signs in by a token in the address.
async fn admit(State(answers): State<Arc<Answers>>, request: Request, next: Next) -> Response {
    if !answers.auth.is_meant(request.headers()) {
        let line = "expected the host localhost or an address; hint: open the address that the run printed\n";
        return (StatusCode::MISDIRECTED_REQUEST, line).into_response();
    }
    let path = request.uri().path();
    if answers.auth.asks() && path == "/" && request.method() == Method::POST {
        return next.run(request).await;
    }
    if let Some(token) = token_in(request.uri().query().unwrap_or_default()) {
        return answers.pass(&token);
    }
    if answers.auth.admits(request.headers()) {
        next.run(request).await
    } else if path == "/" {
        answers.ask("")
    } else {
        let line = "expected the token: as `authorization: Bearer`, or once as /?token=\n";
        (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Bearer")], line).into_response()
    }
}

async fn page(State(answers): State<Arc<Answers>>) -> impl IntoResponse {
    Html(answers.page.html())
}

/// Handles the token form.
async fn sign_in(State(answers): State<Arc<Answers>>, request: Request) -> Response {
    let Ok(_permit) = answers.forms.try_acquire() else {
        let line = "too many forms at one time; hint: try again\n";
        return (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "5")], line).into_response();
    };
    match timeout(BODY_DEADLINE, to_bytes(request.into_body(), FORM)).await {
        Ok(Ok(form)) => {
            answers.pass(&token_in(&String::from_utf8_lossy(&form)).unwrap_or_default())
        }
        Ok(Err(_)) => {
            let line = format!("expected a form of at most {FORM} bytes\n");
            (StatusCode::PAYLOAD_TOO_LARGE, line).into_response()
        }
        Err(_) => {
            let line = format!("expected the form within {BODY_DEADLINE:?}\n");
            (StatusCode::REQUEST_TIMEOUT, line).into_response()
        }
    }
}

async fn stream(
    State(answers): State<Arc<Answers>>,
    Extension(idle): Extension<Arc<IdleTimer>>,
) -> Response {
    let Some(viewer) = answers.news.admit() else {
        let line = format!(
            "too many viewers: expected at most {MOST_VIEWERS} at one time; hint: close a page, and try again\n"
        );
        return (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "5")], line).into_response();
    };
    let events = events(viewer, idle, answers.stop.clone()).map(Ok::<_, Infallible>);
    let kind = [(CONTENT_TYPE, "text/event-stream; charset=utf-8")];
    (kind, Body::from_stream(events)).into_response()
}

async fn not_allowed() -> impl IntoResponse {
    (StatusCode::METHOD_NOT_ALLOWED, "GET only: the page is read-only\n")
}

impl Answers {
    /// Makes the state of the routes.
    pub fn new(auth: WebAuth, news: News, stop: CancellationToken) -> Self {
        Self { auth, page: Page::new(), news, stop, forms: Semaphore::new(FORMS) }
    }

    /// Sets the cookie for `token` and redirects to the page, whose address does not contain the token.
    fn pass(&self, token: &str) -> Response {
        let redirect = (StatusCode::SEE_OTHER, [(LOCATION, "/")], "the page is at /\n");
        if !self.auth.asks() {
            return redirect.into_response();
        }
        match self.auth.cookie(token) {
            Some(cookie) => ([(SET_COOKIE, cookie)], redirect).into_response(),
            None => self.ask("Wrong token."),
        }
    }

    /// Returns the token form; `complaint` names the error in the last answer.
    fn ask(&self, complaint: &str) -> Response {
        let question = Html(self.page.question(complaint));
        (StatusCode::UNAUTHORIZED, [(WWW_AUTHENTICATE, "Bearer")], question).into_response()
    }
}

/// Returns the value of `token` in a query or a form. A token has no spaces, so a space is a plus sign
/// in a typed address.
fn token_in(text: &str) -> Option<String> {
    let mut pairs = form_urlencoded::parse(text.as_bytes());
    pairs.find(|(name, _)| name == "token").map(|(_, token)| token.replace(' ', "+"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_token_of_a_query_or_a_form() {
        assert_eq!(token_in("a=b&token=0123%2Babc%3D&c").as_deref(), Some("0123+abc="));
        assert_eq!(token_in("token=01+23").as_deref(), Some("01+23"));
        assert_eq!(token_in("token=100%&x").as_deref(), Some("100%"));
        assert_eq!(token_in("token=%zz%4").as_deref(), Some("%zz%4"));
        assert_eq!((token_in(""), token_in("tokens=1")), (None, None));
    }
}
