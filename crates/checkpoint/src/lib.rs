//! Checkpoints in diffusers' layout: reading, strict loading, writing, and the Hugging Face Hub.
//!
//! To load: [`resolve()`] turns the name of a folder or repository into a folder, [`open_pipeline`]
//! finds its configs and weights, and [`load_into`] fills the tensors of a network. To save:
//! [`save_pipeline`] writes the same layout into a folder that [`ddpo_files::publish_folder`] publishes
//! atomically.
//!
//! The crate does not depend on any network: it handles JSON texts and tensors. Pickles are never
//! executed: the parser supports the few opcodes that describe tensors and rejects everything else.
//!
//! Sources: diffusers 0.42 (`pipelines/pipeline_utils.py`, `models/modeling_utils.py`), the
//! safetensors format, PyTorch 2.11 (`torch/serialization.py`, `torch/_utils.py`) and
//! huggingface_hub 1.x (`file_download.py`) for the layout of the cache.

mod archive_writer;
mod dtype;
mod names;
mod python_json;
mod weights;
mod write_error;

mod front_matter;
pub mod hub;
mod layout;
mod model_folder;
mod pickle;
mod resolve;
mod save;
mod strict;
mod tensors;
mod unpack;
mod writer;

pub use archive_writer::write_archive;
pub use front_matter::{FrontMatter, MODEL_CARD};
pub use hub::{Hub, HubError, HubSettings};
pub use layout::{LayoutError, PipelineFolder, averaged_weights, open_pipeline};
pub use model_folder::{ModelFolder, open_model};
pub use pickle::emit::PickleItem;
pub use pickle::{PickleError, PickleScalar};
pub use resolve::{
    Located, ResolveError, locate_file, locate_model_config, resolve, resolve_model,
};
pub use save::{PipelineToSave, save_pipeline};
pub use strict::{LoadError, LoadMismatch, load_into, load_part_into, modern_attention_name};
pub use tensors::{TensorFile, TensorFileError, TensorInfo, files_of};
pub use unpack::{UnpackError, unpack};
pub use write_error::WriteError;
pub use writer::write_tensors;
