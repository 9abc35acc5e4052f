//! Strict loading: a file must match the targets exactly, otherwise nothing is copied.

use std::collections::BTreeMap;
use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;

use tch::{Kind, TchError, Tensor};

use crate::tensors::{TensorFile, TensorFileError, TensorInfo};

/// Maximum of listed names per kind of mismatch in a message; [`LoadMismatch`] has all names.
const MOST_NAMES: usize = 32;

/// Errors from loading a file.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file does not match the targets; nothing was copied.
    #[error("{0}")]
    Mismatch(Box<LoadMismatch>),
    /// The file could not be read.
    #[error(transparent)]
    Read(#[from] TensorFileError),
    /// libtorch could not copy a tensor.
    #[error("could not copy into `{tensor}`: {source}")]
    Copy {
        /// The target.
        tensor: String,
        /// libtorch's error.
        source: TchError,
    },
}

/// All differences between a file and its targets. Names are target names, except in `extra`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct LoadMismatch {
    /// The file.
    pub path: PathBuf,
    /// Targets without a tensor in the file.
    pub missing: Vec<String>,
    /// Tensors without a target, by their name in the file.
    pub extra: Vec<String>,
    /// Tensors with the wrong shape, with both shapes.
    pub misshapen: Vec<String>,
    /// Tensors with the wrong type, with both types.
    pub mistyped: Vec<String>,
    /// Tensors with a value that is infinite or NaN in the type of the target.
    pub non_finite: Vec<String>,
}

impl LoadMismatch {
    fn parts(&self) -> [(&'static str, &[String]); 5] {
        [
            ("missing", &self.missing),
            ("extra", &self.extra),
            ("misshapen", &self.misshapen),
            ("mistyped", &self.mistyped),
            ("non-finite", &self.non_finite),
        ]
    }

    fn is_empty(&self) -> bool {
        self.parts().iter().all(|(_, names)| names.is_empty())
    }
}

impl Display for LoadMismatch {
    fn fmt(&self, out: &mut Formatter<'_>) -> fmt::Result {
        write!(out, "`{}` does not fit the model", self.path.display())?;
        let mut lead = ": ";
        for (what, names) in self.parts().iter().filter(|(_, names)| !names.is_empty()) {
            write!(
                out,
                "{lead}{} {what} ({}",
                names.len(),
                names[..names.len().min(MOST_NAMES)].join(", ")
            )?;
            if names.len() > MOST_NAMES {
                write!(out, " and {} more", names.len() - MOST_NAMES)?;
            }
            write!(out, ")")?;
            lead = "; ";
        }
        Ok(())
    }
}

/// Copies every tensor of `file` into the target whose name `rename` returns.
///
/// Targets keep their device, strides and type. A floating-point target accepts f16, bf16, f32 and f64;
/// any other target accepts only its own type. Gradients are not recorded.
///
/// # Errors
/// [`LoadError::Mismatch`] lists every missing, extra, misshapen, mistyped and non-finite tensor at
/// once, and nothing is copied. If two tensors have the same target, the second is extra.
pub fn load_into(
    file: &TensorFile,
    targets: &[(String, Tensor)],
    rename: &dyn Fn(&str) -> String,
) -> Result<(), LoadError> {
    load_part_into(file, targets, &|name| Some(rename(name)))
}

/// Like [`load_into`], for a network that is only a part of the file: ignores the names for which
/// `rename` returns `None`.
///
/// # Errors
/// See [`load_into`].
pub fn load_part_into(
    file: &TensorFile,
    targets: &[(String, Tensor)],
    rename: &dyn Fn(&str) -> Option<String>,
) -> Result<(), LoadError> {
    let (sources, mismatch) = compare(file, targets, rename)?;
    if !mismatch.is_empty() {
        return Err(LoadError::Mismatch(Box::new(mismatch)));
    }
    for (name, target) in targets {
        let Some(info) = sources.get(name) else { continue };
        let values = file.read(&info.name)?;
        tch::no_grad(|| target.shallow_clone().f_copy_(&values))
            .map_err(|source| LoadError::Copy { tensor: name.clone(), source })?;
    }
    Ok(())
}

/// Returns the file's tensors by target name, and all mismatches.
fn compare<'a>(
    file: &'a TensorFile,
    targets: &[(String, Tensor)],
    rename: &dyn Fn(&str) -> Option<String>,
) -> Result<(BTreeMap<String, &'a TensorInfo>, LoadMismatch), LoadError> {
    let mut mismatch = LoadMismatch { path: file.path().into(), ..LoadMismatch::default() };
    let wanted: BTreeMap<&str, &Tensor> =
        targets.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let mut sources = BTreeMap::new();
    for info in file.tensors() {
        let Some(name) = rename(&info.name) else { continue };
        match wanted.get(name.as_str()) {
            Some(target) if !sources.contains_key(&name) => {
                compare_one(&name, info, target, &mut mismatch)?;
                if !file.is_finite(&info.name)? || overflows(file, info, target)? {
                    mismatch.non_finite.push(name.clone());
                }
                sources.insert(name, info);
            }
            _ => mismatch.extra.push(info.name.clone()),
        }
    }
    let missing = wanted.keys().filter(|name| !sources.contains_key(**name));
    mismatch.missing = missing.map(|name| (*name).to_owned()).collect();
    Ok((sources, mismatch))
}

