//! Writing the zip archive that `torch.load` reads, with the same bytes for the same values.
//!
//! Source: PyTorch 2.11, `torch/serialization.py` (`_save`): `archive/data.pkl`, a storage an entry
//! under `archive/data/`, none compressed, each aligned to 64 bytes.

use std::io::{self, Write};
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use ddpo_files::{WriteFileError, write_beside};

use crate::pickle::emit::{PickleItem, Unsupported, emit};
use crate::write_error::WriteError;
use crate::writer::fetch;

/// The folder of all entries; `torch.load` takes any name.
const ROOT: &str = "archive";

/// The version of the format.
const VERSION: &[u8] = b"3\n";

/// A storage from here on gets sizes of 64 bits.
const LARGE_BYTES: usize = 0xffff_0000;

/// Writes `root` as `torch.save` would: beside `path`, synced, renamed.
///
/// No more than one tensor is copied at a time.
///
/// # Errors
/// If a tensor's type has no place in the format, a value cannot be fetched from its device, or
/// the file cannot be written; `path` is then as it was.
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
    // The default time is the format's first day, so that the bytes are the same every day.
    let options = SimpleFileOptions::DEFAULT
        .compression_method(CompressionMethod::Stored)
        .with_alignment(64)
        .large_file(bytes.len() >= LARGE_BYTES);
    zip.start_file(format!("{ROOT}/{name}"), options)?;
    zip.write_all(bytes)
}
