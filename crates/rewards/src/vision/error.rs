//! Errors from opening the network of a learned reward.

use ddpo_checkpoint::{LoadError, TensorFileError};
use ddpo_diffusion::fields::FieldError;
use std::path::PathBuf;
use thiserror::Error;

/// Errors from opening a network.
#[derive(Debug, Error)]
pub enum VisionError {
    /// A config is not supported.
    #[error("reward model `{}`: {file}: {source}", root.display())]
    Config {
        /// The model's folder.
        root: PathBuf,
        /// `config.json`, `preprocessor_config.json` or `processor_config.json`.
        file: &'static str,
        /// What is wrong with it.
        source: FieldError,
    },
    /// A tensor file cannot be read.
    #[error("reward model: {0}")]
    Tensors(#[from] TensorFileError),
    /// A tensor file does not fit the network.
    #[error("reward model: {0}")]
    Load(#[from] LoadError),
    /// The config describes a network with more values than the file has.
    #[error(
        "reward model: `{}` holds {found} values, expected {expected} as config.json describes them",
        path.display()
    )]
    TooFewValues {
        /// The file of weights.
        path: PathBuf,
        /// Values of the network.
        expected: i64,
        /// Values in the file.
        found: i64,
    },
    /// The output of the image processor has another size than the network's input.
    #[error(
        "reward model `{}`: {file} gives images of {found}, config.json expects {expected}",
        root.display()
    )]
    ImageSize {
        /// The model's folder.
        root: PathBuf,
        /// The image processor's file.
        file: &'static str,
        /// Width and height of the network's input.
        expected: String,
        /// Width and height of the processor's output.
        found: String,
    },
    /// The head expects embeddings of another width.
    #[error("aesthetic head `{}`: expected embeddings of {head} values, found {tower} in the model", path.display())]
    HeadWidth {
        /// The head's file.
        path: PathBuf,
        /// Width of the head's input.
        head: i64,
        /// Width of the tower's output.
        tower: i64,
    },
    /// The class labels do not define the ages that the task needs.
    #[error("age classes: {0}; found the labels {1}")]
    Labels(String, String),
}
