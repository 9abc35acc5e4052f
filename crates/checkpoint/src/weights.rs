//! Finds the weights of a UNet in the forms that diffusers, accelerate and PyTorch write: one file or
//! several with an index, safetensors or a pickle, in full precision or as a variant such as `fp16`.
//!
//! Source: diffusers 0.42, `utils/constants.py` and `models/model_loading_utils.py` (`_add_variant`);
//! accelerate 1.x, `utils/constants.py` (`MODEL_NAME`, `SAFE_MODEL_NAME`).

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The file that ddpo writes, and the first that is looked for.
pub(crate) const WEIGHTS_SAFETENSORS: &str = "diffusion_pytorch_model.safetensors";

/// The names of weights in full precision, in order of preference: those of diffusers, then those of
/// accelerate and of PyTorch.
pub(crate) const FULL: [&str; 8] = [
    WEIGHTS_SAFETENSORS,
    "diffusion_pytorch_model.safetensors.index.json",
    "diffusion_pytorch_model.bin",
    "diffusion_pytorch_model.bin.index.json",
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
];

/// The variants that are looked for on the Hub, which does not list the files of a repository.
const COMMON_VARIANTS: [&str; 4] = ["fp16", "bf16", "fp32", "non_ema"];

/// Weights that were found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    /// Path of the file or of the index.
    pub(crate) path: PathBuf,
    /// Name of the variant; `None` for full precision.
    pub(crate) variant: Option<String>,
}

/// The names of a folder's weights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Weights {
    /// The weights to load.
    Of(Found),
    /// Several variants and no weights in full precision; the names of the files.
    Several(Vec<String>),
    /// No weights.
    None,
}

/// Finds the weights in `folder`: those in full precision, or the only variant.
pub(crate) fn find_weights(folder: &Path) -> Weights {
    let full = FULL.iter().map(|name| folder.join(name)).find(|path| path.is_file());
    if let Some(path) = full {
        return Weights::Of(Found { path, variant: None });
    }
    let mut variants = variants(folder);
    match (variants.pop_first(), variants.is_empty()) {
        (None, _) => Weights::None,
        (Some((variant, file)), true) => {
            Weights::Of(Found { path: folder.join(file), variant: Some(variant) })
        }
        (Some((_, first)), false) => {
            Weights::Several(std::iter::once(first).chain(variants.into_values()).collect())
        }
    }
}

/// Returns the preferred file of each variant in `folder`.
fn variants(folder: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut files: Vec<(usize, String, String)> = names
        .filter(|name| folder.join(name).is_file())
        .filter_map(|name| variant_of(&name).map(|(order, variant)| (order, variant, name)))
        .collect();
    files.sort();
    let mut preferred = BTreeMap::new();
    for (_, variant, name) in files {
        preferred.entry(variant).or_insert(name);
    }
    preferred
}

/// Returns the variant that a file's name states, and the position of its full name in [`FULL`].
fn variant_of(name: &str) -> Option<(usize, String)> {
    FULL.iter().enumerate().find_map(|(order, full)| {
        let (before, after) = around_variant(full);
        let variant = name.strip_prefix(before)?.strip_suffix(after)?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let is_name = !variant.is_empty() && variant.bytes().all(plain);
        is_name.then(|| (order, variant.to_owned()))
    })
}

/// Splits a full name where diffusers inserts the variant: before the last extension.
fn around_variant(full: &str) -> (&str, &str) {
    let dot = full.rfind('.').unwrap_or(full.len());
    // Both parts keep their dot: "diffusion_pytorch_model." and ".safetensors".
    (&full[..(dot + 1).min(full.len())], &full[dot..])
}

/// Returns the names to look for in a folder of a repository, in order of preference: full precision, then
/// the common variants of diffusers' names.
pub(crate) fn names_on_the_hub() -> Vec<String> {
    let variants = COMMON_VARIANTS.iter().flat_map(|variant| {
        FULL.iter().take(4).map(move |full| {
            let (before, after) = around_variant(full);
            format!("{before}{variant}{after}")
        })
    });
    FULL.iter().map(|&name| name.to_owned()).chain(variants).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[&str]) -> Weights {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            fs::write(folder.path().join(file), "").unwrap();
        }
        match find_weights(folder.path()) {
            Weights::Of(found) => {
                let path = found.path.strip_prefix(folder.path()).unwrap().to_owned();
                Weights::Of(Found { path, ..found })
            }
            other => other,
        }
    }

    fn of(path: &str, variant: Option<&str>) -> Weights {
        Weights::Of(Found { path: path.into(), variant: variant.map(str::to_owned) })
    }

    #[test]
    fn full_precision_comes_before_variants_and_safetensors_before_pickles() {
        for (index, name) in FULL.iter().enumerate() {
            let mut files = FULL[index..].to_vec();
            files.push("diffusion_pytorch_model.fp16.safetensors");
            assert_eq!(found(&files), of(name, None));
        }
    }

    #[test]
    fn takes_the_only_variant_in_its_preferred_form() {
        let shards = [
            "diffusion_pytorch_model.fp16-00001-of-00002.safetensors",
            "diffusion_pytorch_model.safetensors.index.fp16.json",
            "diffusion_pytorch_model.fp16.bin",
            "config.json",
        ];
        let index = "diffusion_pytorch_model.safetensors.index.fp16.json";
        assert_eq!(found(&shards), of(index, Some("fp16")));
        assert_eq!(found(&["pytorch_model.bf16.bin"]), of("pytorch_model.bf16.bin", Some("bf16")));
        let name = "diffusion_pytorch_model.non_ema.safetensors";
        assert_eq!(found(&[name]), of(name, Some("non_ema")));
    }

    #[test]
    fn lists_several_variants_and_finds_none_in_other_files() {
        let two = ["diffusion_pytorch_model.bf16.bin", "diffusion_pytorch_model.fp16.safetensors"];
        assert_eq!(found(&two), Weights::Several(two.map(str::to_owned).to_vec()));
        assert_eq!(found(&["config.json", "optimizer.bin"]), Weights::None);
        assert_eq!(found(&["diffusion_pytorch_model-00001-of-00002.safetensors"]), Weights::None);
    }
}
