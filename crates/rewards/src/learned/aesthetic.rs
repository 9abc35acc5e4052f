//! The aesthetic score: the LAION head on CLIP's unit embedding.

use crate::error::RewardError;
use crate::learned::network::ImageInput;
use crate::model::{RewardDescription, RewardModel};
use crate::pinned::{OpenModel, file};
use crate::runtime::RewardRuntime;
use crate::vision::clip::{ClipVision, unit_length};
use crate::vision::error::VisionError;
use crate::vision::head::{AestheticHead, WIDTH};
use crate::vision::preprocess::config::Family;
use ddpo_diffusion::dtype::{Dtype, TorchKind};
use ddpo_rollout::image::RgbImage;
use ddpo_rollout::reward::{AestheticSpec, RewardSpec, Task};
use ddpo_rollout::score::{Component, Score};

const COMPONENT: &str = RewardSpec::AESTHETIC_COMPONENT;

/// Rewards the aesthetic score, about 1 to 10.
pub struct AestheticReward {
    network: ClipVision,
    head: AestheticHead,
    input: ImageInput,
}

impl AestheticReward {
    /// Opens the CLIP and the head of `spec`. Reports downloads to `progress`.
    ///
    /// # Errors
    /// [`RewardError::Pin`] and [`RewardError::Vision`]; [`VisionError::HeadWidth`] if the head expects
    /// embeddings of another width.
    pub fn open(
        spec: &AestheticSpec,
        dtype: Dtype,
        runtime: &RewardRuntime,
        progress: &mut dyn FnMut(&str),
    ) -> Result<Self, RewardError> {
        // The small file comes first, so that an error in it appears before gigabytes are downloaded.
        let path = file(&spec.head, progress)?;
        let head = AestheticHead::open(&path, runtime.device)?;
        let model = OpenModel::pinned(&spec.model, progress)?;
        let network = ClipVision::open(&model.folder, dtype.kind(), runtime.device)?;
        let tower = network.config().projection_dim;
        if tower != WIDTH {
            return Err(VisionError::HeadWidth { path, head: WIDTH, tower }.into());
        }
        let input =
            ImageInput::open(&model.folder, Family::Clip, &network.config().tower, runtime)?;
        Ok(Self { network, head, input })
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
        let scores = self
            .input
            .run(images, |pixels| self.head.forward(&unit_length(&self.network.forward(pixels))))?;
        let score = |value: f32| Score {
            reward: value,
            components: vec![Component { name: COMPONENT.to_owned(), value }],
        };
        Ok(scores.into_iter().flatten().map(score).collect())
    }
}
