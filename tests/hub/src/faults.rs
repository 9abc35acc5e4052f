//! The middleware that records requests and makes some of them fail.

use std::io;
use std::sync::Arc;

use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::header::{CONTENT_LENGTH, RANGE};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures::{StreamExt, stream};

use crate::answer::Refusal;
use crate::state::{HubState, Mishap};

/// Records a request, then answers it or applies its fault.
pub(crate) async fn apply(
    State(state): State<Arc<HubState>>,
    request: Request,
    next: Next,
) -> Response {
    let mut line = format!("{} {}", request.method(), request.uri().path());
    if let Some(range) = request.headers().get(RANGE).and_then(|value| value.to_str().ok()) {
        line += &format!(" {range}");
    }
    let mishap = state.traffic().record(line);
    if mishap == Some(Mishap::Drop) {
        return breaking(Bytes::new());
    }
    // A client that is still sending may miss an early answer.
    let (head, body) = request.into_parts();
    let body = read(body).await;
    match mishap {
        Some(Mishap::Status(status)) => Refusal(status, None, "no luck this time").into_response(),
        Some(Mishap::Stall) => std::future::pending().await,
        mishap => spoilt(next.run(Request::from_parts(head, body.into())).await, mishap).await,
    }
}

async fn spoilt(answer: Response, mishap: Option<Mishap>) -> Response {
    let (mut head, body) = answer.into_parts();
    let bytes = match mishap {
        Some(Mishap::Cut | Mishap::Corrupt) => read(body).await,
        _ => return Response::from_parts(head, body),
    };
    head.headers.insert(CONTENT_LENGTH, bytes.len().into());
    let body = if mishap == Some(Mishap::Cut) {
        breaking(bytes.slice(..bytes.len() / 2)).into_body()
    } else {
        let mut bytes = Vec::from(bytes);
        bytes.iter_mut().last().into_iter().for_each(|byte| *byte ^= 1);
        bytes.into()
    };
    Response::from_parts(head, body)
}

/// Returns an answer that ends with an error after `start`, which closes the connection.
fn breaking(start: Bytes) -> Response {
    let end = stream::once(async {
        // Lets the server send what it has.
        tokio::task::yield_now().await;
        Err(io::ErrorKind::ConnectionAborted)
    });
    let start = stream::iter((!start.is_empty()).then_some(Ok(start)));
    Body::from_stream(start.chain(end.map(|end| end.map_err(io::Error::from)))).into_response()
}

/// Reads a body. An incomplete one counts as empty.
async fn read(body: Body) -> Bytes {
    to_bytes(body, usize::MAX).await.unwrap_or_default()
}
