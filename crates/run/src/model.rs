//! Loads a pipeline: its configs and its weights.

use crate::embedded;
use ddpo_checkpoint::{
    LayoutError, LoadError, PipelineFolder, ResolveError, TensorFile, TensorFileError, UnpackError,
    averaged_weights, load_into, modern_attention_name, open_pipeline, resolve,
};
use ddpo_diffusion::scheduler::MAX_THRESHOLDED_VALUES;
use ddpo_diffusion::scheduler::config::{SchedulerConfig, SchedulerError};
use ddpo_diffusion::unet::UNet;
use ddpo_diffusion::unet::classes::ClassError;
use ddpo_diffusion::unet::config::{ConfigError, UNetConfig};
use ddpo_rollout::classes::ClassList;
use ddpo_rollout::trajectory::StateShape;
use serde::Serialize;
use serde_json::{Map, Value};
use std::path::{Path, PathBuf};
use tch::{Device, Kind};
use tempfile::TempDir;
use thiserror::Error;

/// Errors from opening a pipeline.
#[derive(Debug, Error)]
pub enum ModelError {
    /// The embedded model could not be unpacked.
    #[error(transparent)]
    Unpack(#[from] UnpackError),
    /// The name could not be resolved to a folder.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The folder is not a pipeline.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// `unet/config.json` is not supported.
    #[error("checkpoint {name}: {source}")]
    UNet {
        /// The checkpoint.
        name: String,
        /// What is wrong with it.
        source: ConfigError,
    },
    /// `scheduler_config.json` is not supported.
    #[error("checkpoint {name}: {source}")]
    Scheduler {
        /// The checkpoint.
        name: String,
        /// What is wrong with it.
        source: SchedulerError,
    },
    /// `out_channels` differs from `in_channels`.
    #[error(
        "checkpoint {name}: `out_channels` = {found}: expected {expected}, equal to `in_channels`"
    )]
    OutChannels {
        /// The checkpoint.
        name: String,
        /// `out_channels`.
        found: i64,
        /// `in_channels`.
        expected: i64,
    },
    /// The states are not images with 1 or 3 channels.
    #[error("checkpoint {name}: `in_channels` = {found}: expected 1 or 3, for images")]
    Channels {
        /// The checkpoint.
        name: String,
        /// `in_channels`.
        found: usize,
    },
    /// The scheduler has `thresholding`, and the images are too large for it.
    #[error(
        "checkpoint {name}: `thresholding` = true: expected images of at most \
         {MAX_THRESHOLDED_VALUES} values, found {found}"
    )]
    Thresholding {
        /// The checkpoint.
        name: String,
        /// Values of one image.
        found: usize,
    },
    /// The list of classes does not fit the model.
    #[error("checkpoint {name}: {source}")]
    Classes {
        /// The checkpoint.
        name: String,
        /// What is wrong with the list.
        source: ClassError,
    },
    /// The file of weights is much smaller than the model of the config.
    #[error(
        "`{}`: expected {expected} values, as the config states, found {found}; \
         hint: the weights are those of another config",
        path.display()
    )]
    TooFewValues {
        /// The file.
        path: PathBuf,
        /// Parameters of the model.
        expected: i64,
        /// Values in the file.
        found: i64,
    },
    /// A checkpoint has another config than the model that its weights are loaded into.
    #[error(transparent)]
    OtherConfig(Box<OtherConfig>),
    /// The checkpoint has no averaged weights.
    #[error("{}: not found; the checkpoint keeps no averaged weights", .0.display())]
    NoAverage(PathBuf),
    /// A tensor file cannot be read.
    #[error(transparent)]
    Tensors(#[from] TensorFileError),
    /// A tensor file does not fit.
    #[error(transparent)]
    Load(#[from] LoadError),
}

/// Models with more parameters are built only if their file has at least half as many values.
const MAX_UNSEEN_PARAMETERS: i64 = 1 << 26;

/// The first field in which a checkpoint's config differs from the model's.
#[derive(Debug, Error)]
#[error(
    "checkpoint {name}: {config} config: `{field}` = {found}: expected {expected}, as in {base}; \
     hint: weights of another config start a run as ddpm_ckpt"
)]
pub struct OtherConfig {
    /// The checkpoint.
    name: String,
    /// `unet` or `scheduler`.
    config: &'static str,
    /// The field.
    field: String,
    /// Value of the checkpoint.
    found: String,
    /// Value of the model.
    expected: String,
    /// The model.
    base: String,
}

/// A pipeline whose configs have been read and whose weights can be loaded.
#[derive(Debug)]
pub struct Model {
    name: String,
    folder: PipelineFolder,
    /// Keeps the files of the embedded model on disk while they may be read.
    _embedded: Option<TempDir>,
    unet: UNetConfig,
    /// The scheduler's settings.
    pub scheduler: SchedulerConfig,
    /// Height, width and channels of the images.
    pub shape: StateShape,
}

