//! The files of the folder to push.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use ddpo_files::sha256_of;

use crate::hub::push::error::PushError;
use crate::names::is_file_name;

/// Length of the sample from which the Hub decides where a file goes.
const SAMPLE_BYTES: u64 = 512;

/// A file to push.
#[derive(Debug)]
pub(super) struct LocalFile {
    /// Path in the repository.
    pub(super) name: String,
    /// Path on disk.
    pub(super) path: PathBuf,
    /// Length in bytes.
    pub(super) size: u64,
    /// First bytes.
    pub(super) sample: Vec<u8>,
}

/// A file and its SHA-256, which identifies it in large storage.
#[derive(Debug)]
pub(super) struct Digested {
    pub(super) file: LocalFile,
    pub(super) digest: String,
}

impl LocalFile {
    pub(super) fn io(path: &Path) -> impl FnOnce(io::Error) -> PushError + use<> {
        let path = path.to_owned();
        move |source| PushError::Io { path, source }
    }

    pub(super) fn open(&self) -> Result<File, PushError> {
        File::open(&self.path).map_err(Self::io(&self.path))
    }
}

/// Computes the digests of files.
pub(super) fn digested(files: Vec<LocalFile>) -> Result<Vec<Digested>, PushError> {
    let one = |file: LocalFile| {
        let digest = sha256_of(file.open()?).map_err(LocalFile::io(&file.path))?;
        Ok(Digested { file, digest })
    };
    files.into_iter().map(one).collect()
}

/// Returns all files under `folder` except `leave_out`, sorted by name.
pub(super) fn files(folder: &Path, leave_out: &[&str]) -> Result<Vec<LocalFile>, PushError> {
    let mut files = Vec::new();
    look_into(folder, "", leave_out, &mut files)?;
    files.sort_by(|one, other| one.name.cmp(&other.name));
    if files.is_empty() { Err(PushError::Empty(folder.into())) } else { Ok(files) }
}

fn look_into(
    folder: &Path,
    prefix: &str,
    leave_out: &[&str],
    files: &mut Vec<LocalFile>,
) -> Result<(), PushError> {
    for entry in fs::read_dir(folder).map_err(LocalFile::io(folder))? {
        let path = entry.map_err(LocalFile::io(folder))?.path();
        let own = path.file_name().and_then(|name| name.to_str());
        let name = own.map(|own| format!("{prefix}{own}"));
        let name = name.filter(|name| is_file_name(name));
        let name = name.ok_or_else(|| PushError::FileName(path.clone()))?;
        if leave_out.contains(&name.as_str()) {
            continue;
        }
        let about = fs::metadata(&path).map_err(LocalFile::io(&path))?;
        if about.is_dir() {
            look_into(&path, &format!("{name}/"), leave_out, files)?;
            continue;
        }
        let mut sample = Vec::new();
        let file = File::open(&path).map_err(LocalFile::io(&path))?;
        file.take(SAMPLE_BYTES).read_to_end(&mut sample).map_err(LocalFile::io(&path))?;
        files.push(LocalFile { name, path, size: about.len(), sample });
    }
    Ok(())
}
