//! The images that a report shows: the same noise through every checkpoint, with their scores. They
//! come from the folder of an evaluation, or are cut out of the grids that the run itself wrote.

use crate::error::ReportError;
use crate::evaluation::EvaluationFolder;
use crate::features::read_npy;
use crate::run::Run;
use crate::summary::{ScoreSheet, ScoredImage};
use ddpo_picture::{MOST_SHOWN, cells_of, read_image, square_layout};
use ddpo_rollout::image::RgbImage;
use nalgebra::DMatrix;
use std::path::Path;

/// One checkpoint's images.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its name.
    pub name: String,
    /// Epochs of training.
    pub epoch: Option<u32>,
    /// Its images, in the order of the gallery's noise.
    pub images: Vec<RgbImage>,
    /// Its scores: those of the images first, of further samples behind them.
    pub scores: Vec<ScoredImage>,
    /// The reward network's features of the images.
    pub features: Option<DMatrix<f64>>,
}

impl Shown {
    /// Describes the checkpoint by its epoch, or else by its name.
    #[must_use]
    pub fn when(&self) -> String {
        match self.epoch {
            Some(0) => "before training".into(),
            Some(epoch) => format!("after epoch {epoch}"),
            None => self.name.clone(),
        }
    }
}

/// All of them.
#[derive(Clone, Debug)]
pub struct Gallery {
    /// Names of the values of the scores; the first is the main reward's.
    pub columns: Vec<String>,
    /// How each of the rewards among the columns is called, the main one first.
    pub rewards: Vec<(String, String)>,
    /// The checkpoints in the order of training.
    pub checkpoints: Vec<Shown>,
    /// Where the images come from, in words.
    pub source: String,
}

impl Gallery {
    /// First and last checkpoint; none where there are not two.
    #[must_use]
    pub fn ends(&self) -> Option<(&Shown, &Shown)> {
        let (first, last) = (self.checkpoints.first()?, self.checkpoints.last()?);
        (self.checkpoints.len() > 1).then_some((first, last))
    }

    /// The scores as one sheet.
    #[must_use]
    pub fn sheet(&self) -> ScoreSheet {
        let images = self.checkpoints.iter().flat_map(|one| one.scores.iter().cloned()).collect();
        ScoreSheet { columns: self.columns.clone(), images }
    }

    /// What an evaluation drew at `eta`.
    ///
    /// # Errors
    /// [`ReportError`] names the file.
    pub fn of_evaluation(folder: &EvaluationFolder, eta: f64) -> Result<Self, ReportError> {
        let record = folder.record()?;
        let sheet = folder.scores()?;
        let mut checkpoints = Vec::new();
        for checkpoint in &record.checkpoints {
            let name = &checkpoint.name;
            let own = |image: &&ScoredImage| {
                image.checkpoint == *name && image.eta.to_bits() == eta.to_bits()
            };
            let scores: Vec<ScoredImage> = sheet.images.iter().filter(own).cloned().collect();
            let image = |one: &ScoredImage| {
                Ok(read_image(&folder.image(name, eta, (one.seed, one.sample)))?)
            };
            let images = scores.iter().map(image).collect::<Result<_, ReportError>>()?;
            let features = folder.features(name, eta);
            let features = features.is_file().then(|| read_npy(&features)).transpose()?;
            let (name, epoch) = (name.clone(), checkpoint.epoch);
            checkpoints.push(Shown { name, epoch, images, scores, features });
        }
        let asked = &record.asked;
        let source = format!(
            "{} samples from every checkpoint with the same noise, drawn by ddpo evaluate ({} \
             steps, eta {eta})",
            asked.noise.len(),
            asked.num_inference_steps
        );
        let rewards = asked.rewards.iter().map(|name| (name.clone(), name.clone())).collect();
        Ok(Self { columns: sheet.columns, rewards, checkpoints, source })
    }

