//! The folder that `ddpo evaluate` writes: request, images and tables.
//!
//! ```text
//!   evaluation.json          the request and the checkpoints
//!   images/NAME/eta-1/650-000003.png   sample 3 of seed 650
//!   features/NAME/eta-1.npy  features of the reward's network, a row per image, if it has one
//!   rewards.csv              checkpoint, eta, seed, sample, the class if the model has classes, then rewards
//!                            and their components
//!   reward_trajectory.csv    the reward of the predicted image at each step
//!   summary.json             see `summary`
//! ```

use crate::error::ReportError;
use crate::files::read_text;
use crate::summary::{ScoreSheet, ScoredImage};
use crate::table::Table;
use ddpo_rollout::classes::ClassList;
use ddpo_rollout::trajectory::StateDtype;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Columns of `rewards.csv` before the values.
pub const KEYS: [&str; 4] = ["checkpoint", "eta", "seed", "sample"];

/// The column of the classes of a class-conditional model, after the keys.
pub const CLASS: &str = "class";

/// The request. Parts of an earlier evaluation are reused only if their request is equal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// Denoising steps.
    pub num_inference_steps: usize,
    /// `ddim` or `ddpm`.
    pub scheduler: String,
    /// Values of eta (DDIM stochasticity), in order.
    pub eta: Vec<f64>,
    /// The rewards, in order; the first is the main one.
    pub rewards: Vec<String>,
    /// Settings that change a reward: network, head, form of the age reward, dtype, and the map of pixels
    /// if it is upstream's.
    pub reward_settings: Vec<String>,
    /// Seeds and samples, in order.
    pub noise: Vec<(u64, u32)>,
    /// Number of samples whose reward is computed at every step.
    pub path_samples: usize,
    /// Number of samples denoised together; it changes the last bits of images.
    pub batch_size: usize,
    /// Dtype of the UNet.
    pub dtype: String,
    /// The classes of samples, if not all classes of a class-conditional model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class_labels: Option<ClassList>,
    /// Dtype that states are rounded to. Files leave out f32, so that evaluations of older versions can
    /// continue.
    #[serde(default, skip_serializing_if = "is_f32")]
    pub state_dtype: StateDtype,
    /// Seed of the bootstrap.
    pub bootstrap_seed: u64,
    /// Whether features are kept.
    pub features: bool,
}

fn is_f32(dtype: &StateDtype) -> bool {
    *dtype == StateDtype::F32
}

/// One checkpoint of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointRecord {
    /// Its name in tables and folders.
    pub name: String,
    /// Its source.
    pub source: String,
    /// Epochs of training, if it belongs to a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u32>,
    /// Digest of the weights.
    pub weights: String,
    /// Whether they are averaged weights.
    pub averaged: bool,
}

/// `evaluation.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The request.
    pub asked: Asked,
    /// The checkpoints, in order; the others are compared with the first.
    pub checkpoints: Vec<CheckpointRecord>,
}

/// The folder of an evaluation.
#[derive(Clone, Debug)]
pub struct EvaluationFolder {
    root: PathBuf,
}

impl EvaluationFolder {
    /// Refers to the folder at `root`, which may not exist.
    pub fn at(root: &Path) -> Self {
        Self { root: root.into() }
    }

    /// Returns the path of the folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns the path of `evaluation.json`.
    pub fn record_file(&self) -> PathBuf {
        self.root.join("evaluation.json")
    }

    /// Returns the path of `rewards.csv`.
    pub fn rewards_file(&self) -> PathBuf {
        self.root.join("rewards.csv")
    }

    /// Returns the path of `reward_trajectory.csv`.
    pub fn trajectory_file(&self) -> PathBuf {
        self.root.join("reward_trajectory.csv")
    }

    /// Returns the path of `summary.json`.
    pub fn summary_file(&self) -> PathBuf {
        self.root.join("summary.json")
    }

    /// Returns the path of the image of one sample.
    pub fn image(&self, checkpoint: &str, eta: f64, (seed, sample): (u64, u32)) -> PathBuf {
        self.root.join(format!("images/{checkpoint}/eta-{eta}/{seed}-{sample:06}.png"))
    }

    /// Returns the path of the features of one group.
    pub fn features(&self, checkpoint: &str, eta: f64) -> PathBuf {
        self.root.join(format!("features/{checkpoint}/eta-{eta}.npy"))
    }

