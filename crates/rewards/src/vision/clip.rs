//! `CLIPVisionModelWithProjection` (transformers 5.8, `models/clip/modeling_clip.py`).

use ddpo_checkpoint::ModelFolder;
use ddpo_diffusion::layers::{Bias, LayerNorm, Linear};
use ddpo_diffusion::parameters::{Layout, Parameters, Path};
use tch::{Device, Kind, Tensor};

use crate::vision::config::ClipConfig;
use crate::vision::encoder::{BlockNames, Encoder};
use crate::vision::error::VisionError;
use crate::vision::patches::Patches;
use crate::vision::weights::{in_config, load, targets};

const NAMES: BlockNames = BlockNames {
    norm1: "layer_norm1",
    attention: "self_attn",
    qkv: ["q_proj", "k_proj", "v_proj"],
    out: "self_attn.out_proj",
    norm2: "layer_norm2",
    up: "mlp.fc1",
    down: "mlp.fc2",
};

/// The vision tower and its projection, with their weights.
#[derive(Debug)]
pub struct ClipVision {
    config: ClipConfig,
    parameters: Parameters,
    network: Network,
}

impl ClipVision {
    /// Creates a tower with zeroed parameters of `kind` on `device`, to load weights into.
    pub fn new(config: &ClipConfig, kind: Kind, device: Device) -> Self {
        let mut parameters = Parameters::new(kind, device, Layout::ChannelsFirst);
        let network = Network::new(parameters.root(), config);
        Self { config: config.clone(), parameters, network }
    }

    /// Loads config and weights of a whole CLIP or of its vision model. Ignores the text tower, the
    /// logit scale and the position indices; all other tensors must fit.
    ///
    /// # Errors
    /// [`VisionError`] names the field or the tensors that do not fit.
    pub fn open(folder: &ModelFolder, kind: Kind, device: Device) -> Result<Self, VisionError> {
        let config = ClipConfig::from_json(&folder.config)
            .map_err(|source| in_config(folder, "config.json", source))?;
        load(&folder.weights, config.tower.least_values(), &of_vision, || {
            let model = Self::new(&config, kind, device);
            let targets = targets(&model.parameters);
            (model, targets)
        })
    }

    /// Returns the config.
    pub fn config(&self) -> &ClipConfig {
        &self.config
    }

    /// Returns the parameters, named as in the checkpoint.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Maps normalised pixels f32 `[B, 3, H, W]` of the config's size to image embeddings f32
    /// `[B, projection_dim]` of any length, transformers' `image_embeds`.
    pub fn forward(&self, pixels: &Tensor) -> Tensor {
        let kind = self.parameters.kind();
        tch::no_grad(|| self.network.forward(pixels, kind)).to_kind(Kind::Float)
    }
}

/// Scales embeddings `[B, D]` to length one, for the aesthetic head and for cosine similarity.
pub fn unit_length(embeddings: &Tensor) -> Tensor {
    let length = embeddings.square().sum_dim_intlist([-1].as_slice(), true, Kind::Float).sqrt();
    embeddings / length
}

/// Returns the target name of a tensor of the vision tower; `None` for other tensors.
fn of_vision(name: &str) -> Option<String> {
    let other = name.starts_with("text_model.")
        || ["text_projection.weight", "logit_scale"].contains(&name)
        || name == "vision_model.embeddings.position_ids";
    (!other).then(|| name.to_owned())
}

#[derive(Debug)]
struct Network {
    class_embedding: Tensor,
    position_embedding: Tensor,
    patch_embedding: Patches,
    pre_layrnorm: LayerNorm,
    encoder: Encoder,
    post_layernorm: LayerNorm,
    visual_projection: Linear,
}

impl Network {
    fn new(mut path: Path<'_>, config: &ClipConfig) -> Self {
        let tower = &config.tower;
        let (width, eps) = (tower.hidden_size, tower.layer_norm_eps);
        let mut vision = path.at("vision_model");
        let mut embeddings = vision.at("embeddings");
        let class_embedding = embeddings.tensor("class_embedding", &[width]);
        let position_embedding =
            embeddings.at("position_embedding").tensor("weight", &[tower.tokens(), width]);
        let patches = embeddings.at("patch_embedding");
        let patch_embedding = Patches::new(patches, tower, Bias::Without);
        let projection = config.projection_dim;
        Self {
            class_embedding,
            position_embedding,
            patch_embedding,
            // The misspelling is the checkpoints'.
            pre_layrnorm: LayerNorm::new(vision.at("pre_layrnorm"), width, eps),
            encoder: Encoder::new(vision.at("encoder.layers"), &NAMES, tower),
            post_layernorm: LayerNorm::new(vision.at("post_layernorm"), width, eps),
            visual_projection: Linear::without_bias(
                path.at("visual_projection"),
                width,
                projection,
            ),
        }
    }

    fn forward(&self, pixels: &Tensor, kind: Kind) -> Tensor {
        // 1. tokens: the class's, then the patches', each with its position embedding
        let patches = self.patch_embedding.forward(pixels, kind);
        let class = self.class_embedding.expand([patches.size()[0], 1, -1], false);
        let tokens = Tensor::cat(&[class, patches], 1) + &self.position_embedding;
        // 2. blocks
        let class = self.encoder.forward_class(self.pre_layrnorm.forward(&tokens));
        // 3. projection
        self.visual_projection.forward(&self.post_layernorm.forward(&class))
    }
}
