//! The folder that `ddpo evaluate` writes: what was asked for, the images, the tables.
//!
//! ```text
//!   evaluation.json          what was asked for, and the checkpoints
//!   images/NAME/eta-1/650-000003.png   sample 3 of seed 650
//!   features/NAME/eta-1.npy  the reward network's view of them, a row an image, where there is one
//!   rewards.csv              checkpoint, eta, seed, sample, then rewards and their components
//!   reward_trajectory.csv    the reward of the predicted image at each step
//!   summary.json             see `summary`
//! ```

use crate::error::ReportError;
use crate::files::read_text;
use crate::summary::{ScoreSheet, ScoredImage};
use crate::table::Table;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// Columns of `rewards.csv` before the values.
pub const KEYS: [&str; 4] = ["checkpoint", "eta", "seed", "sample"];

/// What was asked for. Parts that were drawn are used again only where all of this is the same.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// Denoising steps.
    pub num_inference_steps: usize,
    /// ddim or ddpm.
    pub scheduler: String,
    /// The stochasticities, in order.
    pub eta: Vec<f64>,
    /// The rewards, in order; the first is the main one.
    pub rewards: Vec<String>,
    /// What decides a reward besides its name: network, head, kind of age reward, type.
    pub reward_settings: Vec<String>,
    /// Seeds and samples, in order.
    pub noise: Vec<(u64, u32)>,
    /// How many of them have their reward taken at every step.
    pub path_samples: usize,
    /// Samples denoised together: their number has an effect on the last bits.
    pub batch_size: usize,
    /// Type that the UNet runs in.
    pub dtype: String,
    /// Seed of the bootstrap.
    pub bootstrap_seed: u64,
    /// Whether features are kept.
    pub features: bool,
}

/// One checkpoint of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CheckpointRecord {
    /// Its name in tables and folders.
    pub name: String,
    /// Where it came from.
    pub source: String,
    /// Epochs of training, where it is of a run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epoch: Option<u32>,
    /// Digest of the weights.
    pub weights: String,
    /// Whether they are the averaged ones.
    pub averaged: bool,
}

/// `evaluation.json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// What was asked for.
    pub asked: Asked,
    /// The checkpoints, in order; the first is what the others are compared with.
    pub checkpoints: Vec<CheckpointRecord>,
}

/// The folder.
#[derive(Clone, Debug)]
pub struct EvaluationFolder {
    root: PathBuf,
}

impl EvaluationFolder {
    /// The folder at `root`, which need not be there.
    #[must_use]
    pub fn at(root: &Path) -> Self {
        Self { root: root.into() }
    }

    /// The folder itself.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `evaluation.json`.
    #[must_use]
    pub fn record_file(&self) -> PathBuf {
        self.root.join("evaluation.json")
    }

    /// `rewards.csv`.
    #[must_use]
    pub fn rewards_file(&self) -> PathBuf {
        self.root.join("rewards.csv")
    }

    /// `reward_trajectory.csv`.
    #[must_use]
    pub fn trajectory_file(&self) -> PathBuf {
        self.root.join("reward_trajectory.csv")
    }

    /// `summary.json`.
    #[must_use]
    pub fn summary_file(&self) -> PathBuf {
        self.root.join("summary.json")
    }

    /// The image of one sample.
    #[must_use]
    pub fn image(&self, checkpoint: &str, eta: f64, (seed, sample): (u64, u32)) -> PathBuf {
        self.root.join(format!("images/{checkpoint}/eta-{eta}/{seed}-{sample:06}.png"))
    }

    /// The features of one group.
    #[must_use]
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
    /// [`ReportError::Io`], and [`ReportError::File`] for a row that is none.
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

/// `rewards.csv` of a sheet.
#[must_use]
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
