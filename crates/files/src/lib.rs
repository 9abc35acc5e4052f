//! Atomic writes of files and folders, and SHA-256 digests.
//!
//! A reader sees either the old or the new content, never a mixture. New content is written to a temporary
//! name in the same folder, synced, and renamed to its target.

mod descriptors;
mod digest;
mod file;
mod folder;

pub use descriptors::with_a_descriptor;
pub use digest::sha256_of;
pub use file::{WriteFileError, parent, write_beside, write_file};
pub use folder::{PublishError, publish_folder, recover_folder};