/// Returns whether a finite value is too large for the type of the target, such as 1e300 for f32.
fn overflows(file: &TensorFile, info: &TensorInfo, target: &Tensor) -> Result<bool, LoadError> {
    let wider = matches!(
        (info.kind, target.kind()),
        (Kind::Double, Kind::Float | Kind::Half | Kind::BFloat16)
            | (Kind::Float | Kind::BFloat16, Kind::Half)
    );
    if !wider {
        return Ok(false);
    }
    let values = file.read(&info.name)?;
    let finite = values.f_to_kind(target.kind()).and_then(|values| values.f_isfinite()?.f_all());
    let finite = finite.and_then(|finite| finite.f_int64_value(&[]));
    let finite = finite.map_err(|source| LoadError::Copy { tensor: info.name.clone(), source })?;
    Ok(finite != 1)
}

fn compare_one(
    name: &str,
    info: &TensorInfo,
    target: &Tensor,
    mismatch: &mut LoadMismatch,
) -> Result<(), LoadError> {
    let shape = target.size();
    if info.shape != shape {
        let found = &info.shape;
        mismatch.misshapen.push(format!("{name}: expected {shape:?}, found {found:?}"));
    }
    let kind =
        target.f_kind().map_err(|source| LoadError::Copy { tensor: name.to_owned(), source })?;
    if info.kind != kind && !(is_floating(info.kind) && is_floating(kind)) {
        let found = info.kind;
        mismatch.mistyped.push(format!("{name}: expected {kind:?}, found {found:?}"));
    }
    Ok(())
}

fn is_floating(kind: Kind) -> bool {
    matches!(kind, Kind::Half | Kind::BFloat16 | Kind::Float | Kind::Double)
}

/// Returns the current name of an attention tensor: the deprecated `query`, `key`, `value` and
/// `proj_attn` become `to_q`, `to_k`, `to_v` and `to_out.0`. Other names are returned unchanged.
///
/// Source: diffusers 0.35, `models/modeling_utils.py` (`_convert_deprecated_attention_blocks`).
pub fn modern_attention_name(name: &str) -> String {
    const RENAMED: [(&str, &str); 4] = [
        (".query.", ".to_q."),
        (".key.", ".to_k."),
        (".value.", ".to_v."),
        (".proj_attn.", ".to_out.0."),
    ];
    if !name.contains("attentions.") {
        return name.to_owned();
    }
    RENAMED.iter().fold(name.to_owned(), |name, (old, new)| name.replace(old, new))
}

#[cfg(test)]
mod tests {
    use super::modern_attention_name;

    #[test]
    fn renames_deprecated_attention_tensors() {
        let cases = [
            ("mid_block.attentions.0.query.weight", "mid_block.attentions.0.to_q.weight"),
            ("mid_block.attentions.0.key.bias", "mid_block.attentions.0.to_k.bias"),
            ("up_blocks.1.attentions.2.value.weight", "up_blocks.1.attentions.2.to_v.weight"),
            ("mid_block.attentions.0.proj_attn.bias", "mid_block.attentions.0.to_out.0.bias"),
            ("mid_block.attentions.0.to_q.weight", "mid_block.attentions.0.to_q.weight"),
            ("mid_block.attentions.0.group_norm.bias", "mid_block.attentions.0.group_norm.bias"),
            ("mid_block.other.key.weight", "mid_block.other.key.weight"),
        ];
        for (old, new) in cases {
            assert_eq!(modern_attention_name(old), new);
        }
    }
}
