//! The calls under `/api`: repositories, branches and commits.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, Request, State};
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::answer::{NO_REPOSITORY, Refusal};
use crate::state::HubState;
use crate::store::{Content, Store, is_large};

type Answer = Result<Json<Value>, Refusal>;

/// The repository and the revision in an address.
#[derive(Debug, Deserialize)]
pub(crate) struct Place {
    owner: String,
    name: String,
    #[serde(default = "main_branch")]
    pub(crate) revision: String,
}

fn main_branch() -> String {
    "main".into()
}

impl Place {
    pub(crate) fn repository(&self) -> String {
        format!("{}/{}", self.owner, self.name.trim_end_matches(".git"))
    }
}

/// Returns the routes under `/api`.
pub(crate) fn routes() -> Router<Arc<HubState>> {
    let model = Router::new()
        .route("/", get(about))
        .route("/revision/{revision}", get(about))
        .route("/tree/{revision}", get(listing))
        .route("/tree/{revision}/{*path}", get(listing))
        .route("/branch/{revision}", post(make_branch))
        .route("/preupload/{revision}", post(preupload))
        .route("/commit/{revision}", post(commit));
    let valid = || async { Json(json!({ "errors": [], "warnings": [] })) };
    Router::new()
        .route("/api/validate-yaml", post(valid))
        .route("/api/repos/create", post(create))
        .nest("/api/models/{owner}/{name}", model)
}

/// The middleware that refuses requests without the Hub's token.
pub(crate) async fn require_token(
    State(state): State<Arc<HubState>>,
    headers: HeaderMap,
    request: Request,
    next: Next,
) -> Response {
    let expected = state.store().token.as_ref().map(|token| format!("Bearer {token}"));
    let found = headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    if expected.is_some() && expected.as_deref() != found {
        return Refusal(401, None, "Invalid username or password.").into_response();
    }
    next.run(request).await
}

async fn create(State(state): State<Arc<HubState>>, Json(asked): Json<Value>) -> Answer {
    let mut store = state.store();
    let text = |key: &str| asked[key].as_str().unwrap_or_default();
    let repository = format!("{}/{}", text("organization"), text("name"));
    if !store.make(&repository, text("visibility") == "private") {
        return Err(Refusal(409, None, "You already created this model repo"));
    }
    let url = format!("{}/{repository}", store.endpoint);
    Ok(Json(json!({ "url": url, "name": repository, "id": "1" })))
}

async fn about(State(state): State<Arc<HubState>>, Path(place): Path<Place>) -> Answer {
    let (store, repository) = (state.store(), place.repository());
    let commit = store.find(&repository, &place.revision)?;
    let siblings: Vec<Value> =
        commit.files.keys().map(|name| json!({ "rfilename": name })).collect();
    Ok(Json(json!({
        "id": repository, "modelId": repository, "sha": commit.id,
        "private": store.is_private(&repository), "siblings": siblings,
        "tags": [], "downloads": 0, "likes": 0,
    })))
}

async fn listing(State(state): State<Arc<HubState>>, Path(place): Path<Place>) -> Answer {
    let store = state.store();
    let commit = store.find(&place.repository(), &place.revision)?;
    let files = commit.files.iter().map(|(name, content)| {
        let (size, digest) = (store.bytes(content).len(), store.digest(content));
        let mut entry = json!({ "type": "file", "path": name, "size": size, "oid": digest[..40] });
        if matches!(content, Content::Large(_)) {
            entry["lfs"] = json!({ "oid": digest, "size": size, "pointerSize": 130 });
        }
        entry
    });
    Ok(Json(files.collect()))
}

async fn make_branch(State(state): State<Arc<HubState>>, Path(place): Path<Place>) -> Answer {
    let mut store = state.store();
    let found = store.repositories.get_mut(&place.repository()).ok_or(NO_REPOSITORY)?;
    if found.branches.contains_key(&place.revision) {
        return Err(Refusal(409, None, "Reference already exists"));
    }
    let commits = found.branches.get("main").cloned().unwrap_or_default();
    found.branches.insert(place.revision, commits);
    Ok(Json(json!({})))
}

async fn preupload(
    State(state): State<Arc<HubState>>,
    Path(place): Path<Place>,
    Json(asked): Json<Value>,
) -> Answer {
    state.store().find(&place.repository(), &place.revision)?;
    let mode = |file: &Value| {
        let path = file["path"].as_str().unwrap_or_default();
        let mode = if is_large(path) { "lfs" } else { "regular" };
        json!({ "path": path, "uploadMode": mode, "shouldIgnore": false, "oid": null })
    };
    let files: Vec<Value> = asked["files"].as_array().into_iter().flatten().map(mode).collect();
    Ok(Json(json!({ "files": files })))
}

async fn commit(
    State(state): State<Arc<HubState>>,
    Path(place): Path<Place>,
    lines: Bytes,
) -> Answer {
    let (mut store, repository) = (state.store(), place.repository());
    store.find(&repository, &place.revision)?;
    let (message, files) = parse_commit(&store, &lines)?;
    let id = store.commit(&repository, &place.revision, &message, files);
    let url = format!("{}/{repository}/commit/{id}", store.endpoint);
    Ok(Json(json!({ "success": true, "commitOid": id, "commitUrl": url })))
}

/// Returns the message and the files of a commit in JSON lines.
fn parse_commit(
    store: &Store,
    lines: &[u8],
) -> Result<(String, BTreeMap<String, Content>), Refusal> {
    let (mut message, mut files) = (String::new(), BTreeMap::new());
    for line in String::from_utf8_lossy(lines).lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_default();
        let value = &line["value"];
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        match line["key"].as_str() {
            Some("header") => message = text("summary"),
            Some("file") => {
                let bytes = STANDARD.decode(text("content"));
                let bytes = bytes.map_err(|_| Refusal(400, None, "not base64"))?;
                files.insert(text("path"), Content::Regular(bytes));
            }
            Some("lfsFile") => {
                let known = store.objects.get(&text("oid"));
                if known.is_none_or(|bytes| value["size"] != bytes.len()) {
                    return Err(Refusal(400, None, "an LFS pointer to nothing"));
                }
                files.insert(text("path"), Content::Large(text("oid")));
            }
            _ => return Err(Refusal(400, None, "an unknown line")),
        }
    }
    Ok((message, files))
}
