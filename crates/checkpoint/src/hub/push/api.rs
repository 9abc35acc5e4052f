//! The Hub's API calls of a push.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::hub::push::error::PushError;
use crate::hub::push::local::{Digested, LocalFile};
use crate::hub::push::options::{Push, Visibility};
use crate::hub::push::sender::{Answer, Purpose, Sender};

const JSON: &str = "application/json";

/// The destination of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// The commit.
    Regular,
    /// Large storage (Git LFS).
    Large,
}

/// A push in progress.
pub(super) struct Api<'a> {
    pub(super) sender: &'a Sender,
    pub(super) push: &'a Push<'a>,
    pub(super) progress: &'a mut dyn FnMut(&str),
}

#[derive(Deserialize)]
struct Modes {
    files: Vec<FileMode>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FileMode {
    path: String,
    upload_mode: String,
    #[serde(default)]
    should_ignore: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Committed {
    commit_oid: String,
}

impl Api<'_> {
    /// Creates the repository, unless it exists.
    pub(super) fn make_repository(&mut self) -> Result<(), PushError> {
        let (owner, name) = self.push.repository.split_once('/').unwrap_or_default();
        let mut asked = json!({ "name": name, "organization": owner, "type": "model" });
        if self.push.visibility == Visibility::Private {
            asked["visibility"] = "private".into();
        }
        let url = format!("{}/api/repos/create", self.sender.endpoint);
        let purpose = Purpose { action: "create", content_with: Some(409) };
        let made = self.call(purpose, &url, JSON, asked.to_string().as_bytes());
        match made {
            Ok(_) => Ok(()),
            // A token may have write access to a repository without permission to create one.
            Err(PushError::Refused { status: 403, .. })
                if self.sender.has_repository(self.progress) =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Creates the branch, unless it exists. `main` always exists, and the Hub creates `refs/*`.
    pub(super) fn make_branch(&mut self) -> Result<(), PushError> {
        if self.push.branch == "main" || self.push.branch.starts_with("refs/") {
            return Ok(());
        }
        let url = self.url("branch");
        let purpose = Purpose { action: "create a branch of", content_with: Some(409) };
        self.call(purpose, &url, JSON, b"{}").map(|_| ())
    }

    /// Returns the destination of each file by name, without the files that the repository ignores.
    pub(super) fn modes(
        &mut self,
        files: &[LocalFile],
    ) -> Result<BTreeMap<String, Mode>, PushError> {
        let asked = files.iter().map(|file| {
            json!({ "path": file.name, "sample": STANDARD.encode(&file.sample), "size": file.size })
        });
        let asked = json!({ "files": asked.collect::<Vec<_>>() }).to_string();
        let purpose = Purpose { action: "prepare a commit to", content_with: None };
        let url = self.url("preupload");
        let answer = self.call(purpose, &url, JSON, asked.as_bytes())?;
        let refused = |reason: String| self.sender.protocol(purpose.action, reason);
        let found: Modes = answer.json().map_err(refused)?;
        let mut modes = BTreeMap::new();
        for file in found.files {
            let mode = match file.upload_mode.as_str() {
                "regular" => Mode::Regular,
                "lfs" => Mode::Large,
                other => return Err(refused(format!("has the unknown upload mode `{other}`"))),
            };
            modes.insert(file.path, (!file.should_ignore).then_some(mode));
        }
        match files.iter().find(|file| !modes.contains_key(&file.name)) {
            Some(file) => Err(refused(format!("does not mention `{}`", file.name))),
            None => Ok(modes.into_iter().filter_map(|(name, mode)| Some((name, mode?))).collect()),
        }
    }

    /// Creates the commit and returns its identifier.
    pub(super) fn commit(
        &mut self,
        regular: &[LocalFile],
        large: &[Digested],
    ) -> Result<String, PushError> {
        let mut lines = line("header", json!({ "summary": self.push.message, "description": "" }));
        for file in regular {
            let content = std::fs::read(&file.path).map_err(LocalFile::io(&file.path))?;
            let content = STANDARD.encode(content);
            let value = json!({ "content": content, "path": file.name, "encoding": "base64" });
            lines += &line("file", value);
        }
        for Digested { file, digest } in large {
            let (path, size) = (&file.name, file.size);
            let value = json!({ "path": path, "algo": "sha256", "oid": digest, "size": size });
            lines += &line("lfsFile", value);
        }
        let purpose = Purpose { action: "commit to", content_with: None };
        let url = self.url("commit");
        let answer = self.call(purpose, &url, "application/x-ndjson", lines.as_bytes())?;
        let committed: Result<Committed, String> = answer.json();
        let refused = |reason| self.sender.protocol(purpose.action, reason);
        committed.map(|committed| committed.commit_oid).map_err(refused)
    }

    /// Sends a POST request with a body to the Hub, with retries.
    pub(super) fn call(
        &mut self,
        purpose: Purpose,
        url: &str,
        kind: &str,
        body: &[u8],
    ) -> Result<Answer, PushError> {
        let sender = self.sender;
        sender.attempts(purpose, self.progress, &mut || Ok(sender.post(url, kind).send(body)))
    }

    fn url(&self, what: &str) -> String {
        let branch = self.push.branch.replace('/', "%2F");
        let Push { repository, .. } = self.push;
        format!("{}/api/models/{repository}/{what}/{branch}", self.sender.endpoint)
    }
}

fn line(key: &str, value: Value) -> String {
    json!({ "key": key, "value": value }).to_string() + "\n"
}
