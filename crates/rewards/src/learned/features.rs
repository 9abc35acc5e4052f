//! Image embeddings from a reward's network, to measure the similarity of images.

use crate::error::RewardError;
use crate::learned::network::ImageInput;
use crate::open::{aesthetic, age};
use crate::pinned::OpenModel;
use crate::runtime::RewardRuntime;
use crate::vision::clip::{ClipVision, unit_length};
use crate::vision::preprocess::config::Family;
use crate::vision::vit::VitClassifier;
use ddpo_diffusion::dtype::TorchKind;
use ddpo_rollout::image::RgbImage;
use ddpo_rollout::reward::{RewardExpression, RewardSpec};

/// The network of a reward, without its last layer.
pub struct Features {
    network: Network,
    input: ImageInput,
}

enum Network {
    Vit(VitClassifier),
    Clip(ClipVision),
}

impl Features {
    /// Returns whether a reward has a network that can embed images.
    pub fn exist(reward: &RewardExpression) -> bool {
        reward.network_task().is_some()
    }

    /// Opens the network of the first term that has one; `None` if no term has one. Reports downloads
    /// to `progress`.
    ///
    /// # Errors
    /// [`RewardError`] if the network cannot be found or read.
    pub fn of(
        reward: &RewardExpression,
        spec: &RewardSpec,
        runtime: &RewardRuntime,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Option<Self>, RewardError> {
        let kind = spec.dtype.kind();
        let Some(task) = reward.network_task() else { return Ok(None) };
        let (network, input) = if task.is_age() {
            let model = OpenModel::pinned(&age(spec)?.model, progress)?;
            let network = VitClassifier::open(&model.folder, kind, runtime.device)?;
            let tower = &network.config().tower;
            let input = ImageInput::open(&model.folder, Family::Vit, tower, runtime)?;
            (Network::Vit(network), input)
        } else {
            let model = OpenModel::pinned(&aesthetic(spec)?.model, progress)?;
            let network = ClipVision::open(&model.folder, kind, runtime.device)?;
            let tower = &network.config().tower;
            let input = ImageInput::open(&model.folder, Family::Clip, tower, runtime)?;
            (Network::Clip(network), input)
        };
        Ok(Some(Self { network, input }))
    }

    /// Returns a unit vector for each image: CLIP's embedding, or the class token before a classifier's
    /// last layer.
    ///
    /// # Errors
    /// [`RewardError`] names the index of an image that cannot be preprocessed.
    pub fn look(&self, images: &[RgbImage]) -> Result<Vec<Vec<f32>>, RewardError> {
        self.input.run(images, |pixels| {
            unit_length(&match &self.network {
                Network::Vit(network) => network.features(pixels),
                Network::Clip(network) => network.forward(pixels),
            })
        })
    }
}