    /// What the run's own evaluations kept: all scores, and the images that their grids show, which
    /// are exact: a grid enlarges pixels to squares.
    ///
    /// # Errors
    /// [`ReportError`] names the file, and [`ReportError::File`] a grid that is not exact.
    pub fn of_grids(run: &Run) -> Result<Self, ReportError> {
        let size = image_size(run)?;
        let seed = run.number("eval_rnd_seed").unwrap_or_default() as u64;
        let (mut columns, mut checkpoints) = (Vec::new(), Vec::new());
        for line in &run.evaluations {
            let table = run.evaluation_table(line.epoch)?;
            let name = format!("epoch-{:06}", line.epoch);
            let scores: Vec<ScoredImage> = table
                .rows
                .iter()
                .filter_map(|row| {
                    let values = row[1..].iter().map(|value| value.parse::<f32>());
                    let values = values.collect::<Result<_, _>>().ok()?;
                    let (checkpoint, sample) = (name.clone(), row[0].parse().ok()?);
                    Some(ScoredImage { checkpoint, eta: 1.0, seed, sample, values })
                })
                .collect();
            if scores.len() != table.rows.len() {
                let path = run.evaluation_grid(line.epoch).with_extension("csv");
                return Err(ReportError::file(&path, "expected numbers"));
            }
            let shown = scores.len().min(MOST_SHOWN);
            let images = cut_grid(&run.evaluation_grid(line.epoch), shown, size)?;
            columns = table.columns[1..].to_vec();
            let epoch = Some(line.epoch);
            checkpoints.push(Shown { name, epoch, images, scores, features: None });
        }
        let shown = checkpoints.first().map_or(0, |one| one.images.len());
        let all = checkpoints.first().map_or(0, |one| one.scores.len());
        let source = format!(
            "the run's own evaluations: {all} fixed seeds, of which the grids in eval/ show {shown}"
        );
        let mut rewards = vec![("reward".to_owned(), run.reward())];
        let held_out = columns.iter().filter_map(|name| {
            let inner = name.strip_prefix("eval:")?;
            let known = run.settings.get("eval_reward")?.as_array()?;
            let labels = known.iter().filter_map(toml::Value::as_str);
            // Components of held-out rewards have a slash and more behind their name.
            labels
                .into_iter()
                .any(|label| inner == label || !inner.contains('/'))
                .then(|| (name.clone(), inner.to_owned()))
        });
        rewards.extend(held_out.collect::<Vec<_>>());
        Ok(Self { columns, rewards, checkpoints, source })
    }
}

/// The first `count` images, of this width and height, of a grid that a run wrote.
///
/// # Errors
/// [`ReportError::Picture`], and [`ReportError::File`] for a grid that is not exact.
pub fn cut_grid(
    path: &Path,
    count: usize,
    size: (usize, usize),
) -> Result<Vec<RgbImage>, ReportError> {
    let (columns, scale) = square_layout(count, size.0);
    let sheet = read_image(path)?;
    cells_of(&sheet, count, columns, scale, size).ok_or_else(|| {
        ReportError::file(path, "expected the grid of an evaluation, pixel for pixel")
    })
}

/// Width and height of the run's images, by the config of any of its checkpoints.
fn image_size(run: &Run) -> Result<(usize, usize), ReportError> {
    let folder = run.root.join("checkpoints");
    let entries = std::fs::read_dir(&folder).map_err(ReportError::io(&folder))?;
    let configs = entries.flatten().map(|entry| entry.path().join("unet/config.json"));
    let size = configs.filter_map(|path| {
        let text = std::fs::read_to_string(path).ok()?;
        let config: serde_json::Value = serde_json::from_str(&text).ok()?;
        let side = |value: &serde_json::Value| Some(value.as_u64()? as usize);
        match &config["sample_size"] {
            serde_json::Value::Array(sides) => Some((side(sides.get(1)?)?, side(sides.first()?)?)),
            one => side(one).map(|side| (side, side)),
        }
    });
    let found = size.into_iter().next();
    found.ok_or_else(|| ReportError::file(&folder, "expected a checkpoint with a sample_size"))
}
