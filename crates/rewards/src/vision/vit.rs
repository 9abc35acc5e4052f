//! `ViTForImageClassification` (transformers 5.8, `models/vit/modeling_vit.py`).

use ddpo_checkpoint::ModelFolder;
use ddpo_diffusion::layers::{Bias, LayerNorm, Linear};
use ddpo_diffusion::parameters::{Layout, Parameters, Path};
use tch::{Device, Kind, Tensor};

use crate::vision::config::VitConfig;
use crate::vision::encoder::{BlockNames, Encoder};
use crate::vision::error::VisionError;
use crate::vision::patches::Patches;
use crate::vision::weights::{in_config, load, targets};

const NAMES: BlockNames = BlockNames {
    norm1: "layernorm_before",
    attention: "attention.attention",
    qkv: ["query", "key", "value"],
    out: "attention.output.dense",
    norm2: "layernorm_after",
    up: "intermediate.dense",
    down: "output.dense",
};

/// The classifier with its weights.
#[derive(Debug)]
pub struct VitClassifier {
    config: VitConfig,
    parameters: Parameters,
    network: Network,
}

impl VitClassifier {
    /// Creates a classifier with zeroed parameters of `kind` on `device`, to load weights into.
    pub fn new(config: &VitConfig, kind: Kind, device: Device) -> Self {
        let mut parameters = Parameters::new(kind, device, Layout::ChannelsFirst);
        let network = Network::new(parameters.root(), config);
        Self { config: config.clone(), parameters, network }
    }

    /// Loads config and weights. Ignores the pooler that some checkpoints have and the classifier
    /// does not use; all other tensors must fit.
    ///
    /// # Errors
    /// [`VisionError`] names the field or the tensors that do not fit.
    pub fn open(folder: &ModelFolder, kind: Kind, device: Device) -> Result<Self, VisionError> {
        let config = VitConfig::from_json(&folder.config)
            .map_err(|source| in_config(folder, "config.json", source))?;
        let kept = |name: &str| (!name.starts_with("vit.pooler.dense.")).then(|| name.to_owned());
        load(&folder.weights, config.tower.least_values(), &kept, || {
            let model = Self::new(&config, kind, device);
            let targets = targets(&model.parameters);
            (model, targets)
        })
    }

    /// Returns the config.
    pub fn config(&self) -> &VitConfig {
        &self.config
    }

    /// Returns the parameters, named as in the checkpoint.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Returns the parameters, for training.
    pub fn parameters_mut(&mut self) -> &mut Parameters {
        &mut self.parameters
    }

    /// [`VitClassifier::forward`] with autograd, for training. Rebuilds the network from the
    /// parameters, because the network joins queries, keys and values in one tensor, which would cut
    /// the parameters off from their gradients.
    pub fn forward_recorded(&self, pixels: &Tensor) -> Tensor {
        let mut shared = Parameters::sharing(&self.parameters);
        let network = Network::new(shared.root(), &self.config);
        network.forward(pixels, self.parameters.kind()).to_kind(Kind::Float)
    }

    /// Maps normalised pixels f32 `[B, 3, H, W]` of the config's size to logits f32 `[B, classes]`.
    pub fn forward(&self, pixels: &Tensor) -> Tensor {
        let kind = self.parameters.kind();
        tch::no_grad(|| self.network.forward(pixels, kind)).to_kind(Kind::Float)
    }

    /// Maps pixels, as for [`VitClassifier::forward`], to the input of the last layer: the class token
    /// after the last norm, f32 `[B, C]`.
    pub fn features(&self, pixels: &Tensor) -> Tensor {
        let kind = self.parameters.kind();
        tch::no_grad(|| self.network.features(pixels, kind)).to_kind(Kind::Float)
    }
}

#[derive(Debug)]
struct Network {
    cls_token: Tensor,
    position_embeddings: Tensor,
    patch_embeddings: Patches,
    encoder: Encoder,
    layernorm: LayerNorm,
    classifier: Linear,
}

impl Network {
    fn new(mut path: Path<'_>, config: &VitConfig) -> Self {
        let tower = &config.tower;
        let width = tower.hidden_size;
        let mut vit = path.at("vit");
        let mut embeddings = vit.at("embeddings");
        let cls_token = embeddings.tensor("cls_token", &[1, 1, width]);
        let position_embeddings =
            embeddings.tensor("position_embeddings", &[1, tower.tokens(), width]);
        let patches = embeddings.at("patch_embeddings.projection");
        let patch_embeddings = Patches::new(patches, tower, Bias::With);
        Self {
            cls_token,
            position_embeddings,
            patch_embeddings,
            encoder: Encoder::new(vit.at("encoder.layer"), &NAMES, tower),
            layernorm: LayerNorm::new(vit.at("layernorm"), width, tower.layer_norm_eps),
            classifier: Linear::new(path.at("classifier"), width, config.labels.len() as i64),
        }
    }

    fn forward(&self, pixels: &Tensor, kind: Kind) -> Tensor {
        // 3. head
        self.classifier.forward(&self.features(pixels, kind))
    }

    fn features(&self, pixels: &Tensor, kind: Kind) -> Tensor {
        // 1. tokens: the class's, then the patches', each with its position embedding
        let patches = self.patch_embeddings.forward(pixels, kind);
        let class = self.cls_token.expand([patches.size()[0], 1, -1], false);
        let tokens = Tensor::cat(&[class, patches], 1) + &self.position_embeddings;
        // 2. blocks
        self.layernorm.forward(&self.encoder.forward_class(tokens))
    }
}
