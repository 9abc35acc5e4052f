//! Atomic writes of one file.
//!
//! The bytes go to a temporary file in the same folder, which is synced and then renamed. On any
//! error the temporary file is removed and the target keeps its content.

use crate::descriptors::with_a_descriptor;
use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Size of the write buffer.
const BUFFER_BYTES: usize = 1 << 20;

/// The error of a failed write.
#[derive(Debug, thiserror::Error)]
#[error("could not write `{}`: {source}", path.display())]
pub struct WriteFileError {
    /// The file or folder.
    pub path: PathBuf,
    /// The system's error.
    pub source: io::Error,
}

impl WriteFileError {
    /// Returns a function for `map_err` that adds `path` to an I/O error.
    pub fn at(path: &Path) -> impl Fn(io::Error) -> Self {
        move |source| Self { path: path.into(), source }
    }
}

/// Writes `bytes` to `path` atomically.
///
/// # Errors
/// If the folder is missing or not writable, or the disk is full. `path` then keeps its content.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), WriteFileError> {
    write_beside(path, |file| file.write_all(bytes).map_err(WriteFileError::at(path)))
}

/// Calls `fill` to write a temporary file in the folder of `path`, syncs it and renames it to `path`.
///
/// # Errors
/// The error of `fill`, or a [`WriteFileError`]. `path` then keeps its content.
pub fn write_beside<E: From<WriteFileError>>(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<&File>) -> Result<(), E>,
) -> Result<(), E> {
    let io = WriteFileError::at(path);
    let folder = parent(path);
    let temporary = with_a_descriptor(|| {
        tempfile::Builder::new()
            .prefix(".tmp-")
            // By default only the owner can read a temporary file; 0o666 applies the user's umask.
            .permissions(Permissions::from_mode(0o666))
            .tempfile_in(folder)
    })
    .map_err(&io)?;
    let mut writer = BufWriter::with_capacity(BUFFER_BYTES, temporary.as_file());
    fill(&mut writer)?;
    writer.flush().map_err(&io)?;
    drop(writer);
    temporary.as_file().sync_all().map_err(&io)?;
    temporary.persist(path).map_err(|error| io(error.error))?;
    Ok(sync_folder(folder).map_err(io)?)
}

/// Returns the folder of `path`: `.` for a bare name.
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Syncs `folder`, so that renames in it survive a power failure.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    with_a_descriptor(|| File::open(folder))?.sync_all()
}
