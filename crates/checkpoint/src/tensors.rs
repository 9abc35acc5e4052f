//! Reads files of named tensors, one tensor at a time.
//!
//! The format is detected from the content: safetensors, or the zip archive of `torch.save`. Opening
//! reads names, shapes and offsets and checks them against the length of the file. The values stay on
//! disk until [`TensorFile::read`], so loading a model does not need a second copy of the whole file.

mod archive;
mod contents;
mod error;
mod header;
mod span;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tch::Tensor;

use crate::pickle::PickleScalar;
use contents::Contents;
pub use error::TensorFileError;
pub use span::TensorInfo;
use span::{Span, SpanError};

/// The first bytes of a pickle that `torch.save` wrote before PyTorch 1.6: protocol 2 and the ten-byte
/// magic number 0x1950a86a20f9469cfc6c.
const LEGACY_MAGIC: [u8; 14] =
    [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// An open file of tensors. Reading takes `&self`, so threads can share it.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    file: File,
    infos: Vec<TensorInfo>,
    spans: Vec<Span>,
    order: Vec<String>,
    metadata: BTreeMap<String, String>,
    scalars: BTreeMap<String, PickleScalar>,
}

impl TensorFile {
    /// Opens a safetensors file or a torch zip archive (`.bin`, `.pt`, `.pth`), detected by content.
    ///
    /// # Errors
    /// If the file cannot be read, has another format, does not have the length that its header states,
    /// has tensors outside its bounds or of an unsupported type, or is a pickle that calls code.
    pub fn open(path: &Path) -> Result<Self, TensorFileError> {
        let io = |source| TensorFileError::Io { path: path.into(), source };
        let file = File::open(path).map_err(io)?;
        let about = file.metadata().map_err(io)?;
        if !about.is_file() {
            return Err(unknown_format(path, "a folder or a device".to_owned()));
        }
        let mut contents = parse(path, &file, about.len())?;
        contents.tensors.sort_by(|(left, _), (right, _)| left.name.cmp(&right.name));
        let (infos, spans) = contents.tensors.into_iter().unzip();
        let Contents { order, metadata, scalars, .. } = contents;
        Ok(Self { path: path.into(), file, infos, spans, order, metadata, scalars })
    }

    /// Returns the path that the file was opened with.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns every tensor in the file, sorted by name.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.infos
    }

    /// Returns the tensors' names in the order of a pickle's dictionaries. For a state dict this is the
    /// order of the model's parameters. Empty for safetensors, whose order has no meaning.
    pub fn order(&self) -> &[String] {
        &self.order
    }

    /// Returns the `__metadata__` of a safetensors file; empty for a pickle.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// Returns a pickle's numbers and strings by dotted name; empty for safetensors.
    pub fn scalars(&self) -> &BTreeMap<String, PickleScalar> {
        &self.scalars
    }

    /// Reads one tensor to the CPU, in the file's type, contiguous and in separate storage.
    ///
    /// # Errors
    /// If the tensor does not exist, or the file can no longer be read.
    pub fn read(&self, name: &str) -> Result<Tensor, TensorFileError> {
        let at = self.position(name)?;
        let tensor = self.spans[at].read(&self.file, &self.infos[at]);
        tensor.map_err(|error| self.span_error(name, error))
    }

    /// Returns whether every value of a tensor is finite, without creating the tensor.
    ///
    /// # Errors
    /// If the tensor does not exist, or the file can no longer be read.
    pub fn is_finite(&self, name: &str) -> Result<bool, TensorFileError> {
        let at = self.position(name)?;
        let finite = self.spans[at].is_finite(&self.file, &self.infos[at]);
        finite.map_err(|error| self.span_error(name, error))
    }

    fn position(&self, name: &str) -> Result<usize, TensorFileError> {
        self.infos.binary_search_by(|info| info.name.as_str().cmp(name)).map_err(|_| {
            TensorFileError::NoSuchTensor { path: self.path.clone(), tensor: name.to_owned() }
        })
    }

    fn span_error(&self, name: &str, error: SpanError) -> TensorFileError {
        let path = self.path.clone();
        match error {
            SpanError::Io(source) => TensorFileError::Io { path, source },
            SpanError::Torch(source) => {
                TensorFileError::Torch { path, tensor: name.to_owned(), source }
            }
        }
    }
}

fn parse(path: &Path, file: &File, length: u64) -> Result<Contents, TensorFileError> {
    let io = |source| TensorFileError::Io { path: path.into(), source };
    let mut start = vec![0_u8; length.min(LEGACY_MAGIC.len() as u64) as usize];
    file.read_exact_at(&mut start, 0).map_err(io)?;
    if start.starts_with(b"PK\x03\x04") {
        return archive::read_archive(path, file, length);
    }
    if start == LEGACY_MAGIC {
        return Err(TensorFileError::LegacyPickle { path: path.into() });
    }
    if start.get(8) == Some(&b'{') {
        return header::read_header(path, file, length);
    }
    Err(unknown_format(path, describe(&start)))
}

fn describe(start: &[u8]) -> String {
    match start {
        [] => "an empty file".to_owned(),
        [0x80, 2..=5, ..] => "a plain pickle, which is not supported".to_owned(),
        _ if start.starts_with(b"version https:") => {
            "a Git LFS pointer; hint: fetch the real file with `git lfs pull`".to_owned()
        }
        _ => format!("a file that starts with the bytes {start:02x?}"),
    }
}

fn unknown_format(path: &Path, found: String) -> TensorFileError {
    TensorFileError::UnknownFormat { path: path.into(), found }
}
