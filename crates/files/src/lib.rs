//! Atomic writes of files and folders, and SHA-256 digests.
//!
//! A reader sees the old content or the new content, never a part of it. New content goes to a
//! temporary name in the same folder, is synced, and is renamed to its target.

mod digest;
mod file;
mod folder;

pub use digest::sha256_of;
pub use file::{WriteFileError, parent, write_beside, write_file};
pub use folder::{PublishError, publish_folder, recover_folder};
