//! How much people like a picture: CLIP's unit embedding through the LAION head.

use ddpo_checkpoint::resolve_file;
use ddpo_rollout::image::RgbImage;
use ddpo_rollout::score::{Component, Score};

use crate::error::RewardError;
use crate::learned::options::{AESTHETIC_HEAD, AESTHETIC_MODEL, RewardOptions};
use crate::learned::scoring::Eye;
use crate::model::{RewardDescription, RewardModel};
use crate::task::Task;
use crate::vision::clip::{ClipVision, unit_length};
use crate::vision::error::VisionError;
use crate::vision::head::{AestheticHead, WIDTH};
use crate::vision::preprocess::config::Family;
use crate::vision::source;

const COMPONENT: &str = "aesthetic_score";

/// Rewards the score, about 1 to 10.
pub struct AestheticReward {
    network: ClipVision,
    head: AestheticHead,
    eye: Eye,
}

impl AestheticReward {
    /// Opens the CLIP and the head that the options name. A download tells `progress` what it does.
    ///
    /// # Errors
    /// [`VisionError`]; [`VisionError::HeadWidth`] where the two do not fit each other.
    pub fn open(
        options: &RewardOptions,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Self, VisionError> {
        // The small file first: what is wrong with it is known before gigabytes are fetched.
        let head = options.aesthetic_head.as_deref().unwrap_or(AESTHETIC_HEAD);
        let path = resolve_file(head, progress)?;
        let head = AestheticHead::open(&path, options.device)?;
        let source = source::open(options.model.as_deref().unwrap_or(AESTHETIC_MODEL), progress)?;
        let network = ClipVision::open(&source.folder, options.kind, options.device)?;
        let tower = network.config().projection_dim;
        if tower != WIDTH {
            return Err(VisionError::HeadWidth { path, head: WIDTH, tower });
        }
        let eye = Eye::open(&source.folder, Family::Clip, &network.config().tower, options)?;
        Ok(Self { network, head, eye })
    }
}

impl RewardModel for AestheticReward {
    fn describe(&self) -> RewardDescription {
        RewardDescription {
            name: Task::AestheticScore.name().to_owned(),
            unit: "score".to_owned(),
            components: vec![COMPONENT.to_owned()],
        }
    }

    fn score(&mut self, images: &[RgbImage]) -> Result<Vec<Score>, RewardError> {
        let scores = self.eye.look(images, |pixels| {
            self.head.forward(&unit_length(&self.network.forward(pixels)))
        })?;
        let score = |value: f32| Score {
            reward: value,
            components: vec![Component { name: COMPONENT.to_owned(), value }],
        };
        Ok(scores.into_iter().flatten().map(score).collect())
    }
}
