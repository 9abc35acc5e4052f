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
use ddpo_rollout::reward::{RewardExpression, RewardSpec, Task};

/// The network of a reward, without its last layer.
pub struct Features {
    network: Network,
    input: ImageInput,
}

enum Network {
    Vit(VitClassifier),
    Clip(ClipVision),
}

/// Returns the first task of an expression that uses a network.
fn network_task(reward: &RewardExpression) -> Option<Task> {
    let tasks = reward.terms().iter().filter_map(|term| term.source.task());
    tasks.into_iter().find(|task| task.is_age() || *task == Task::AestheticScore)
}

impl Features {
    /// Returns whether a reward has a network that can embed images.
    pub fn exist(reward: &RewardExpression) -> bool {
        network_task(reward).is_some()
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
        let Some(task) = network_task(reward) else { return Ok(None) };
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
