//! The files of a revision.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, State};
use axum::http::header::{ETAG, LOCATION};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;

use crate::answer::{Refusal, content};
use crate::api::Place;
use crate::state::HubState;
use crate::store::{Content, SIGNATURE};

/// Returns the routes of files.
pub(crate) fn routes() -> Router<Arc<HubState>> {
    Router::new().route("/{owner}/{name}/resolve/{revision}/{*file}", get(resolve))
}

async fn resolve(
    State(state): State<Arc<HubState>>,
    Path(place): Path<Place>,
    Path((.., file)): Path<(String, String, String, String)>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let (store, repository) = (state.store(), place.repository());
    if let Some(new) = store.renamed.get(&repository) {
        let to = format!("/{new}/resolve/{}/{file}", place.revision);
        return Ok(Redirect::temporary(&to).into_response());
    }
    let commit = store.find(&repository, &place.revision)?;
    let found = [("x-repo-commit", commit.id.clone())];
    let Some(stored) = commit.files.get(&file) else {
        let missing = Refusal(404, Some("EntryNotFound"), "Entry not found");
        return Ok((found, missing).into_response());
    };
    let (bytes, digest) = (store.bytes(stored), store.digest(stored));
    if matches!(stored, Content::Regular(_)) {
        let etag = [(ETAG, format!("W/\"{}\"", &digest[..40]))];
        return Ok((found, etag, content(bytes, &headers)).into_response());
    }
    let linked =
        [("x-linked-etag", format!("\"{digest}\"")), ("x-linked-size", bytes.len().to_string())];
    let to = [(LOCATION, format!("{}/{digest}?{SIGNATURE}", store.storage))];
    Ok((StatusCode::FOUND, found, linked, to).into_response())
}
