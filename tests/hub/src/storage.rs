//! Large storage: Git LFS by its batch API. Its addresses are signed.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, RawQuery, State};
use axum::http::HeaderMap;
use axum::http::header::{AUTHORIZATION, CONTENT_LENGTH, ETAG};
use axum::response::{IntoResponse, Response};
use axum::routing::{post, put};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::answer::{NO_REPOSITORY, Refusal, content};
use crate::api::Place;
use crate::state::HubState;
use crate::store::{SIGNATURE, Store, sha256};

type Answer = Result<Json<Value>, Refusal>;

/// Returns the calls to the Hub itself, which need its token.
pub(crate) fn calls() -> Router<Arc<HubState>> {
    Router::new()
        .route("/{owner}/{name}/info/lfs/objects/batch", post(batch))
        .route("/verify/{digest}", post(verify))
}

/// Returns the routes that need a signature, and the completion of an upload in parts.
pub(crate) fn signed() -> Router<Arc<HubState>> {
    Router::new()
        .route("/storage/{digest}", put(store_object).get(read_object))
        .route("/storage/{digest}/{part}", put(store_part))
        .route("/complete/{digest}", post(complete))
}

async fn batch(
    State(state): State<Arc<HubState>>,
    Path(place): Path<Place>,
    Json(asked): Json<Value>,
) -> Answer {
    let store = state.store();
    if !store.repositories.contains_key(&place.repository()) {
        return Err(NO_REPOSITORY);
    }
    if asked["operation"] != "upload" || asked["hash_algo"] != "sha256" {
        return Err(Refusal(422, None, "not supported"));
    }
    let objects = asked["objects"].as_array().into_iter().flatten();
    let objects: Vec<Value> = objects.map(|asked| object(&store, asked)).collect();
    Ok(Json(json!({ "transfer": "basic", "objects": objects })))
}

/// Returns the actions that upload one object, or none if it is stored.
fn object(store: &Store, asked: &Value) -> Value {
    let oid = asked["oid"].as_str().unwrap_or_default();
    let size = asked["size"].as_u64().unwrap_or_default() as usize;
    if store.objects.contains_key(oid) {
        return json!({ "oid": oid, "size": size });
    }
    let Store { endpoint, storage, .. } = store;
    let upload = if size > store.part_bytes {
        let mut header = json!({ "chunk_size": store.part_bytes.to_string() });
        for part in 1..=size.div_ceil(store.part_bytes) {
            header[format!("{part:05}")] = format!("{storage}/{oid}/{part}?{SIGNATURE}").into();
        }
        json!({ "href": format!("{endpoint}/complete/{oid}"), "header": header })
    } else {
        json!({ "href": format!("{storage}/{oid}?{SIGNATURE}") })
    };
    let verify = json!({ "href": format!("{endpoint}/verify/{oid}") });
    json!({ "oid": oid, "size": size, "actions": { "upload": upload, "verify": verify } })
}

/// Checks the signature. Refuses a token besides, as S3 does.
fn check_signature(query: Option<&str>, headers: &HeaderMap) -> Result<(), Refusal> {
    if query != Some(SIGNATURE) {
        return Err(Refusal(403, None, "SignatureDoesNotMatch"));
    }
    if headers.contains_key(AUTHORIZATION) {
        return Err(Refusal(400, None, "only one auth mechanism allowed"));
    }
    Ok(())
}

async fn store_object(
    State(state): State<Arc<HubState>>,
    Path(digest): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<(), Refusal> {
    check_signature(query.as_deref(), &headers)?;
    if !headers.contains_key(CONTENT_LENGTH) {
        return Err(Refusal(411, None, "MissingContentLength"));
    }
    if sha256(&bytes) != digest {
        return Err(Refusal(400, None, "BadDigest"));
    }
    state.store().objects.insert(digest, bytes.into());
    Ok(())
}

async fn read_object(
    State(state): State<Arc<HubState>>,
    Path(digest): Path<String>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    check_signature(query.as_deref(), &headers)?;
    let store = state.store();
    let bytes = store.objects.get(&digest).ok_or(Refusal(404, None, "NoSuchKey"))?;
    Ok(content(bytes, &headers))
}

async fn store_part(
    State(state): State<Arc<HubState>>,
    Path((digest, part)): Path<(String, usize)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
    bytes: Bytes,
) -> Result<Response, Refusal> {
    check_signature(query.as_deref(), &headers)?;
    let etag = etag(&bytes);
    state.store().parts.insert((digest, part), bytes.into());
    Ok([(ETAG, etag)].into_response())
}

/// Joins the parts that the client lists with their etags.
async fn complete(
    State(state): State<Arc<HubState>>,
    Path(digest): Path<String>,
    Json(asked): Json<Value>,
) -> Answer {
    let (mut store, mut whole) = (state.store(), Vec::new());
    for (at, part) in asked["parts"].as_array().into_iter().flatten().enumerate() {
        let bytes = store.parts.get(&(digest.clone(), at + 1));
        let listed = |bytes: &&Vec<u8>| part["partNumber"] == at + 1 && part["etag"] == etag(bytes);
        whole.extend(bytes.filter(listed).ok_or(Refusal(400, None, "InvalidPart"))?);
    }
    if sha256(&whole) != digest || asked["oid"] != digest {
        return Err(Refusal(400, None, "BadDigest"));
    }
    store.objects.insert(digest, whole);
    Ok(Json(json!({})))
}

async fn verify(
    State(state): State<Arc<HubState>>,
    Path(digest): Path<String>,
    Json(asked): Json<Value>,
) -> Answer {
    match state.store().objects.get(&digest) {
        Some(bytes) if asked["size"] == bytes.len() => Ok(Json(json!({}))),
        _ => Err(Refusal(404, None, "not there")),
    }
}

fn etag(bytes: &[u8]) -> String {
    format!("\"{}\"", &sha256(bytes)[..32])
}
