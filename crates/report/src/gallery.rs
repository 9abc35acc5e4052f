//! The images of a report: samples of the same noise from every checkpoint, with their scores, read
//! from the folder of an evaluation or from the grids of the run.

use crate::error::ReportError;
use crate::evaluation::{CLASS, EvaluationFolder};
use crate::features::read_npy;
use crate::run::Run;
use crate::summary::{ScoreSheet, ScoredImage};
use ddpo_picture::{MOST_SHOWN, cells_of, read_image, square_layout};
use ddpo_rollout::image::RgbImage;
use nalgebra::DMatrix;
use std::path::Path;

/// The images of one checkpoint.
#[derive(Clone, Debug)]
pub struct Shown {
    /// Its name.
    pub name: String,
    /// Epochs of training.
    pub epoch: Option<u32>,
    /// Its images, in the order of the gallery's noise.
    pub images: Vec<RgbImage>,
    /// Its scores: one for each image, then those of samples without an image.
    pub scores: Vec<ScoredImage>,
    /// The reward network's features of the images.
    pub features: Option<DMatrix<f64>>,
}

impl Shown {
    /// Describes the checkpoint by its epoch, or else by its name.
    pub fn when(&self) -> String {
        match self.epoch {
            Some(0) => "before training".into(),
            Some(epoch) => format!("after epoch {epoch}"),
            None => self.name.clone(),
        }
    }
}

/// The images of all checkpoints.
#[derive(Clone, Debug)]
pub struct Gallery {
    /// Names of the values of the scores; the first is the main reward's.
    pub columns: Vec<String>,
    /// Column and displayed name of each reward, the main one first.
    pub rewards: Vec<(String, String)>,
    /// The checkpoints in the order of training.
    pub checkpoints: Vec<Shown>,
    /// Source of the images, as text.
    pub source: String,
}

impl Gallery {
    /// Returns the first and the last checkpoint; `None` if there are fewer than two.
    pub fn ends(&self) -> Option<(&Shown, &Shown)> {
        let (first, last) = (self.checkpoints.first()?, self.checkpoints.last()?);
        (self.checkpoints.len() > 1).then_some((first, last))
    }

    /// Returns all scores as one sheet.
    pub fn sheet(&self) -> ScoreSheet {
        let images = self.checkpoints.iter().flat_map(|one| one.scores.iter().cloned()).collect();
        ScoreSheet { columns: self.columns.clone(), images }
    }

    /// Reads the images that an evaluation sampled at `eta`.
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
        check_sizes(&checkpoints, folder.root())?;
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

    /// Reads the run's own evaluations: all scores, and the images in their grids. The images are
    /// exact, because a grid enlarges each pixel to a square.
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
            let has_classes = table.columns.get(1).is_some_and(|column| column == CLASS);
            let first = 1 + usize::from(has_classes);
            let scores: Vec<ScoredImage> = table
                .rows
                .iter()
                .filter_map(|row| {
                    let values = row[first..].iter().map(|value| value.parse::<f32>());
                    let values = values.collect::<Result<_, _>>().ok()?;
                    let (checkpoint, sample) = (name.clone(), row[0].parse().ok()?);
                    let class = has_classes.then(|| row[1].parse()).transpose().ok()?;
                    Some(ScoredImage { checkpoint, eta: 1.0, seed, sample, class, values })
                })
                .collect();
            if scores.len() != table.rows.len() {
                let path = run.evaluation_grid(line.epoch).with_extension("csv");
                return Err(ReportError::file(&path, "expected numbers"));
            }
            let shown = scores.len().min(MOST_SHOWN);
            let images = cut_grid(&run.evaluation_grid(line.epoch), shown, size)?;
            columns = table.columns[first..].to_vec();
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
            // Components of a held-out reward are named REWARD/COMPONENT.
            labels
                .into_iter()
                .any(|label| inner == label || !inner.contains('/'))
                .then(|| (name.clone(), inner.to_owned()))
        });
        rewards.extend(held_out.collect::<Vec<_>>());
        Ok(Self { columns, rewards, checkpoints, source })
    }
}

/// Checks that all images have one size, and that each has a row of features of one width.
fn check_sizes(checkpoints: &[Shown], root: &Path) -> Result<(), ReportError> {
    let images = || checkpoints.iter().flat_map(|one| &one.images);
    let sizes = images().map(|image| (image.width(), image.height()));
    if let Some(pair) = sizes.clone().zip(sizes.skip(1)).find(|(one, other)| one != other) {
        let ((width, height), (other_width, other_height)) = pair;
        let reason = format!(
            "expected images of one size, found {width}x{height} and {other_width}x{other_height}"
        );
        return Err(ReportError::file(root, reason));
    }
    let mut width = None;
    for one in checkpoints {
        let Some(features) = &one.features else { continue };
        let (found, expected) = (features.shape(), one.images.len());
        if found.0 != expected || *width.get_or_insert(found.1) != found.1 {
            let (name, (rows, columns)) = (&one.name, found);
            let reason = format!(
                "expected a row of features for each of {expected} images of {name}, as wide as the \
                 first checkpoint's; found {rows} rows of {columns}"
            );
            return Err(ReportError::file(root, reason));
        }
    }
    Ok(())
}

/// Cuts the first `count` images, of this width and height, out of a grid that a run wrote.
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

/// Reads the width and height of the run's images from the config of any of its checkpoints.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(sizes: &[usize], features: Option<(usize, usize)>) -> Shown {
        let image = |side: &usize| RgbImage::new(*side, *side, vec![0; side * side * 3]).unwrap();
        Shown {
            name: "a".into(),
            epoch: None,
            images: sizes.iter().map(image).collect(),
            scores: Vec::new(),
            features: features.map(|(rows, columns)| DMatrix::zeros(rows, columns)),
        }
    }

    #[test]
    fn rejects_images_and_features_of_different_sizes() {
        let reason = |checkpoints: &[Shown]| {
            check_sizes(checkpoints, Path::new("eval")).err().map(|error| error.to_string())
        };
        let good = || shown(&[2, 2], Some((2, 3)));
        assert_eq!(reason(&[good(), good(), shown(&[2], None)]), None);
        let sizes = reason(&[good(), shown(&[4], None)]).unwrap();
        assert_eq!(sizes, "eval: expected images of one size, found 2x2 and 4x4");
        for wrong in [(1, 3), (2, 4)] {
            let found = reason(&[good(), shown(&[2, 2], Some(wrong))]).unwrap();
            assert!(found.contains("expected a row of features"), "{found}");
        }
    }
}
