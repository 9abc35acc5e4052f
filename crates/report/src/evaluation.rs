//! The folder that `ddpo evaluate` writes: request, images and tables.
//!
//! ```text
//!   evaluation.json          the request and the checkpoints
//!   images/NAME/eta-1/650-000003.png   sample 3 of seed 650
//!   features/NAME/eta-1.npy  features of the reward's network, a row per image, if it has one
//!   rewards.csv              checkpoint, eta, seed, sample, then rewards and their components
//!   reward_trajectory.csv    the reward of the predicted image at each step
//!   summary.json             see `summary`
//! ```

use crate::error::ReportError;
use crate::files::read_text;
use crate::summary::{ScoreSheet, ScoredImage};
use crate::table::Table;
use ddpo_rollout::trajectory::StateDtype;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Columns of `rewards.csv` before the values.
pub const KEYS: [&str; 4] = ["checkpoint", "eta", "seed", "sample"];

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
        let image = |(at, row): (usize, &Vec<String>)| {
            scored(row).ok_or_else(|| {
                ReportError::file(&path, format!("row {}: expected numbers", at + 2))
            })
        };
        let images = table.rows.iter().enumerate().map(image).collect::<Result<_, _>>()?;
        Ok(ScoreSheet { columns: table.columns[KEYS.len()..].to_vec(), images })
    }
}

fn scored(row: &[String]) -> Option<ScoredImage> {
    let values = row[KEYS.len()..].iter().map(|value| value.parse::<f32>());
    Some(ScoredImage {
        checkpoint: row[0].clone(),
        eta: row[1].parse().ok()?,
        seed: row[2].parse().ok()?,
        sample: row[3].parse().ok()?,
        values: values.collect::<Result<_, _>>().ok()?,
    })
}

/// Returns the text of `rewards.csv`.
pub fn rewards_csv(sheet: &ScoreSheet) -> String {
    let keys = KEYS.map(str::to_owned).to_vec();
    let row = |image: &ScoredImage| {
        let ScoredImage { checkpoint, eta, seed, sample, values } = image;
        let keys =
            [checkpoint.clone(), eta.to_string(), seed.to_string(), sample.to_string()].into_iter();
        keys.chain(values.iter().map(f32::to_string)).collect()
    };
    let rows = sheet.images.iter().map(row).collect();
    Table { columns: [keys, sheet.columns.clone()].concat(), rows }.to_csv()
}
