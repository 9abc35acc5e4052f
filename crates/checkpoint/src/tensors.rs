//! A file of named tensors, whatever its format, read one tensor at a time.
//!
//! The format is told by content: safetensors, or the zip archive that `torch.save` writes.
//! Opening reads the names, shapes and offsets and checks all of them against the length of the
//! file; the values stay on disk until [`TensorFile::read`] asks for them, so a model is loaded
//! without a second copy of the whole file.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tch::{Kind, TchError, Tensor};

use crate::archive;
use crate::header;
use crate::pickle::{PickleError, PickleScalar};
use crate::span::{Span, SpanError};

/// The start of a pickle that `torch.save` wrote before PyTorch 1.6: protocol 2 and the ten-byte
/// magic number 0x1950a86a20f9469cfc6c.
const LEGACY_MAGIC: [u8; 14] =
    [0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];

/// What is known of a tensor before its values are read.
#[derive(Debug, Clone, PartialEq)]
pub struct TensorInfo {
    /// Name as the file has it; levels of nested dictionaries are joined by dots.
    pub name: String,
    /// Sizes of the dimensions; empty for a scalar.
    pub shape: Vec<i64>,
    /// Type of the elements.
    pub kind: Kind,
}

/// Why a file of tensors could not be opened or read.
#[derive(Debug, thiserror::Error)]
pub enum TensorFileError {
    /// The file could not be read.
    #[error("could not read `{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The content is of no known format.
    #[error(
        "`{}`: expected a safetensors file or a torch zip archive, found {found}",
        path.display()
    )]
    UnknownFormat {
        /// The file.
        path: PathBuf,
        /// What it holds instead.
        found: String,
    },
    /// The pickle is of the kind that PyTorch wrote before 1.6.
    #[error(
        "`{}`: expected a torch zip archive, found a legacy torch pickle; \
         hint: load it in PyTorch and save it again, or convert it to safetensors",
        path.display()
    )]
    LegacyPickle {
        /// The file.
        path: PathBuf,
    },
    /// The file is shorter or longer than its header says.
    #[error(
        "`{}`: expected {expected} bytes, found {found}; hint: the file is damaged or cut short",
        path.display()
    )]
    Length {
        /// The file.
        path: PathBuf,
        /// Bytes that the header asks for.
        expected: u64,
        /// Bytes that are there.
        found: u64,
    },
    /// The safetensors header is not valid.
    #[error("`{}`: bad safetensors header: {reason}", path.display())]
    Header {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The zip archive is not one that `torch.save` writes.
    #[error("`{}`: bad torch archive: {reason}", path.display())]
    Archive {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The pickle in the archive is refused.
    #[error("`{}`: {source}", path.display())]
    Pickle {
        /// The file.
        path: PathBuf,
        /// Why.
        source: PickleError,
    },
    /// The type of a tensor's elements is not one that this crate reads.
    #[error(
        "`{}`: tensor `{tensor}`: expected f16, bf16, f32, f64, bool or an integer type, \
         found {found}",
        path.display()
    )]
    UnsupportedKind {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// Its type.
        found: String,
    },
    /// There is no tensor of that name.
    #[error("`{}` has no tensor `{tensor}`", path.display())]
    NoSuchTensor {
        /// The file.
        path: PathBuf,
        /// The name asked for.
        tensor: String,
    },
    /// libtorch refused the tensor.
    #[error("`{}`: tensor `{tensor}`: {source}", path.display())]
    Torch {
        /// The file.
        path: PathBuf,
        /// The tensor.
        tensor: String,
        /// What libtorch said.
        source: TchError,
    },
}

/// What the parser of a format finds in a file.
pub(crate) struct Contents {
    pub(crate) tensors: Vec<(TensorInfo, Span)>,
    /// The names as a pickle has them, one after the other.
    pub(crate) order: Vec<String>,
    pub(crate) metadata: BTreeMap<String, String>,
    pub(crate) scalars: BTreeMap<String, PickleScalar>,
}

/// An opened file of tensors. Reading takes `&self`, so threads may share one.
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
    /// Opens a safetensors file or a torch zip archive (`.bin`, `.pt`, `.pth`), told by content.
    ///
    /// # Errors
    /// When the file cannot be read, is of another format, is shorter or longer than it says, has
    /// tensors outside its bounds or of a type that is not read, or is a pickle that asks for
    /// anything but tensors.
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

    /// The path that the file was opened by.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every tensor in the file, sorted by name.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.infos
    }

    /// The tensors' names in the order of a pickle's dictionaries, which for a state dict is the order
    /// of the model's parameters; empty for safetensors, whose order says nothing.
    pub fn order(&self) -> &[String] {
        &self.order
    }

    /// The `__metadata__` of a safetensors file; empty for a pickle.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.metadata
    }

    /// The numbers and texts that a pickle holds beside its tensors, by dotted name; empty for
    /// safetensors.
    pub fn scalars(&self) -> &BTreeMap<String, PickleScalar> {
        &self.scalars
    }

    /// Reads one tensor: on the CPU, contiguous, in storage of its own, of the file's type.
    ///
    /// # Errors
    /// When there is no such tensor, or the file can no longer be read.
    pub fn read(&self, name: &str) -> Result<Tensor, TensorFileError> {
        let at = self.position(name)?;
        let tensor = self.spans[at].read(&self.file, &self.infos[at]);
        tensor.map_err(|error| self.span_error(name, error))
    }

    /// Whether every value of a tensor is finite, without making the tensor.
    ///
    /// # Errors
    /// When there is no such tensor, or the file can no longer be read.
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
        [0x80, 2..=5, ..] => "a plain pickle, which is not read".to_owned(),
        _ if start.starts_with(b"version https:") => {
            "a Git LFS pointer; hint: fetch the real file with `git lfs pull`".to_owned()
        }
        _ => format!("a file that starts with the bytes {start:02x?}"),
    }
}

fn unknown_format(path: &Path, found: String) -> TensorFileError {
    TensorFileError::UnknownFormat { path: path.into(), found }
}
