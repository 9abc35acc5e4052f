//! The parts that are already drawn: one file per batch, written after its images.

use crate::output::make_folder_of;
use anyhow::{Context, Result, bail};
use ddpo_files::write_file;
use ddpo_report::evaluation::{Asked, CheckpointRecord, EvaluationFolder};
use ddpo_report::statistics::{deviation, mean};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The file that identifies a folder of parts, with the settings that they were drawn for.
const ASKED: &str = "asked.json";

/// One batch of one checkpoint at one eta.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Part {
    /// Digest of the weights.
    pub weights: String,
    /// Names of the values.
    pub columns: Vec<String>,
    /// Seed and sample of each image, in order.
    pub noise: Vec<(u64, u32)>,
    /// Class of each image; empty for a model without classes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub classes: Vec<u32>,
    /// Values of each sample.
    pub values: Vec<Vec<f32>>,
    /// Timesteps of the denoising path.
    pub timesteps: Vec<i64>,
    /// For the first samples: rewards of the predicted image at each step.
    pub paths: Vec<Vec<Vec<f32>>>,
    /// The reward network's features of each sample; empty without a network.
    pub features: Vec<Vec<f32>>,
}

/// The key of a part: checkpoint, bits of eta, and index of the batch. Eta is not negative, so its
/// bits have the order of its values.
type Key = (String, u64, usize);

/// The existing parts of an evaluation.
pub struct Parts {
    folder: EvaluationFolder,
    root: PathBuf,
    parts: BTreeMap<Key, Part>,
}

impl Parts {
    /// Opens the parts of `folder`. Fails if they were drawn with other settings.
    pub fn open(folder: &EvaluationFolder, asked: &Asked) -> Result<Self> {
        let root = folder.root().join("parts");
        let file = root.join(ASKED);
        let text = serde_json::to_string_pretty(asked)? + "\n";
        if file.is_file() {
            let found = fs::read_to_string(&file)
                .with_context(|| format!("could not read {}", file.display()))?;
            if found != text {
                bail!(
                    "{}: expected a new folder or that of an evaluation with these settings, \
                     found other settings ({}); hint: choose another folder",
                    folder.root().display(),
                    differing(&found, &text)
                );
            }
        } else {
            make_folder_of(&file)?;
            write_file(&file, text.as_bytes())?;
        }
        remove_leftovers(folder.root())?;
        Ok(Self { folder: folder.clone(), root, parts: BTreeMap::new() })
    }

    /// Returns the evaluation's folder.
    pub fn folder(&self) -> &EvaluationFolder {
        &self.folder
    }

    fn file(&self, (name, eta, batch): &Key) -> PathBuf {
        self.root.join(format!("{name}/eta-{}/{batch:06}.json", f64::from_bits(*eta)))
    }

    /// Loads a part if it exists and was drawn with these weights, and returns whether it was loaded.
    pub fn take(&mut self, key: Key, weights: &str) -> bool {
        let read = fs::read_to_string(self.file(&key)).ok();
        let part = read.and_then(|text| serde_json::from_str::<Part>(&text).ok());
        match part.filter(|part| part.weights == weights) {
            Some(part) => self.parts.insert(key, part).is_none(),
            None => false,
        }
    }

    /// Writes a part.
    pub fn put(&mut self, key: Key, part: Part) -> Result<()> {
        let path = self.file(&key);
        make_folder_of(&path)?;
        write_file(&path, (serde_json::to_string(&part)? + "\n").as_bytes())?;
        self.parts.insert(key, part);
        Ok(())
    }

    /// Returns the parts of one group, in order.
    pub fn group(&self, name: &str, eta: f64) -> impl Iterator<Item = &Part> {
        let start = (name.to_owned(), eta.to_bits(), 0);
        let end = (name.to_owned(), eta.to_bits(), usize::MAX);
        self.parts.range(start..=end).map(|(_, part)| part)
    }

    /// Formats a summary line of a group.
    pub fn line(&self, record: &CheckpointRecord, eta: f64) -> String {
        let name = &record.name;
        let values: Vec<f64> = self
            .group(name, eta)
            .flat_map(|part| &part.values)
            .map(|row| f64::from(row[0]))
            .collect();
        let (mean, deviation, count) = (mean(&values), deviation(&values), values.len());
        let weights = if record.averaged { "  averaged weights" } else { "" };
        format!("{name}  eta {eta}  {count} samples  reward {mean:.4} ± {deviation:.4}{weights}")
    }
}

/// Removes temporary files of `write_file` that a killed process left.
fn remove_leftovers(folder: &Path) -> Result<()> {
    let refused = || format!("could not clean up {}", folder.display());
    for entry in fs::read_dir(folder).with_context(refused)? {
        let entry = entry.with_context(refused)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if entry.file_type().with_context(refused)?.is_dir() {
            remove_leftovers(&entry.path())?;
        } else if name.starts_with(".tmp-") {
            fs::remove_file(entry.path()).with_context(refused)?;
        }
    }
    Ok(())
}

/// Returns the first line in which two texts differ, apart from commas at its end.
fn differing(found: &str, asked: &str) -> String {
    let clean = |line: &str| line.trim().trim_end_matches(',').to_owned();
    let mut pairs = found.lines().map(clean).zip(asked.lines().map(clean));
    match pairs.find(|(found, asked)| found != asked) {
        Some((found, asked)) => format!("{found} instead of {asked}"),
        None => "another number of settings".to_owned(),
    }
}
