//! What the Hub answers: to `huggingface_hub` 1.x (`hf_api.py`, `_commit_api.py`, `lfs.py`,
//! `file_download.py`), and so to `ddpo`.

use super::SIGNATURE;
use super::request::Request;
use super::store::{Content, Store, sha256};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// Endings of files that go to large storage.
const LARGE: [&str; 3] = [".safetensors", ".png", ".bin"];

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn bytes(body: &[u8]) -> Self {
        Self { status: 200, headers: Vec::new(), body: body.to_vec() }
    }

    fn json(value: &Value) -> Self {
        Self::bytes(value.to_string().as_bytes()).with("content-type", "application/json")
    }

    pub(super) fn error(status: u16, message: &str) -> Self {
        let body = json!({ "error": message });
        Self { status, ..Self::json(&body) }.with("x-error-message", message)
    }

    fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    /// Head and body as they are sent.
    pub(super) fn written(self, head_only: bool) -> (String, Vec<u8>) {
        let Self { status, headers, body } = self;
        let headers = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        let head = format!(
            "HTTP/1.1 {status} Said\r\n{}content-length: {}\r\nconnection: close\r\n\r\n",
            headers.collect::<String>(),
            body.len()
        );
        (head, if head_only { Vec::new() } else { body })
    }
}

/// Answers a request that arrived whole.
pub(super) fn answer(store: &mut Store, request: &Request) -> Answer {
    let parts: Vec<String> = request
        .path
        .trim_start_matches('/')
        .split('/')
        .map(|part| part.replace("%2F", "/"))
        .collect();
    let parts: Vec<&str> = parts.iter().map(String::as_str).collect();
    match (request.method.as_str(), &parts[..]) {
        ("PUT" | "GET", ["storage", rest @ ..]) => storage(store, request, rest),
        ("POST", ["complete", digest]) => complete(store, digest, &request.json()),
        // Reading is free where the Hub takes no pushes; a push has to show the token everywhere.
        _ if store.token.is_some() && store.token.as_deref() != request.token() => {
            Answer::error(401, "Invalid username or password.")
        }
        ("POST", ["verify", digest]) => verify(store, digest, &request.json()),
        ("POST", ["api", "validate-yaml"]) => {
            Answer::json(&json!({ "errors": [], "warnings": [] }))
        }
        ("POST", ["api", "repos", "create"]) => create(store, &request.json()),
        (_, ["api", "models", owner, name, rest @ ..]) => {
            let repository = format!("{owner}/{name}");
            if !store.repositories.contains_key(&repository) {
                return no_repository();
            }
            model(store, request, &repository, rest)
        }
        ("POST", [owner, name, "info", "lfs", "objects", "batch"]) => {
            let repository = format!("{owner}/{}", name.trim_end_matches(".git"));
            match store.repositories.contains_key(&repository) {
                true => batch(store, &request.json()),
                false => no_repository(),
            }
        }
        ("GET" | "HEAD", [owner, name, "resolve", revision, file @ ..]) => {
            resolve(store, &format!("{owner}/{name}"), revision, &file.join("/"))
        }
        _ => Answer::error(404, "no such page"),
    }
}

fn no_repository() -> Answer {
    Answer::error(404, "Repository not found").with("x-error-code", "RepoNotFound")
}

fn create(store: &mut Store, asked: &Value) -> Answer {
    let text = |key: &str| asked[key].as_str().unwrap_or_default();
    let repository = format!("{}/{}", text("organization"), text("name"));
    match store.make(&repository, text("visibility") == "private") {
        true => {
            let url = format!("{}/{repository}", store.endpoint);
            Answer::json(&json!({ "url": url, "name": repository, "id": "1" }))
        }
        false => Answer::error(409, "You already created this model repo"),
    }
}

fn model(store: &mut Store, request: &Request, repository: &str, rest: &[&str]) -> Answer {
    match (request.method.as_str(), rest) {
        ("GET", []) => about(store, repository, "main"),
        ("GET", ["revision", revision]) => about(store, repository, revision),
        ("GET", ["tree", revision, ..]) => listing(store, repository, revision),
        ("POST", ["branch", branch]) => make_branch(store, repository, branch),
        ("POST", ["preupload", branch]) => match store.at(repository, branch) {
            Some(_) => preupload(&request.json()),
            None => no_revision(),
        },
        ("POST", ["commit", branch]) => commit(store, repository, branch, &request.body),
        _ => Answer::error(404, "no such call"),
    }
}

