//! What the Hub holds: repositories with branches of commits, and large files by their digest.

use crate::tree::{self, Tree};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::path::Path;

/// All of it.
#[derive(Debug, Default)]
pub(super) struct Store {
    pub(super) endpoint: String,
    /// Large storage is another host: who follows a redirect there shows it no token.
    pub(super) storage: String,
    /// Who may push; none takes no pushes and lets anybody read.
    pub(super) token: Option<String>,
    /// Large files beyond this are sent in parts.
    pub(super) part_bytes: usize,
    pub(super) repositories: BTreeMap<String, Repository>,
    /// Large files that are whole and have the right digest.
    pub(super) objects: BTreeMap<String, Vec<u8>>,
    /// Parts of large files, by digest and number.
    pub(super) parts: BTreeMap<(String, usize), Vec<u8>>,
    pub(super) commits: usize,
}

/// A repository.
#[derive(Debug, Default)]
pub(super) struct Repository {
    pub(super) private: bool,
    pub(super) branches: BTreeMap<String, Vec<Commit>>,
}

/// A commit: all files at that point.
#[derive(Clone, Debug)]
pub(super) struct Commit {
    pub(super) id: String,
    pub(super) message: String,
    pub(super) files: BTreeMap<String, Content>,
}

/// A file of a commit.
#[derive(Clone, Debug)]
pub(super) enum Content {
    Regular(Vec<u8>),
    /// The digest of a large file.
    Large(String),
}

/// SHA-256 in hexadecimal.
pub(super) fn sha256(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(&Sha256::digest(bytes))
}

impl Store {
    /// Puts the files of a folder there as the first commit.
    pub(super) fn put_folder(&mut self, repository: &str, folder: &Path) {
        let files = tree::read(folder).into_iter();
        let files = files.map(|(name, bytes)| (name, Content::Regular(bytes))).collect();
        self.make(repository, false);
        self.commit(repository, "main", "the folder", files);
    }

    /// Makes a repository with an empty `main`; false where it is there already.
    pub(super) fn make(&mut self, repository: &str, private: bool) -> bool {
        if self.repositories.contains_key(repository) {
            return false;
        }
        let made = Repository { private, ..Repository::default() };
        self.repositories.insert(repository.into(), made);
        self.commit(repository, "main", "initial commit", BTreeMap::new());
        true
    }

    /// Adds a commit that has these files besides those before it, and gives its name.
    pub(super) fn commit(
        &mut self,
        repository: &str,
        branch: &str,
        message: &str,
        files: BTreeMap<String, Content>,
    ) -> String {
        self.commits += 1;
        let id = format!("{:040x}", self.commits);
        let branches = &mut self.repositories.entry(repository.into()).or_default().branches;
        let commits = branches.entry(branch.into()).or_default();
        let mut all = commits.last().map(|last| last.files.clone()).unwrap_or_default();
        all.extend(files);
        commits.push(Commit { id: id.clone(), message: message.into(), files: all });
        id
    }

    /// The commit that a branch or a commit's name stands for.
    pub(super) fn at(&self, repository: &str, revision: &str) -> Option<&Commit> {
        let branches = &self.repositories.get(repository)?.branches;
        let named = branches.get(revision).and_then(|commits| commits.last());
        named.or_else(|| branches.values().flatten().find(|commit| commit.id == revision))
    }

    /// The bytes of a file.
    pub(super) fn bytes<'a>(&'a self, content: &'a Content) -> &'a [u8] {
        match content {
            Content::Regular(bytes) => bytes,
            Content::Large(digest) => self.objects.get(digest).map_or(&[], Vec::as_slice),
        }
    }

    pub(super) fn files(&self, repository: &str, branch: &str) -> Option<Tree> {
        let commit = self.at(repository, branch)?;
        let files = commit.files.iter();
        Some(files.map(|(name, file)| (name.clone(), self.bytes(file).to_vec())).collect())
    }

    pub(super) fn is_private(&self, repository: &str) -> Option<bool> {
        Some(self.repositories.get(repository)?.private)
    }

    pub(super) fn messages(&self, repository: &str, branch: &str) -> Vec<String> {
        let found = self.repositories.get(repository).and_then(|it| it.branches.get(branch));
        found.into_iter().flatten().map(|commit| commit.message.clone()).collect()
    }
}
