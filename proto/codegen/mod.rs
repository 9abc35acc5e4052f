//! Generates code from `ddpo/v1/*.proto`. Shared by the example that writes it and the test that
//! checks it. protox parses the contract, so protoc is not needed.

use prost::Message;
use std::path::{Path, PathBuf};

/// Generated Rust code, in `src/generated`.
pub const CODE: &str = "ddpo.v1.rs";
/// The encoded `FileDescriptorSet`, in `src/generated`.
pub const DESCRIPTORS: &str = "ddpo.v1.descriptors.bin";

/// Returns the folder of the checked-in generated files.
pub fn checked_in() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/generated")
}

/// Writes [`CODE`] and [`DESCRIPTORS`] into `folder`.
///
/// # Errors
/// A contract that cannot be parsed, or a folder that is not writable.
pub fn generate(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files =
        ["trajectory", "services", "inspector", "reward"].map(|n| format!("ddpo/v1/{n}.proto"));
    let mut compiler = protox::Compiler::new([root])?;
    compiler.include_imports(true).include_source_info(true).open_files(&files)?;
    let mut descriptors = compiler.file_descriptor_set();
    tonic_prost_build::configure()
        .bytes(".")
        .btree_map(".")
        .emit_rerun_if_changed(false)
        .out_dir(folder)
        .compile_fds(descriptors.clone())?;
    // Reflection does not need comments, and every change of a word would change the bytes.
    for file in &mut descriptors.file {
        file.source_code_info = None;
    }
    assert!(folder.join(CODE).is_file(), "{CODE} was not generated");
    std::fs::write(folder.join(DESCRIPTORS), descriptors.encode_to_vec())?;
    Ok(())
}