fn no_revision() -> Answer {
    Answer::error(404, "Invalid rev id").with("x-error-code", "RevisionNotFound")
}

fn about(store: &Store, repository: &str, revision: &str) -> Answer {
    let Some(commit) = store.at(repository, revision) else { return no_revision() };
    let siblings: Vec<Value> =
        commit.files.keys().map(|name| json!({ "rfilename": name })).collect();
    let private = store.is_private(repository);
    Answer::json(&json!({
        "id": repository, "modelId": repository, "sha": commit.id, "private": private,
        "siblings": siblings, "tags": [], "downloads": 0, "likes": 0,
    }))
}

fn listing(store: &Store, repository: &str, revision: &str) -> Answer {
    let Some(commit) = store.at(repository, revision) else { return no_revision() };
    let files = commit.files.iter().map(|(name, content)| {
        let (bytes, digest) = (store.bytes(content), sha256(store.bytes(content)));
        let mut entry =
            json!({ "type": "file", "path": name, "size": bytes.len(), "oid": digest[..40] });
        if matches!(content, Content::Large(_)) {
            entry["lfs"] = json!({ "oid": digest, "size": bytes.len(), "pointerSize": 130 });
        }
        entry
    });
    Answer::json(&Value::from(files.collect::<Vec<_>>()))
}

fn make_branch(store: &mut Store, repository: &str, branch: &str) -> Answer {
    let Some(found) = store.repositories.get_mut(repository) else { return no_repository() };
    if found.branches.contains_key(branch) {
        return Answer::error(409, "Reference already exists");
    }
    let commits = found.branches.get("main").cloned().unwrap_or_default();
    found.branches.insert(branch.into(), commits);
    Answer::json(&json!({}))
}

fn preupload(asked: &Value) -> Answer {
    let mode = |file: &Value| {
        let path = file["path"].as_str().unwrap_or_default();
        let large = LARGE.iter().any(|ending| path.ends_with(ending));
        let mode = if large { "lfs" } else { "regular" };
        json!({ "path": path, "uploadMode": mode, "shouldIgnore": false, "oid": null })
    };
    let files: Vec<Value> = asked["files"].as_array().into_iter().flatten().map(mode).collect();
    Answer::json(&json!({ "files": files }))
}

fn batch(store: &Store, asked: &Value) -> Answer {
    if asked["operation"] != "upload" || asked["hash_algo"] != "sha256" {
        return Answer::error(422, "not what is served here");
    }
    let object = |asked: &Value| {
        let oid = asked["oid"].as_str().unwrap_or_default();
        let size = asked["size"].as_u64().unwrap_or_default() as usize;
        if store.objects.contains_key(oid) {
            return json!({ "oid": oid, "size": size });
        }
        let Store { endpoint, storage, .. } = store;
        let upload = match size > store.part_bytes {
            false => json!({ "href": format!("{storage}/{oid}?{SIGNATURE}") }),
            true => {
                let mut header = json!({ "chunk_size": store.part_bytes.to_string() });
                for part in 1..=size.div_ceil(store.part_bytes) {
                    let url = format!("{storage}/{oid}/{part}?{SIGNATURE}");
                    header[format!("{part:05}")] = url.into();
                }
                json!({ "href": format!("{endpoint}/complete/{oid}"), "header": header })
            }
        };
        let verify = json!({ "href": format!("{endpoint}/verify/{oid}") });
        json!({ "oid": oid, "size": size, "actions": { "upload": upload, "verify": verify } })
    };
    let objects: Vec<Value> =
        asked["objects"].as_array().into_iter().flatten().map(object).collect();
    Answer::json(&json!({ "transfer": "basic", "objects": objects }))
}

