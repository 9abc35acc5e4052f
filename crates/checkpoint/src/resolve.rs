//! Resolving a name to a folder: a path, or a repository on the Hub.

use std::path::{Path, PathBuf};

use crate::hub::{Hub, HubError};
use crate::layout::CONFIG;
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

/// Finds the folder of a pipeline. An existing folder takes precedence; a name such as `owner/name` is
/// fetched from the Hub that the environment names, with a line to `progress` for each file.
///
/// # Errors
/// If there is no such folder and no such repository, or it cannot be fetched.
pub fn resolve(
    name_or_path: &str,
    progress: &mut dyn FnMut(&str),
) -> Result<PathBuf, ResolveError> {
    resolve_by(name_or_path, &mut |hub| hub.fetch_pipeline(name_or_path, None, progress))
}

/// A model's folder or a file, and the commit that it was fetched from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located {
    /// The folder or the file.
    pub path: PathBuf,
    /// The commit of the Hub, 40 hexadecimal digits; `None` for a local path.
    pub revision: Option<String>,
}

/// Finds the folder of an image model of transformers. An existing folder takes precedence; a name such
/// as `owner/name`, or any name with a `revision`, is fetched from the Hub that the environment names,
/// with a line to `progress` for each file.
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

/// Finds the folder that holds the `config.json` of an image model, without fetching its weights.
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

/// Finds one file. An existing file takes precedence unless a `revision` is given; `owner/name/FILE`
/// is fetched from the Hub that the environment names.
///
/// # Errors
/// When neither such a file nor a repository that has it exists.
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

/// The commit of a snapshot's folder in the cache, which is its name.
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
        let found = if path.exists() { "a file" } else { "nothing of that name" };
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
