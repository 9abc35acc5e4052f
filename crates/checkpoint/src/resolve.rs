//! Resolves a name, which is a path or a repository on the Hub, to a folder.

use std::path::{Path, PathBuf};

use crate::hub::{Hub, HubError};
use crate::layout::CONFIG;
use crate::names::{is_file_name, is_repository_name};

/// Errors from resolving a name.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// The folder does not exist, and the name is not a valid repository name.
    #[error(
        "checkpoint `{name}`: expected a folder or a repository such as `google/ddpm-church-256`, \
         found {found}"
    )]
    NoFolder {
        /// The requested name.
        name: String,
        /// What was found instead.
        found: &'static str,
    },
    /// The file does not exist, and the name is not a valid name of a file in a repository.
    #[error("`{name}`: expected a file, or one on the hub as `owner/name/file`, found {found}")]
    NoFile {
        /// The requested name.
        name: String,
        /// What was found instead.
        found: &'static str,
    },
    /// The folder does not exist, and the Hub could not deliver a repository of that name.
    #[error("checkpoint `{name}`: no such folder, and fetching it from the hub failed: {source}")]
    Hub {
        /// The requested name.
        name: String,
        /// The Hub's error.
        source: Box<HubError>,
    },
}

/// Returns the folder of a pipeline, or a file of weights beside a `config.json`, for
/// [`crate::open_pipeline`]. An existing folder or file takes precedence; otherwise `owner/name` is
/// fetched from the Hub (see [`Hub::from_env`]), with a line to `progress` for each file.
///
/// # Errors
/// If neither the folder nor the repository exists, or fetching fails.
pub fn resolve(
    name_or_path: &str,
    progress: &mut dyn FnMut(&str),
) -> Result<PathBuf, ResolveError> {
    let path = Path::new(name_or_path);
    if path.is_file() && ddpo_files::parent(path).join(CONFIG).is_file() {
        return Ok(path.into());
    }
    resolve_by(name_or_path, &mut |hub| hub.fetch_pipeline(name_or_path, None, progress))
}

/// The location of a model's folder or of a file, and the commit that it was fetched from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// Path of the folder or file.
    pub path: PathBuf,
    /// Commit on the Hub, 40 hexadecimal digits; `None` for a local path.
    pub revision: Option<String>,
}

/// Returns the folder of a transformers image model. An existing folder takes precedence unless a
/// `revision` is given; otherwise `owner/name` is fetched from the Hub, with a line to `progress` for
/// each file.
///
/// # Errors
/// As [`resolve`].
pub fn resolve_model(
    name_or_path: &str,
    revision: Option<&str>,
    progress: &mut dyn FnMut(&str),
) -> Result<PathBuf, ResolveError> {
    match revision {
        None => resolve_by(name_or_path, &mut |hub| hub.fetch_model(name_or_path, None, progress)),
        Some(_) => {
            of_hub(name_or_path, &mut |hub| hub.fetch_model(name_or_path, revision, progress))
        }
    }
}

/// Returns the folder of an image model's `config.json`, without fetching the weights.
///
/// # Errors
/// As [`resolve`].
pub fn locate_model_config(
    name_or_path: &str,
    progress: &mut dyn FnMut(&str),
) -> Result<Located, ResolveError> {
    let folder = resolve_by(name_or_path, &mut |hub| {
        let file = hub.fetch_one(name_or_path, CONFIG, None, progress)?;
        Ok(file.parent().map_or_else(PathBuf::new, Path::to_owned))
    })?;
    let revision = (folder != Path::new(name_or_path)).then(|| commit_of(&folder)).flatten();
    Ok(Located { path: folder, revision })
}

/// Returns one file. An existing file takes precedence unless a `revision` is given; otherwise
/// `owner/name/FILE` is fetched from the Hub.
///
/// # Errors
/// If the file exists neither locally nor on the Hub, or fetching fails.
pub fn locate_file(
    name_or_path: &str,
    revision: Option<&str>,
    progress: &mut dyn FnMut(&str),
) -> Result<Located, ResolveError> {
    let path = Path::new(name_or_path);
    if path.is_file() && revision.is_none() {
        return Ok(Located { path: path.into(), revision: None });
    }
    let name = name_or_path.to_owned();
    let slash = name.match_indices('/').nth(1).map(|(at, _)| at);
    let parts = slash.map(|at| (&name[..at], &name[at + 1..]));
    let Some((repository, file)) = parts.filter(|(repository, file)| {
        is_repository_name(repository)
            && is_file_name(file)
            && (revision.is_some() || !path.exists())
    }) else {
        let found = if path.exists() { "a folder" } else { "nothing of that name" };
        return Err(ResolveError::NoFile { name, found });
    };
    let path = of_hub(&name, &mut |hub| hub.fetch_one(repository, file, revision, progress))?;
    let snapshot = path.ancestors().nth(file.split('/').count());
    Ok(Located { revision: snapshot.and_then(commit_of), path })
}

/// Returns the commit of a snapshot in the cache, which is the name of its folder.
fn commit_of(snapshot: &Path) -> Option<String> {
    Some(snapshot.file_name()?.to_str()?.to_owned())
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
        let found =
            if path.exists() { "a file without a config.json" } else { "nothing of that name" };
        return Err(ResolveError::NoFolder { name, found });
    }
    of_hub(name_or_path, fetch)
}

fn of_hub(
    name: &str,
    fetch: &mut dyn FnMut(&Hub) -> Result<PathBuf, HubError>,
) -> Result<PathBuf, ResolveError> {
    let fetched = Hub::from_env().and_then(|hub| fetch(&hub));
    fetched.map_err(|source| ResolveError::Hub { name: name.to_owned(), source: Box::new(source) })
}
