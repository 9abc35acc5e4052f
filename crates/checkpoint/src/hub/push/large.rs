//! Uploads to large storage through the Git LFS batch API, in one piece or in parts.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};

use serde::Deserialize;
use serde_json::{Value, json};
use ureq::SendBody;

use crate::hub::push::api::Api;
use crate::hub::push::error::PushError;
use crate::hub::push::local::{Digested, LocalFile};
use crate::hub::push::sender::{Answer, Purpose};

const LFS_JSON: &str = "application/vnd.git-lfs+json";

/// Maximum of parts of a file.
const MOST_PARTS: u64 = 10_000;

#[derive(Deserialize)]
struct Batch {
    objects: Vec<Object>,
}

#[derive(Deserialize)]
struct Object {
    oid: String,
    actions: Option<Actions>,
    error: Option<ObjectError>,
}

#[derive(Deserialize)]
struct ObjectError {
    code: u16,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Actions {
    upload: Option<Action>,
    verify: Option<Action>,
}

#[derive(Deserialize)]
struct Action {
    href: String,
    #[serde(default)]
    header: BTreeMap<String, Value>,
}

/// Sends the files that large storage lacks, and returns the number of bytes sent.
pub(super) fn send(api: &mut Api<'_>, files: &[Digested]) -> Result<u64, PushError> {
    if files.is_empty() {
        return Ok(0);
    }
    let objects = batch(api, files)?;
    let mut sent = 0;
    for one in files {
        let purpose = Purpose { action: "send a file to", content_with: None };
        let Some(object) = objects.iter().find(|object| object.oid == one.digest) else {
            let reason = format!("does not mention `{}`", one.file.name);
            return Err(api.sender.protocol(purpose.action, reason));
        };
        if let Some(ObjectError { code, message }) = &object.error {
            let reason = format!("rejects `{}`: {code} {message}", one.file.name);
            return Err(api.sender.protocol(purpose.action, reason));
        }
        let actions = object.actions.as_ref();
        let Some(upload) = actions.and_then(|actions| actions.upload.as_ref()) else {
            (api.progress)(&format!("{} is already stored", one.file.name));
            continue;
        };
        let megabytes = one.file.size as f64 / 1e6;
        (api.progress)(&format!("sending {} ({megabytes:.1} MB)", one.file.name));
        if upload.header.contains_key("chunk_size") {
            in_parts(api, purpose, one, upload)?;
        } else {
            whole(api, purpose, one, upload)?;
        }
        if let Some(verify) = actions.and_then(|actions| actions.verify.as_ref()) {
            let asked = json!({ "oid": one.digest, "size": one.file.size });
            post(api, purpose, &verify.href, &asked)?;
        }
        sent += one.file.size;
    }
    Ok(sent)
}

/// Asks which files large storage has, and for the upload URLs of the others.
fn batch(api: &mut Api<'_>, files: &[Digested]) -> Result<Vec<Object>, PushError> {
    let objects = files.iter().map(|one| json!({ "oid": one.digest, "size": one.file.size }));
    let asked = json!({
        "operation": "upload",
        "transfers": ["basic", "multipart"],
        "objects": objects.collect::<Vec<_>>(),
        "hash_algo": "sha256",
        "ref": { "name": api.push.branch },
    });
    let url = format!("{}/{}.git/info/lfs/objects/batch", api.sender.endpoint, api.push.repository);
    let purpose = Purpose { action: "send files to", content_with: None };
    let answer = post(api, purpose, &url, &asked)?;
    let batch: Result<Batch, String> = answer.json();
    batch.map(|batch| batch.objects).map_err(|reason| api.sender.protocol(purpose.action, reason))
}

fn post(
    api: &mut Api<'_>,
    purpose: Purpose,
    url: &str,
    asked: &Value,
) -> Result<Answer, PushError> {
    let (sender, body) = (api.sender, asked.to_string());
    sender.attempts(purpose, api.progress, &mut || {
        let request = sender.post_given(url, LFS_JSON).header("accept", LFS_JSON);
        Ok(request.send(body.as_bytes()))
    })
}

/// Uploads all bytes with one PUT.
fn whole(
    api: &mut Api<'_>,
    purpose: Purpose,
    one: &Digested,
    upload: &Action,
) -> Result<(), PushError> {
    let own = upload.header.iter().filter_map(|(name, value)| Some((name, value.as_str()?)));
    let headers: Vec<(&String, &str)> = own.collect();
    put(api, purpose, &one.file, &upload.href, (0, one.file.size), &headers).map(|_| ())
}

/// Uploads each part with a PUT, then completes the upload with a POST.
fn in_parts(
    api: &mut Api<'_>,
    purpose: Purpose,
    one: &Digested,
    upload: &Action,
) -> Result<(), PushError> {
    let refused = |reason: &str| api.sender.protocol(purpose.action, reason);
    let size = one.file.size;
    let chunk = upload.header.get("chunk_size").and_then(|value| match value {
        Value::String(text) => text.parse().ok(),
        value => value.as_u64(),
    });
    let chunk = chunk.filter(|chunk: &u64| *chunk > 0 && size.div_ceil(*chunk) <= MOST_PARTS);
    let chunk = chunk.ok_or_else(|| refused("has an unusable chunk_size"))?;
    let numbered = upload
        .header
        .iter()
        .filter_map(|(key, url)| Some((key.parse::<u64>().ok()?, url.as_str()?)));
    let urls: BTreeMap<u64, &str> = numbered.collect();
    if urls.len() as u64 != size.div_ceil(chunk) {
        return Err(refused("has the wrong number of parts for the file"));
    }
    let mut parts = Vec::new();
    for (at, url) in urls.values().enumerate() {
        let start = at as u64 * chunk;
        let length = chunk.min(size - start);
        let answer = put(api, purpose, &one.file, url, (start, length), &[])?;
        let etag = answer.etag.filter(|etag| !etag.is_empty());
        let etag = etag
            .ok_or_else(|| api.sender.protocol(purpose.action, "to a part has no etag header"))?;
        parts.push(json!({ "partNumber": at + 1, "etag": etag }));
    }
    let asked = json!({ "oid": one.digest, "parts": parts });
    post(api, purpose, &upload.href, &asked).map(|_| ())
}

/// Uploads `length` bytes from offset `start` to a signed URL.
fn put(
    api: &mut Api<'_>,
    purpose: Purpose,
    file: &LocalFile,
    url: &str,
    (start, length): (u64, u64),
    headers: &[(&String, &str)],
) -> Result<Answer, PushError> {
    let sender = api.sender;
    sender.attempts(purpose, api.progress, &mut || {
        let mut open: File = file.open()?;
        open.seek(SeekFrom::Start(start)).map_err(LocalFile::io(&file.path))?;
        let mut body = open.take(length);
        let mut request = sender.put(url).header("content-length", length.to_string());
        for (name, value) in headers {
            request = request.header(name.as_str(), *value);
        }
        Ok(request.send(SendBody::from_reader(&mut body)))
    })
}
