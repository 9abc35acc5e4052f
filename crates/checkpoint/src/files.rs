//! Writing a file so that a reader sees the old one or the new one, never a part.
//!
//! The bytes go to a temporary file in the same folder, which is synced and then renamed. When
//! anything fails, the temporary file is removed and the target is as it was.

use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tch::{Kind, TchError};

/// Bytes that are gathered before the system is called.
const BUFFER_BYTES: usize = 1 << 20;

/// Why a file could not be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The system refused.
    #[error("could not write `{}`: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The type of a tensor's elements has no place in a safetensors file.
    #[error(
        "could not write `{}`: tensor `{tensor}`: expected f16, bf16, f32, f64, bool or an \
         integer type, found {found:?}",
        path.display()
    )]
    UnsupportedKind {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its type.
        found: Kind,
    },
    /// Two tensors have one name, or the reserved one.
    #[error("could not write `{}`: expected each name once, found `{tensor}` again", path.display())]
    Duplicate {
        /// The file.
        path: PathBuf,
        /// The name.
        tensor: String,
    },
    /// libtorch could not hand a tensor's values over.
    #[error("could not write `{}`: tensor `{tensor}`: {source}", path.display())]
    Torch {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What libtorch said.
        source: TchError,
    },
    /// A config is not valid JSON.
    #[error("could not write `{}`: expected JSON: {source}", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// Where it is wrong.
        source: serde_json::Error,
    },
}

/// Writes `bytes` to `path`: beside it, synced, renamed.
///
/// # Errors
/// When the folder is missing or not writable, or the disk is full; `path` is then as it was.
pub fn write_file(path: &Path, bytes: &[u8]) -> Result<(), WriteError> {
    write_beside(path, |file| {
        file.write_all(bytes).map_err(|source| WriteError::Io { path: path.into(), source })
    })
}

/// Lets `fill` write a temporary file beside `path`, syncs it and renames it to `path`.
pub(crate) fn write_beside(
    path: &Path,
    fill: impl FnOnce(&mut BufWriter<&File>) -> Result<(), WriteError>,
) -> Result<(), WriteError> {
    let io = |source| WriteError::Io { path: path.into(), source };
    let folder = parent(path);
    let temporary = tempfile::Builder::new()
        .prefix(".tmp-")
        // Readable by others as far as the user's mask allows; the default is the owner alone.
        .permissions(Permissions::from_mode(0o666))
        .tempfile_in(folder)
        .map_err(io)?;
    let mut writer = BufWriter::with_capacity(BUFFER_BYTES, temporary.as_file());
    fill(&mut writer)?;
    writer.flush().map_err(io)?;
    drop(writer);
    temporary.as_file().sync_all().map_err(io)?;
    temporary.persist(path).map_err(|error| io(error.error))?;
    sync_folder(folder).map_err(io)
}

/// The folder that `path` lies in.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// Makes renames in `folder` last through a power cut.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
