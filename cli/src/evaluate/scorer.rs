//! Computes all rewards of an evaluation, and the features of the first reward's network.

use crate::evaluate::settings::Settings;
use anyhow::{Result, bail};
use ddpo_rewards::learned::Features;
use ddpo_rewards::part::Part;
use ddpo_rewards::{Image, open_expression, resolve};
use ddpo_rollout::image::{PixelMap, RgbImage};
use ddpo_rollout::reward::{Pinned, RewardSpec};

/// The models.
pub struct Scorer {
    rewards: Vec<Part>,
    pixel_maps: Vec<PixelMap>,
    features: Option<Features>,
}

/// The values of some images: column names, and a row per image.
#[derive(Debug)]
pub struct Values {
    /// Rewards by their labels, components as LABEL/COMPONENT.
    pub columns: Vec<String>,
    /// One row per image.
    pub rows: Vec<Vec<f32>>,
}

/// Pins models and files to the content that the run recorded. Names stay those of the settings, which
/// are absolute paths.
fn take_pins(spec: &mut RewardSpec, recorded: &RewardSpec) {
    let pin = |(mine, theirs): (&mut Pinned, &Pinned)| mine.pin.clone_from(&theirs.pin);
    spec.scripts.iter_mut().zip(&recorded.scripts).for_each(pin);
    if let Some((mine, theirs)) = spec.age.as_mut().zip(recorded.age.as_ref()) {
        pin((&mut mine.model, &theirs.model));
    }
    if let Some((mine, theirs)) = spec.aesthetic.as_mut().zip(recorded.aesthetic.as_ref()) {
        pin((&mut mine.model, &theirs.model));
        pin((&mut mine.head, &theirs.head));
    }
}

impl Scorer {
    /// Opens all models before anything is drawn.
    pub fn open(settings: &Settings) -> Result<Self> {
        let aside = &mut crate::output::aside;
        let mut spec = resolve(&settings.rewards, aside)?;
        if let Some(recorded) = &settings.recorded {
            take_pins(&mut spec, recorded);
        }
        let runtime = &settings.runtime;
        let first = &spec.reward;
        let mut rewards = Vec::new();
        // A run may name its reward among the held-out ones; one column is enough.
        let held_out = spec.held_out.iter().filter(|held| held.label() != first.label());
        for reward in std::iter::once(first).chain(held_out) {
            let model = open_expression(&spec, reward, runtime, aside)?;
            rewards.push(Part::new(reward.label(), model));
        }
        let features = match settings.asked.features {
            true => Features::of(first, &spec, runtime, aside)?,
            false => None,
        };
        Ok(Self { rewards, pixel_maps: spec.pixel_maps(), features })
    }

    /// Returns the maps that [images of states](Image::of_state) must have.
    pub fn pixel_maps(&self) -> &[PixelMap] {
        &self.pixel_maps
    }

    /// Returns rewards and components of images.
    pub fn values(&mut self, images: &[Image]) -> Result<Values> {
        let mut columns = Vec::new();
        let mut rows = vec![Vec::new(); images.len()];
        for reward in &mut self.rewards {
            let mut names: Option<Vec<String>> = None;
            for (score, row) in reward.score_states(images)?.into_iter().zip(&mut rows) {
                let (labels, values): (Vec<_>, Vec<_>) =
                    reward.components(score).into_iter().map(|one| (one.name, one.value)).unzip();
                row.extend(values);
                if labels != *names.get_or_insert_with(|| labels.clone()) {
                    bail!("{}: expected the same components for every image", labels[0]);
                }
            }
            columns.extend(names.unwrap_or_default());
        }
        Ok(Values { columns, rows })
    }

    /// Returns the rewards without components.
    pub fn rewards(&mut self, images: &[Image]) -> Result<Vec<Vec<f32>>> {
        let mut rows = vec![Vec::new(); images.len()];
        for reward in &mut self.rewards {
            let scores = reward.score_states(images)?;
            scores.iter().zip(&mut rows).for_each(|(score, row)| row.push(score.reward));
        }
        Ok(rows)
    }

    /// Returns the first reward's features of images; `None` if it has no network.
    pub fn features(&self, images: &[RgbImage]) -> Result<Option<Vec<Vec<f32>>>> {
        Ok(self.features.as_ref().map(|features| features.look(images)).transpose()?)
    }
}
