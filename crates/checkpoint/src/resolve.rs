//! Resolving a name to a folder: a path, or a repository on the Hub.

use std::path::{Path, PathBuf};

use crate::hub::{Hub, HubError};
use crate::names::{is_file_name, is_repository_name};

/// Errors from resolving a name.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// There is no such folder, and the name is not one that a repository could have.
    #[error(
        "checkpoint `{name}`: expected a folder or a repository such as `google/ddpm-church-256`, \
         found {found}"
    )]
    NoFolder {
        /// The name that was asked for.
        name: String,
        /// What was found instead.
        found: &'static str,
    },
    /// There is no such file, and the name is not one that a file of a repository could have.
    #[error("`{name}`: expected a file, or one on the hub as `owner/name/file`, found {found}")]
    NoFile {
        /// The name that was asked for.
        name: String,
        /// What was found instead.
        found: &'static str,
    },
    /// There is no such folder, and the Hub could not give a repository of that name.
    #[error(
        "checkpoint `{name}`: there is no such folder, and the hub could not give it: {source}"
    )]
    Hub {
        /// The name that was asked for.
        name: String,
        /// What the Hub said.
        source: Box<HubError>,
    },
}

/// The folder of a pipeline: an existing folder wins; a name such as `owner/name` is fetched from
/// the Hub that the environment names.
///
/// # Errors
/// If there is no such folder and no such repository, or it cannot be fetched.
pub fn resolve(name_or_path: &str) -> Result<PathBuf, ResolveError> {
    resolve_with_progress(name_or_path, &mut |_| {})
}

/// [`resolve`], with a line for each file that is fetched.
///
/// # Errors
/// As [`resolve`].
pub fn resolve_with_progress(
    name_or_path: &str,
    progress: &mut dyn FnMut(&str),
) -> Result<PathBuf, ResolveError> {
    resolve_by(name_or_path, &mut |hub| hub.fetch_pipeline(name_or_path, None, progress))
}

/// The folder of an image model of transformers: an existing folder wins; a name such as
/// `owner/name` is fetched from the Hub that the environment names, with a line to `progress` for
/// each file.
///
/// # Errors
/// As [`resolve`].
pub fn resolve_model(
    name_or_path: &str,
    progress: &mut dyn FnMut(&str),
) -> Result<PathBuf, ResolveError> {
    resolve_by(name_or_path, &mut |hub| hub.fetch_model(name_or_path, None, progress))
}

/// The path of one file: an existing file wins; `owner/name/FILE` is fetched from the Hub that the
/// environment names.
///
/// # Errors
/// If there is no such file, and no such repository that has it.
pub fn resolve_file(
    name_or_path: &str,
    progress: &mut dyn FnMut(&str),
) -> Result<PathBuf, ResolveError> {
    let path = Path::new(name_or_path);
    if path.is_file() {
        return Ok(path.into());
    }
    let name = name_or_path.to_owned();
    let slash = name.match_indices('/').nth(1).map(|(at, _)| at);
    let parts = slash.map(|at| (&name[..at], &name[at + 1..]));
    let Some((repository, file)) = parts.filter(|(repository, file)| {
        is_repository_name(repository) && is_file_name(file) && !path.exists()
    }) else {
        let found = if path.exists() { "a folder" } else { "nothing of that name" };
        return Err(ResolveError::NoFile { name, found });
    };
    let fetched = Hub::from_env().and_then(|hub| hub.fetch_one(repository, file, progress));
    fetched.map_err(|source| ResolveError::Hub { name: name.clone(), source: Box::new(source) })
}

fn resolve_by(
    name_or_path: &str,
    fetch: &mut dyn FnMut(&Hub) -> Result<PathBuf, HubError>,
) -> Result<PathBuf, ResolveError> {
    let path = Path::new(name_or_path);
    if path.is_dir() {
        return Ok(path.into());
    }
    let name = name_or_path.to_owned();
    if path.exists() || !is_repository_name(name_or_path) {
        let found = if path.exists() { "a file" } else { "nothing of that name" };
        return Err(ResolveError::NoFolder { name, found });
    }
    let fetched = Hub::from_env().and_then(|hub| fetch(&hub));
    fetched.map_err(|source| ResolveError::Hub { name, source: Box::new(source) })
}
