//! Reads the index of weights that are split over several files: `*.index.json`, an object whose
//! `weight_map` names the file of each tensor.
//!
//! Source: diffusers 0.42, `models/modeling_utils.py` (`save_pretrained`); transformers writes the same.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::names::is_file_name;
use crate::tensors::error::TensorFileError;

/// Maximum length of an index. 450 tensors take about 50 kB.
const MAX_INDEX_BYTES: u64 = 32 << 20;

/// Maximum number of files in an index.
const MAX_FILES: usize = 1024;

/// An index: the file of each tensor.
#[derive(Debug)]
pub(crate) struct Index {
    path: PathBuf,
    file_of: BTreeMap<String, String>,
    files: Vec<String>,
}

#[derive(Deserialize)]
struct Content {
    weight_map: BTreeMap<String, String>,
}

/// Returns whether `path` has the name of an index. No format of tensors has names that end with
/// `.json`.
pub(crate) fn is_index(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "json")
}

impl Index {
    /// Reads an index. Its files must lie in the same folder.
    pub(crate) fn read(path: &Path) -> Result<Self, TensorFileError> {
        let io = |source| TensorFileError::Io { path: path.into(), source };
        let bad = |reason: String| TensorFileError::Index { path: path.into(), reason };
        let length = fs::metadata(path).map_err(io)?.len();
        if length > MAX_INDEX_BYTES {
            return Err(bad(format!("expected at most {MAX_INDEX_BYTES} bytes, found {length}")));
        }
        let text = fs::read(path).map_err(io)?;
        let content: Content = serde_json::from_slice(&text)
            .map_err(|error| bad(format!("expected an object with `weight_map`: {error}")))?;
        let files: BTreeSet<&String> = content.weight_map.values().collect();
        if let Some(name) = files.iter().find(|name| name.contains('/') || !is_file_name(name)) {
            return Err(bad(format!("expected the name of a file beside it, found `{name}`")));
        }
        if files.is_empty() || files.len() > MAX_FILES {
            let found = files.len();
            return Err(bad(format!("expected 1 to {MAX_FILES} files, found {found}")));
        }
        let files = files.into_iter().cloned().collect();
        Ok(Self { path: path.into(), files, file_of: content.weight_map })
    }

    /// Returns the names of the files, sorted.
    pub(crate) fn names(&self) -> &[String] {
        &self.files
    }

    /// Returns the paths of the files, sorted by name.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        let folder = ddpo_files::parent(&self.path);
        self.files.iter().map(|name| folder.join(name)).collect()
    }

    /// Checks the tensors of the files, given as names in sorted order with the position of their file in
    /// [`Index::files`]: each name occurs once, and each tensor of the index is in the file that it names.
    pub(crate) fn check(&self, found: &[(&str, usize)]) -> Result<(), TensorFileError> {
        let bad = |reason| Err(TensorFileError::Index { path: self.path.clone(), reason });
        if let Some(pair) = found.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let (first, second) = (&self.files[pair[0].1], &self.files[pair[1].1]);
            return bad(format!("tensor `{}` is in `{first}` and in `{second}`", pair[0].0));
        }
        for (tensor, file) in &self.file_of {
            let place = found.binary_search_by(|(name, _)| (*name).cmp(tensor.as_str()));
            let holder = place.ok().map(|at| &self.files[found[at].1]);
            if holder != Some(file) {
                let other = holder.map_or("no file", String::as_str);
                return bad(format!("expected tensor `{tensor}` in `{file}`, found it in {other}"));
            }
        }
        Ok(())
    }
}
