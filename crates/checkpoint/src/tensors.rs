//! Reads files of named tensors, one tensor at a time.
//!
//! The format is detected from the content: safetensors, the zip archive of `torch.save`, or the format
//! that `torch.save` wrote before PyTorch 1.6. An index (`*.index.json`) stands for the files that it
//! names. Opening reads names, shapes and offsets and checks them against the length of the file. The
//! values stay on disk until [`TensorFile::read`], so loading a model does not need a second copy of the
//! whole file.

mod archive;
mod contents;
mod error;
mod header;
pub(crate) mod index;
mod legacy;
mod span;
mod stored;
mod unique;

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use tch::Tensor;

use crate::pickle::PickleScalar;
use contents::Contents;
pub use error::TensorFileError;
use index::Index;
pub use span::TensorInfo;
use span::{Span, SpanError};

/// An open file of tensors, or the open files of an index. Reading takes `&self`, so threads can share it.
#[derive(Debug)]
pub struct TensorFile {
    path: PathBuf,
    parts: Vec<Part>,
    infos: Vec<TensorInfo>,
    places: Vec<Place>,
    order: Vec<String>,
    metadata: BTreeMap<String, String>,
    scalars: BTreeMap<String, PickleScalar>,
}

/// Returns the files that [`TensorFile::open`] reads for `path`: the file, or an index and then its files.
///
/// # Errors
/// If an index cannot be read or is malformed.
pub fn files_of(path: &Path) -> Result<Vec<PathBuf>, TensorFileError> {
    let mut files = vec![path.to_owned()];
    if index::is_index(path) {
        files.extend(Index::read(path)?.files());
    }
    Ok(files)
}

/// One of the files.
#[derive(Debug)]
struct Part {
    path: PathBuf,
    file: File,
}

/// The place of a tensor: a file by index, and a range in it.
#[derive(Debug)]
struct Place {
    part: usize,
    span: Span,
}

impl TensorFile {
    /// Opens a safetensors file or a file of `torch.save` (`.bin`, `.pt`, `.pth`), detected by content, or
    /// the files of an index (`.json`).
    ///
    /// # Errors
    /// If a file cannot be read, has another format, does not have the length that its header states,
    /// has tensors outside its bounds or of an unsupported type, or is a pickle that calls code; or if an
    /// index and its files disagree.
    pub fn open(path: &Path) -> Result<Self, TensorFileError> {
        let index = index::is_index(path).then(|| Index::read(path)).transpose()?;
        let paths = index.as_ref().map_or_else(|| vec![path.to_owned()], Index::files);
        let (mut parts, mut found) = (Vec::new(), Vec::new());
        let (mut order, mut metadata, mut scalars) = (Vec::new(), BTreeMap::new(), BTreeMap::new());
        for part_path in paths {
            let (file, contents) = open_one(&part_path)?;
            let part = parts.len();
            let tensors = contents.tensors.into_iter();
            found.extend(tensors.map(|(info, span)| (info, Place { part, span })));
            order.extend(contents.order);
            metadata.extend(contents.metadata);
            scalars.extend(contents.scalars);
            parts.push(Part { path: part_path, file });
        }
        found.sort_by(|(left, _), (right, _)| left.name.cmp(&right.name));
        if let Some(index) = index {
            let names = found.iter().map(|(info, place)| (info.name.as_str(), place.part));
            index.check(&names.collect::<Vec<_>>())?;
        }
        let (infos, places) = found.into_iter().unzip();
        Ok(Self { path: path.into(), parts, infos, places, order, metadata, scalars })
    }

    /// Returns the path that the file was opened with.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Returns every tensor in the file, sorted by name.
    pub fn tensors(&self) -> &[TensorInfo] {
        &self.infos
    }

    /// Returns the number of values in all tensors.
    #[must_use]
    pub fn values(&self) -> i64 {
        let product =
            |shape: &[i64]| shape.iter().fold(1_i64, |all, side| all.saturating_mul(*side));
        self.infos.iter().fold(0, |all, info| all.saturating_add(product(&info.shape)))
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
        let Place { part, span } = &self.places[at];
        let tensor = span.read(&self.parts[*part].file, &self.infos[at]);
        tensor.map_err(|error| self.span_error(at, error))
    }

    /// Returns whether every value of a tensor is finite, without creating the tensor.
    ///
    /// # Errors
    /// If the tensor does not exist, or the file can no longer be read.
    pub fn is_finite(&self, name: &str) -> Result<bool, TensorFileError> {
        let at = self.position(name)?;
        let Place { part, span } = &self.places[at];
        let finite = span.is_finite(&self.parts[*part].file, &self.infos[at]);
        finite.map_err(|error| self.span_error(at, error))
    }

    fn position(&self, name: &str) -> Result<usize, TensorFileError> {
        self.infos.binary_search_by(|info| info.name.as_str().cmp(name)).map_err(|_| {
            TensorFileError::NoSuchTensor { path: self.path.clone(), tensor: name.to_owned() }
        })
    }

    fn span_error(&self, at: usize, error: SpanError) -> TensorFileError {
        let path = self.parts[self.places[at].part].path.clone();
        match error {
            SpanError::Io(source) => TensorFileError::Io { path, source },
            SpanError::Torch(source) => {
                TensorFileError::Torch { path, tensor: self.infos[at].name.clone(), source }
            }
        }
    }
}

fn open_one(path: &Path) -> Result<(File, Contents), TensorFileError> {
    let io = |source| TensorFileError::Io { path: path.into(), source };
    let file = File::open(path).map_err(io)?;
    let about = file.metadata().map_err(io)?;
    if !about.is_file() {
        return Err(unknown_format(path, "a folder or a device".to_owned()));
    }
    let contents = parse(path, &file, about.len())?;
    Ok((file, contents))
}

fn parse(path: &Path, file: &File, length: u64) -> Result<Contents, TensorFileError> {
    let io = |source| TensorFileError::Io { path: path.into(), source };
    let mut start = vec![0_u8; length.min(legacy::MAGIC.len() as u64) as usize];
    file.read_exact_at(&mut start, 0).map_err(io)?;
    if start.starts_with(b"PK\x03\x04") {
        return archive::read_archive(path, file, length);
    }
    if start == legacy::MAGIC {
        return legacy::read_legacy(path, file, length);
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
