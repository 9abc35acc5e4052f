//! What a reward's network sees in a picture, before it becomes a number: for looking at how much
//! alike pictures are.

use ddpo_rollout::image::RgbImage;
use ddpo_rollout::reward::RewardExpression;

use crate::error::RewardError;
use crate::learned::options::{AESTHETIC_MODEL, AGE_MODEL, RewardOptions};
use crate::learned::scoring::Eye;
use crate::source::RewardSource;
use crate::vision::clip::{ClipVision, unit_length};
use crate::vision::error::VisionError;
use crate::vision::preprocess::config::Family;
use crate::vision::source;
use crate::vision::vit::VitClassifier;

/// The network of a reward, without its last layer.
pub struct Features {
    network: Network,
    eye: Eye,
}

enum Network {
    Vit(VitClassifier),
    Clip(ClipVision),
}

impl Features {
    /// The network of the first term that has one; none where the reward is made without, or by
    /// somebody else. A download tells `progress` what it does.
    ///
    /// # Errors
    /// [`RewardError`] of what cannot be found or read.
    pub fn of(
        reward: &RewardExpression,
        options: &RewardOptions,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Option<Self>, RewardError> {
        let families = RewardSource::of(reward)?.into_iter();
        Ok(match families.filter_map(|source| source.family()).next() {
            Some(Family::Vit) => Some(Self::vit(options, progress)?),
            Some(Family::Clip) => Some(Self::clip(options, progress)?),
            None => None,
        })
    }

    fn vit(options: &RewardOptions, progress: &mut dyn FnMut(&str)) -> Result<Self, VisionError> {
        let source = source::open(options.model.as_deref().unwrap_or(AGE_MODEL), progress)?;
        let network = VitClassifier::open(&source.folder, options.kind, options.device)?;
        let eye = Eye::open(&source.folder, Family::Vit, &network.config().tower, options)?;
        Ok(Self { network: Network::Vit(network), eye })
    }

    fn clip(options: &RewardOptions, progress: &mut dyn FnMut(&str)) -> Result<Self, VisionError> {
        let source = source::open(options.model.as_deref().unwrap_or(AESTHETIC_MODEL), progress)?;
        let network = ClipVision::open(&source.folder, options.kind, options.device)?;
        let eye = Eye::open(&source.folder, Family::Clip, &network.config().tower, options)?;
        Ok(Self { network: Network::Clip(network), eye })
    }

    /// A row of length one for each picture: CLIP's embedding, or the class token that a
    /// classifier's last layer is given.
    ///
    /// # Errors
    /// [`RewardError`] that names the index of the picture that cannot be looked at.
    pub fn look(&self, images: &[RgbImage]) -> Result<Vec<Vec<f32>>, RewardError> {
        self.eye.look(images, |pixels| {
            unit_length(&match &self.network {
                Network::Vit(network) => network.features(pixels),
                Network::Clip(network) => network.forward(pixels),
            })
        })
    }
}