    /// Reads `evaluation.json`.
    ///
    /// # Errors
    /// [`ReportError::Io`] and [`ReportError::File`].
    pub fn record(&self) -> Result<Record, ReportError> {
        let path = self.record_file();
        let parsed = serde_json::from_str(&read_text(&path)?);
        parsed.map_err(|error| ReportError::file(&path, error.to_string()))
    }

    /// Reads `rewards.csv`.
    ///
    /// # Errors
    /// [`ReportError::Io`], and [`ReportError::File`] for a row that does not parse.
    pub fn scores(&self) -> Result<ScoreSheet, ReportError> {
        let path = self.rewards_file();
        let table = Table::read(&path)?;
        if table.columns.get(..KEYS.len()).is_none_or(|keys| keys != KEYS) {
            let expected = KEYS.join(",");
            return Err(ReportError::file(
                &path,
                format!("expected columns that begin {expected}"),
            ));
        }
        let has_classes = table.columns.get(KEYS.len()).is_some_and(|name| name == CLASS);
        let first = KEYS.len() + usize::from(has_classes);
        let image = |(at, row): (usize, &Vec<String>)| {
            scored(row, first).ok_or_else(|| {
                ReportError::file(&path, format!("row {}: expected numbers", at + 2))
            })
        };
        let images = table.rows.iter().enumerate().map(image).collect::<Result<_, _>>()?;
        Ok(ScoreSheet { columns: table.columns[first..].to_vec(), images })
    }
}

/// Reads a row whose values begin at column `first`, which is after the keys and the class, if there is one.
fn scored(row: &[String], first: usize) -> Option<ScoredImage> {
    let values = row[first..].iter().map(|value| value.parse::<f32>());
    // Checkpoints without classes leave the cell empty.
    let class = row[KEYS.len()..first].first().filter(|cell| !cell.is_empty());
    Some(ScoredImage {
        checkpoint: row[0].clone(),
        eta: row[1].parse().ok()?,
        seed: row[2].parse().ok()?,
        sample: row[3].parse().ok()?,
        class: class.map(|cell| cell.parse()).transpose().ok()?,
        values: values.collect::<Result<_, _>>().ok()?,
    })
}

/// Returns the text of `rewards.csv`.
pub fn rewards_csv(sheet: &ScoreSheet) -> String {
    let has_classes = sheet.images.iter().any(|image| image.class.is_some());
    let mut keys = KEYS.map(str::to_owned).to_vec();
    keys.extend(has_classes.then(|| CLASS.to_owned()));
    let row = |image: &ScoredImage| {
        let ScoredImage { checkpoint, eta, seed, sample, class, values } = image;
        let keys =
            [checkpoint.clone(), eta.to_string(), seed.to_string(), sample.to_string()].into_iter();
        let class = has_classes.then(|| class.map_or_else(String::new, |class| class.to_string()));
        keys.chain(class).chain(values.iter().map(f32::to_string)).collect()
    };
    let rows = sheet.images.iter().map(row).collect();
    Table { columns: [keys, sheet.columns.clone()].concat(), rows }.to_csv()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(checkpoint: &str, class: Option<u32>) -> ScoredImage {
        let checkpoint = checkpoint.to_owned();
        ScoredImage { checkpoint, eta: 1.0, seed: 4, sample: 2, class, values: vec![0.5, -3.0] }
    }

    #[test]
    fn a_table_of_scores_reads_back_with_and_without_classes() {
        let columns = vec!["r".to_owned(), "r/part".to_owned()];
        for images in [
            vec![image("a", None), image("b", None)],
            vec![image("a", Some(7)), image("b", None), image("b", Some(0))],
        ] {
            let root = tempfile::tempdir().unwrap();
            let folder = EvaluationFolder::at(root.path());
            let sheet = ScoreSheet { columns: columns.clone(), images };
            let text = rewards_csv(&sheet);
            let has_classes = sheet.images.iter().any(|image| image.class.is_some());
            assert_eq!(text.starts_with("checkpoint,eta,seed,sample,class,r,"), has_classes);
            std::fs::write(folder.rewards_file(), text).unwrap();
            assert_eq!(folder.scores().unwrap(), sheet);
        }
    }
}
