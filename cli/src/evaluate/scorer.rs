//! All rewards of an evaluation, and what the first reward's network sees.

use crate::evaluate::settings::Settings;
use anyhow::{Result, bail};
use ddpo_rewarder::learned::Features;
use ddpo_rewarder::{RewardModel, RewardSource, Task, check, reward_for};
use ddpo_rollout::image::RgbImage;
use ddpo_rollout::reward::RewardExpression;
use ddpo_rollout::score::Score;

/// The models.
pub struct Scorer {
    models: Vec<(String, Box<dyn RewardModel>)>,
    features: Option<Features>,
}

/// The values of some images: names, and a row for each image.
#[derive(Debug)]
pub struct Values {
    /// Rewards by their labels, components as LABEL/COMPONENT.
    pub columns: Vec<String>,
    /// One row an image.
    pub rows: Vec<Vec<f32>>,
}

/// Whether the first reward is a network's, so that its features can be kept.
pub fn has_network(rewards: &[RewardExpression]) -> Result<bool> {
    let Some(first) = rewards.first() else { return Ok(false) };
    let learned = |source: &RewardSource| {
        matches!(source, RewardSource::Task(Task::Under30 | Task::Over50 | Task::AestheticScore))
    };
    Ok(RewardSource::of(first)?.iter().any(learned))
}

impl Scorer {
    /// Opens everything, before anything is drawn.
    pub fn open(settings: &Settings) -> Result<Self> {
        let (options, aside) = (&settings.reward_options, &mut crate::output::aside);
        let mut sources = Vec::new();
        for reward in &settings.rewards {
            sources.extend(RewardSource::of(reward)?);
        }
        RewardSource::share_network(&sources, options)?;
        let mut models = Vec::new();
        for reward in &settings.rewards {
            models.push((reward.label(), reward_for(reward, options, aside)?));
        }
        let features = match (settings.asked.features, settings.rewards.first()) {
            (true, Some(first)) => Features::of(first, options, aside)?,
            _ => None,
        };
        Ok(Self { models, features })
    }

    /// Rewards and components of images.
    pub fn values(&mut self, images: &[RgbImage]) -> Result<Values> {
        let mut columns = Vec::new();
        let mut rows = vec![Vec::new(); images.len()];
        for (label, model) in &mut self.models {
            let scores = model.score(images)?;
            check(images, &scores)?;
            let Some(first) = scores.first() else { continue };
            columns.extend(names(label, first));
            for (score, row) in scores.iter().zip(&mut rows) {
                if names(label, score) != names(label, first) {
                    bail!("{label}: expected the same components for every image");
                }
                row.push(score.reward);
                row.extend(score.components.iter().map(|component| component.value));
            }
        }
        Ok(Values { columns, rows })
    }

    /// The rewards alone.
    pub fn rewards(&mut self, images: &[RgbImage]) -> Result<Vec<Vec<f32>>> {
        let mut rows = vec![Vec::new(); images.len()];
        for (_, model) in &mut self.models {
            let scores = model.score(images)?;
            check(images, &scores)?;
            scores.iter().zip(&mut rows).for_each(|(score, row)| row.push(score.reward));
        }
        Ok(rows)
    }

    /// The first reward's features of images; none where it has no network.
    pub fn features(&self, images: &[RgbImage]) -> Result<Option<Vec<Vec<f32>>>> {
        Ok(self.features.as_ref().map(|features| features.look(images)).transpose()?)
    }
}

fn names(label: &str, score: &Score) -> Vec<String> {
    let components = score.components.iter();
    let inner = components.map(|component| format!("{label}/{}", component.name));
    std::iter::once(label.to_owned()).chain(inner).collect()
}
