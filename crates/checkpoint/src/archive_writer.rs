//! Writes the zip archive that `torch.load` reads. The same values always give the same bytes.
//!
//! Source: PyTorch 2.11, `torch/serialization.py` (`_save`): `archive/data.pkl`, and one entry per
//! storage under `archive/data/`, uncompressed and aligned to 64 bytes.

use std::io::{self, Write};
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use ddpo_files::{WriteFileError, write_beside};

use crate::pickle::emit::{PickleItem, Unsupported, emit};
use crate::write_error::WriteError;
use crate::writer::fetch;

/// The folder of all entries; `torch.load` accepts any name.
const ROOT: &str = "archive";

/// The version of the format.
const VERSION: &[u8] = b"3\n";

/// Storages of at least this size use 64-bit sizes (zip64).
const LARGE_BYTES: usize = 0xffff_0000;

/// Writes `root` in the format of `torch.save`: to a temporary file that is synced and then renamed to
/// `path`. Copies one tensor at a time.
///
/// # Errors
/// If the format does not support a tensor's type, a value cannot be copied from its device, or the file
/// cannot be written. `path` is then unchanged.
pub fn write_archive(path: &Path, root: &PickleItem) -> Result<(), WriteError> {
    let emitted = emit(root).map_err(|Unsupported(tensor, found)| WriteError::UnsupportedKind {
        path: path.into(),
        tensor,
        found,
    })?;
    let io = WriteFileError::at(path);
    write_beside(path, |file| {
        let mut zip = ZipWriter::new(file);
        entry(&mut zip, "data.pkl", &emitted.bytes).map_err(&io)?;
        entry(&mut zip, "byteorder", b"little").map_err(&io)?;
        let mut buffer = Vec::new();
        for (key, referred) in emitted.tensors.iter().enumerate() {
            fetch(referred.tensor, referred.kind, &mut buffer).map_err(|source| {
                WriteError::Torch { path: path.into(), tensor: referred.name.clone(), source }
            })?;
            entry(&mut zip, &format!("data/{key}"), &buffer).map_err(&io)?;
        }
        entry(&mut zip, "version", VERSION).map_err(&io)?;
        zip.finish().map_err(|error| io(error.into()))?;
        Ok(())
    })
}

fn entry<W: Write + io::Seek>(zip: &mut ZipWriter<W>, name: &str, bytes: &[u8]) -> io::Result<()> {
    // The default modification time is constant, so the bytes do not depend on the date.
    let options = SimpleFileOptions::DEFAULT
        .compression_method(CompressionMethod::Stored)
        .with_alignment(64)
        .large_file(bytes.len() >= LARGE_BYTES);
    zip.start_file(format!("{ROOT}/{name}"), options)?;
    zip.write_all(bytes)
}