impl Model {
    /// Finds `name` (a folder, a file of weights, a repository on the Hub, or the embedded model) and
    /// reads its configs. Reports downloads, and parts in an unusual form, to `progress`, line by line.
    ///
    /// # Errors
    /// [`ModelError`] names the checkpoint and the unsupported value.
    pub fn open(name: &str, progress: &mut dyn FnMut(&str)) -> Result<Self, ModelError> {
        let embedded = (name == embedded::NAME && !Path::new(name).exists())
            .then(embedded::unpacked)
            .transpose()?;
        let root = match &embedded {
            Some(folder) => folder.path().to_owned(),
            None => resolve(name, progress)?,
        };
        let folder = open_pipeline(&root)?;
        let (unet, scheduler) = configs(name, &folder)?;
        let notes = folder.notes.iter().cloned();
        let notes = notes.chain(SchedulerConfig::note(&folder.scheduler_config));
        notes.for_each(|note| progress(&note));
        let in_unet = |source| ModelError::UNet { name: name.into(), source };
        let (height, width) = unet.image_size().map_err(in_unet)?;
        let channels = unet.in_channels as usize;
        if unet.out_channels != unet.in_channels {
            let (found, expected) = (unet.out_channels, unet.in_channels);
            return Err(ModelError::OutChannels { name: name.into(), found, expected });
        }
        if channels != 1 && channels != 3 {
            return Err(ModelError::Channels { name: name.into(), found: channels });
        }
        let shape = StateShape { channels, height, width };
        let values = channels * height * width;
        if scheduler.thresholding && values > MAX_THRESHOLDED_VALUES {
            return Err(ModelError::Thresholding { name: name.into(), found: values });
        }
        Ok(Self { name: name.into(), folder, _embedded: embedded, unet, scheduler, shape })
    }

    /// Returns the UNet's config.
    #[must_use]
    pub fn config(&self) -> &UNetConfig {
        &self.unet
    }

    /// Returns the classes of samples: those of `asked`, by default all of the model. `None` for
    /// a model without classes.
    ///
    /// # Errors
    /// [`ModelError::Classes`] if the model does not have the classes of `asked`.
    pub fn classes(&self, asked: Option<&ClassList>) -> Result<Option<ClassList>, ModelError> {
        let refused = |source| ModelError::Classes { name: self.name.clone(), source };
        self.unet.classes(asked).map_err(refused)
    }

    /// Returns the name that the model was opened by.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the model's folder; for a name on the Hub, the folder of the commit in the cache.
    pub fn root(&self) -> &Path {
        &self.folder.root
    }

    /// Checks that the checkpoint in `folder` has the configs of this model. Its weights fit models of
    /// other configs too, such as another `prediction_type`, but mean nothing there.
    ///
    /// # Errors
    /// [`ModelError::OtherConfig`] names the first field that differs, and the errors of
    /// [`Model::open`].
    pub fn check_configs_of(&self, folder: &Path) -> Result<(), ModelError> {
        let name = folder.display().to_string();
        let (unet, scheduler) = configs(&name, &open_pipeline(folder)?)?;
        let difference = difference(&unet, &self.unet)
            .map(|difference| ("unet", difference))
            .or_else(|| Some(("scheduler", difference(&scheduler, &self.scheduler)?)));
        match difference {
            None => Ok(()),
            Some((config, (field, found, expected))) => {
                let base = self.name.clone();
                let other = OtherConfig { name, config, field, found, expected, base };
                Err(ModelError::OtherConfig(Box::new(other)))
            }
        }
    }

    /// Loads the weights in `kind` on `device`.
    ///
    /// # Errors
    /// [`ModelError::Tensors`] and [`ModelError::Load`].
    pub fn load(&self, kind: Kind, device: Device) -> Result<UNet, ModelError> {
        self.load_from(&self.folder.weights, kind, device)
    }

    /// Loads the averaged weights (`unet_ema/`), which checkpoints with `ema_decay` have.
    ///
    /// # Errors
    /// [`ModelError::NoAverage`], [`ModelError::Tensors`] and [`ModelError::Load`].
    pub fn load_averaged(&self, kind: Kind, device: Device) -> Result<UNet, ModelError> {
        let path = averaged_weights(&self.folder.root).ok_or_else(|| {
            let usual = "unet_ema/diffusion_pytorch_model.safetensors";
            ModelError::NoAverage(self.folder.root.join(usual))
        })?;
        self.load_from(&path, kind, device)
    }

    fn load_from(&self, path: &Path, kind: Kind, device: Device) -> Result<UNet, ModelError> {
        let file = TensorFile::open(path)?;
        let (expected, found) = (self.unet.parameter_count(), file.values());
        if expected > MAX_UNSEEN_PARAMETERS && found < expected / 2 {
            return Err(ModelError::TooFewValues { path: path.into(), expected, found });
        }
        let unet = UNet::new(&self.unet, kind, device);
        load_into(&file, unet.parameters().entries(), &modern_attention_name)?;
        Ok(unet)
    }

    /// Returns the text of `scheduler_config.json`, which checkpoints keep unchanged.
    pub fn scheduler_text(&self) -> &str {
        &self.folder.scheduler_config
    }

    /// Returns the text of `unet/config.json`, to build the same network elsewhere.
    pub fn unet_text(&self) -> &str {
        &self.folder.unet_config
    }
}

fn configs(
    name: &str,
    folder: &PipelineFolder,
) -> Result<(UNetConfig, SchedulerConfig), ModelError> {
    let unet = UNetConfig::from_json(&folder.unet_config)
        .map_err(|source| ModelError::UNet { name: name.into(), source })?;
    let scheduler = SchedulerConfig::from_json(&folder.scheduler_config)
        .map_err(|source| ModelError::Scheduler { name: name.into(), source })?;
    Ok((unet, scheduler))
}

/// Returns name and values of the first field that differs.
fn difference(
    found: &impl Serialize,
    expected: &impl Serialize,
) -> Option<(String, String, String)> {
    let fields = |config: Result<Value, _>| match config {
        Ok(Value::Object(fields)) => fields,
        // Configs are structs.
        _ => Map::new(),
    };
    let found = fields(serde_json::to_value(found));
    let expected = fields(serde_json::to_value(expected));
    let mut pairs = found.into_iter().zip(expected);
    let ((name, found), (_, expected)) = pairs.find(|(one, other)| one != other)?;
    Some((name, shown(&found), shown(&expected)))
}

/// Returns a value for a message; of a long list, such as betas, its length.
fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(list) if list.len() > 16 => format!("a list of {}", list.len()),
        other => other.to_string(),
    }
}