/// Large storage: it goes by the signature, and refuses whoever shows a token, as S3 does.
fn storage(store: &mut Store, request: &Request, rest: &[&str]) -> Answer {
    if request.query != SIGNATURE {
        return Answer::error(403, "SignatureDoesNotMatch");
    }
    if request.header("authorization").is_some() {
        return Answer::error(400, "only one auth mechanism allowed");
    }
    match (request.method.as_str(), rest) {
        ("PUT", [digest]) => {
            if request.header("content-length").is_none() {
                return Answer::error(411, "MissingContentLength");
            }
            if sha256(&request.body) != *digest {
                return Answer::error(400, "BadDigest");
            }
            store.objects.insert((*digest).to_owned(), request.body.clone());
            Answer::bytes(b"")
        }
        ("PUT", [digest, part]) => {
            let Ok(part) = part.parse() else { return Answer::error(400, "no such part") };
            let etag = format!("\"{}\"", &sha256(&request.body)[..32]);
            store.parts.insert(((*digest).to_owned(), part), request.body.clone());
            Answer::bytes(b"").with("etag", etag)
        }
        (_, [digest]) => match store.objects.get(*digest) {
            Some(bytes) => Answer::bytes(bytes),
            None => Answer::error(404, "NoSuchKey"),
        },
        _ => Answer::error(404, "NoSuchKey"),
    }
}

/// Puts parts together that the client lists with their etags.
fn complete(store: &mut Store, digest: &str, asked: &Value) -> Answer {
    let mut whole = Vec::new();
    for (at, part) in asked["parts"].as_array().into_iter().flatten().enumerate() {
        let Some(bytes) = store.parts.get(&(digest.to_owned(), at + 1)) else {
            return Answer::error(400, "InvalidPart");
        };
        let etag = format!("\"{}\"", &sha256(bytes)[..32]);
        if part["partNumber"] != at + 1 || part["etag"] != etag {
            return Answer::error(400, "InvalidPart");
        }
        whole.extend(bytes);
    }
    if sha256(&whole) != digest || asked["oid"] != digest {
        return Answer::error(400, "BadDigest");
    }
    store.objects.insert(digest.to_owned(), whole);
    Answer::json(&json!({}))
}

fn verify(store: &Store, digest: &str, asked: &Value) -> Answer {
    match store.objects.get(digest) {
        Some(bytes) if asked["size"] == bytes.len() => Answer::json(&json!({})),
        _ => Answer::error(404, "not there"),
    }
}

fn commit(store: &mut Store, repository: &str, branch: &str, body: &[u8]) -> Answer {
    if store.at(repository, branch).is_none() {
        return no_revision();
    }
    let mut files = BTreeMap::new();
    let mut message = String::new();
    for line in String::from_utf8_lossy(body).lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_default();
        let value = &line["value"];
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        match line["key"].as_str() {
            Some("header") => message = text("summary"),
            Some("file") => match STANDARD.decode(text("content")) {
                Ok(bytes) => drop(files.insert(text("path"), Content::Regular(bytes))),
                Err(_) => return Answer::error(400, "not base64"),
            },
            Some("lfsFile") => {
                let known = store.objects.get(&text("oid"));
                if known.is_none_or(|bytes| value["size"] != bytes.len()) {
                    return Answer::error(400, "an LFS pointer to nothing");
                }
                files.insert(text("path"), Content::Large(text("oid")));
            }
            _ => return Answer::error(400, "an unknown line"),
        }
    }
    let id = store.commit(repository, branch, &message, files);
    let url = format!("{}/{repository}/commit/{id}", store.endpoint);
    Answer::json(&json!({ "success": true, "commitOid": id, "commitUrl": url }))
}

fn resolve(store: &Store, repository: &str, revision: &str, file: &str) -> Answer {
    if !store.repositories.contains_key(repository) {
        return no_repository();
    }
    let Some(commit) = store.at(repository, revision) else { return no_revision() };
    let Some(content) = commit.files.get(file) else {
        let missing = Answer::error(404, "Entry not found").with("x-error-code", "EntryNotFound");
        return missing.with("x-repo-commit", commit.id.clone());
    };
    let bytes = store.bytes(content);
    let answer = match content {
        Content::Regular(bytes) => {
            Answer::bytes(bytes).with("etag", format!("\"{}\"", &sha256(bytes)[..40]))
        }
        Content::Large(digest) => {
            let url = format!("{}/{digest}?{SIGNATURE}", store.storage);
            let moved = Answer { status: 302, ..Answer::bytes(b"") }.with("location", url);
            moved
                .with("x-linked-etag", format!("\"{digest}\""))
                .with("x-linked-size", bytes.len().to_string())
        }
    };
    answer.with("x-repo-commit", commit.id.clone())
}
