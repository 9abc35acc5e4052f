//! The content of the Hub: repositories with branches of commits, and large files by their digest.

use std::collections::BTreeMap;

use ddpo_files::sha256_of;

use crate::answer::{NO_REPOSITORY, NO_REVISION, Refusal};

/// The query of every signed storage address. It is a secret.
pub const SIGNATURE: &str = "signature=s3cr3t-of-storage";

/// Endings of files that go to large storage.
const LARGE: [&str; 3] = [".safetensors", ".png", ".bin"];

/// The content of the Hub.
#[derive(Debug, Default)]
pub(crate) struct Store {
    pub(crate) endpoint: String,
    /// The address of large storage. Its host differs from the Hub's, so clients must not send the
    /// token there.
    pub(crate) storage: String,
    /// The token that every request to the Hub needs, if there is one.
    pub(crate) token: Option<String>,
    /// Large files above this size are uploaded in parts.
    pub(crate) part_bytes: usize,
    pub(crate) repositories: BTreeMap<String, Repository>,
    /// New names of repositories by their old names.
    pub(crate) renamed: BTreeMap<String, String>,
    /// Complete large files by their digest.
    pub(crate) objects: BTreeMap<String, Vec<u8>>,
    /// Parts of large files, by digest and number.
    pub(crate) parts: BTreeMap<(String, usize), Vec<u8>>,
    pub(crate) commits: usize,
}

/// A repository.
#[derive(Debug, Default)]
pub(crate) struct Repository {
    pub(crate) private: bool,
    pub(crate) branches: BTreeMap<String, Vec<Commit>>,
}

/// A commit: all files at that point.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    pub(crate) id: String,
    pub(crate) message: String,
    pub(crate) files: BTreeMap<String, Content>,
}

/// A file of a commit.
#[derive(Clone, Debug)]
pub(crate) enum Content {
    Regular(Vec<u8>),
    /// The digest of a large file.
    Large(String),
}

/// Returns whether a file goes to large storage.
pub(crate) fn is_large(path: &str) -> bool {
    LARGE.iter().any(|ending| path.ends_with(ending))
}

/// Returns the SHA-256 of `bytes` in hexadecimal.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    sha256_of(bytes).expect("reading from memory")
}

impl Store {
    /// Creates a store with one repository whose first commit has `files`.
    pub(crate) fn of_files(repository: &str, files: BTreeMap<String, Vec<u8>>) -> Self {
        let mut store = Self::default();
        store.make(repository, false);
        let mut contents = BTreeMap::new();
        for (name, bytes) in files {
            let content = if is_large(&name) {
                let digest = sha256(&bytes);
                store.objects.insert(digest.clone(), bytes);
                Content::Large(digest)
            } else {
                Content::Regular(bytes)
            };
            contents.insert(name, content);
        }
        store.commit(repository, "main", "the folder", contents);
        store
    }

    /// Creates a repository with an empty `main`. Returns `false` if it exists.
    pub(crate) fn make(&mut self, repository: &str, private: bool) -> bool {
        if self.repositories.contains_key(repository) {
            return false;
        }
        let made = Repository { private, ..Repository::default() };
        self.repositories.insert(repository.into(), made);
        self.commit(repository, "main", "initial commit", BTreeMap::new());
        true
    }

    /// Adds a commit with these files and the older ones, and returns its id.
    pub(crate) fn commit(
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

    /// Returns the commit of a revision: a branch or an id.
    pub(crate) fn at(&self, repository: &str, revision: &str) -> Option<&Commit> {
        let branches = &self.repositories.get(repository)?.branches;
        let named = branches.get(revision).and_then(|commits| commits.last());
        named.or_else(|| branches.values().flatten().find(|commit| commit.id == revision))
    }

    /// Returns the commit of a revision, or the refusal that names what is missing.
    pub(crate) fn find(&self, repository: &str, revision: &str) -> Result<&Commit, Refusal> {
        if !self.repositories.contains_key(repository) {
            return Err(NO_REPOSITORY);
        }
        self.at(repository, revision).ok_or(NO_REVISION)
    }

    /// Returns the SHA-256 of a file.
    pub(crate) fn digest(&self, content: &Content) -> String {
        match content {
            Content::Regular(bytes) => sha256(bytes),
            Content::Large(digest) => digest.clone(),
        }
    }

    /// Returns the bytes of a file.
    pub(crate) fn bytes<'a>(&'a self, content: &'a Content) -> &'a [u8] {
        match content {
            Content::Regular(bytes) => bytes,
            Content::Large(digest) => self.objects.get(digest).map_or(&[], Vec::as_slice),
        }
    }

    pub(crate) fn files(
        &self,
        repository: &str,
        branch: &str,
    ) -> Option<BTreeMap<String, Vec<u8>>> {
        let commit = self.at(repository, branch)?;
        let files = commit.files.iter();
        Some(files.map(|(name, file)| (name.clone(), self.bytes(file).to_vec())).collect())
    }

    pub(crate) fn is_private(&self, repository: &str) -> Option<bool> {
        Some(self.repositories.get(repository)?.private)
    }

    pub(crate) fn messages(&self, repository: &str, branch: &str) -> Vec<String> {
        let found = self.repositories.get(repository).and_then(|it| it.branches.get(branch));
        found.into_iter().flatten().map(|commit| commit.message.clone()).collect()
    }
}
