//! What a reward's network sees in a picture, before it becomes a number: for looking at how much
//! alike pictures are.

use ddpo_rollout::image::RgbImage;
use ddpo_rollout::reward::RewardExpression;

use crate::error::RewardError;
use crate::learned::options::{AESTHETIC_MODEL, AGE_MODEL, RewardOptions};
use crate::learned::scoring::Eye;
use crate::source::RewardSource;
use crate::task::Task;
use crate::vision::clip::{ClipVision, unit_length};
use crate::vision::error::VisionError;
use crate::vision::preprocess::config::Family;
use crate::vision::source;
use crate::vision::vit::VitClassifier;

/// The network of a reward, without its last layer.
pub struct Features {
    name: String,
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
        for reward in RewardSource::of(reward)? {
            match reward {
                RewardSource::Task(Task::Under30 | Task::Over50) => {
                    return Ok(Some(Self::vit(options, progress)?));
                }
                RewardSource::Task(Task::AestheticScore) => {
                    return Ok(Some(Self::clip(options, progress)?));
                }
                _ => {}
            }
        }
        Ok(None)
    }

    fn vit(options: &RewardOptions, progress: &mut dyn FnMut(&str)) -> Result<Self, VisionError> {
        let name = options.model.clone().unwrap_or_else(|| AGE_MODEL.to_owned());
        let source = source::open(&name, progress)?;
        let network = VitClassifier::open(&source.folder, options.kind, options.device)?;
        let eye = Eye::open(&source.folder, Family::Vit, &network.config().tower, options)?;
        Ok(Self { name, network: Network::Vit(network), eye })
    }

    fn clip(options: &RewardOptions, progress: &mut dyn FnMut(&str)) -> Result<Self, VisionError> {
        let name = options.model.clone().unwrap_or_else(|| AESTHETIC_MODEL.to_owned());
        let source = source::open(&name, progress)?;
        let network = ClipVision::open(&source.folder, options.kind, options.device)?;
        let eye = Eye::open(&source.folder, Family::Clip, &network.config().tower, options)?;
        Ok(Self { name, network: Network::Clip(network), eye })
    }

    /// Name of the network.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
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
