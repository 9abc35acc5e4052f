//! Checkpoints as artifacts: a manifest with each file's MD5, and where it lies.
//!
//! The files are copied into the folder of the log: `wandb sync` takes an artifact's files from others,
//! and removes them once it has uploaded them. A run's checkpoints are not its to touch.

use crate::Checkpoint;
use crate::error::LogError;
use crate::wandb::files::copy;
use crate::wandb::message::{Artifact, Manifest, ManifestEntry, PolicyItem};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use data_encoding::HEXLOWER;
use md5::{Digest, Md5};
use serde_json::json;
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

/// The files under a folder, by their paths relative to it, sorted.
type Files = Vec<(String, PathBuf)>;

/// Copies the files of `checkpoint` below `folder` and describes them; the rest is for whoever knows
/// the run to fill in.
pub fn of(checkpoint: &Checkpoint, folder: &Path, run_id: &str) -> Result<Artifact, LogError> {
    let mut files = Files::new();
    list(&checkpoint.folder, "", &mut files)?;
    files.sort();
    let mut contents = Vec::new();
    for (path, from) in files {
        let to = folder.join(format!("epoch-{:06}", checkpoint.epoch)).join(&path);
        copy(&from, &to)?;
        contents.push(entry(path, &to)?);
    }
    let client_id = |version: &str| {
        let name = format!("ddpo {run_id} {version}");
        let mut id = [0; 64];
        blake3::Hasher::new().update(name.as_bytes()).finalize_xof().fill(&mut id);
        HEXLOWER.encode(&id)
    };
    let digest = manifest_digest(&contents);
    Ok(Artifact {
        run_id: run_id.into(),
        kind: "model".into(),
        name: format!("checkpoint-{run_id}"),
        metadata: json!({"epoch": checkpoint.epoch}).to_string(),
        user_created: true,
        aliases: checkpoint.aliases.clone(),
        client_id: client_id(&digest),
        sequence_client_id: client_id(""),
        digest,
        manifest: Some(manifest(contents)),
        finalize: true,
        ..Artifact::default()
    })
}

fn list(folder: &Path, prefix: &str, files: &mut Files) -> Result<(), LogError> {
    let unreadable = || LogError::io("read", folder);
    for entry in std::fs::read_dir(folder).map_err(unreadable())? {
        let path = entry.map_err(unreadable())?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let name = format!("{prefix}{name}");
        match path.is_dir() {
            true => list(&path, &format!("{name}/"), files)?,
            false => files.push((name, path)),
        }
    }
    Ok(())
}

fn entry(path: String, file: &Path) -> Result<ManifestEntry, LogError> {
    let unreadable = || LogError::io("read", file);
    let mut reader = BufReader::new(File::open(file).map_err(unreadable())?);
    let (mut hasher, mut size, mut part) = (Md5::new(), 0, vec![0; 1 << 20]);
    loop {
        let read = reader.read(&mut part).map_err(unreadable())?;
        if read == 0 {
            break;
        }
        hasher.update(&part[..read]);
        size += read as i64;
    }
    let digest = STANDARD.encode(hasher.finalize());
    let local_path = file.canonicalize().map_err(unreadable())?.to_string_lossy().into_owned();
    Ok(ManifestEntry { path, digest, size, local_path, skip_cache: true })
}

/// MD5 of a heading and a line for each file, in the order of their paths.
fn manifest_digest(contents: &[ManifestEntry]) -> String {
    let mut hasher = Md5::new();
    hasher.update("wandb-artifact-manifest-v1\n");
    contents.iter().for_each(|entry| hasher.update(format!("{}:{}\n", entry.path, entry.digest)));
    HEXLOWER.encode(&hasher.finalize())
}

fn manifest(contents: Vec<ManifestEntry>) -> Manifest {
    let layout = PolicyItem { key: "storageLayout".into(), value_json: "\"V2\"".into() };
    Manifest {
        version: 1,
        storage_policy: "wandb-storage-policy-v1".into(),
        storage_policy_config: vec![layout],
        contents,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against an artifact that wandb 0.31 made of a file `unet/f.bin` with the five bytes `hello`.
    #[test]
    fn digests_are_wandb_s() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("epoch-000003");
        std::fs::create_dir_all(from.join("unet")).unwrap();
        std::fs::write(from.join("unet/f.bin"), b"hello").unwrap();
        let checkpoint = Checkpoint { folder: from, epoch: 3, aliases: vec!["best".into()] };
        let artifact = of(&checkpoint, &folder.path().join("artifacts"), "abc").unwrap();
        assert_eq!(artifact.digest, "9eb206032a9627917cbde9f92d5f01f7");
        let contents = artifact.manifest.unwrap().contents;
        let [file] = &contents[..] else { panic!("{contents:?}") };
        assert_eq!((file.digest.as_str(), file.size), ("XUFAKrxLKna5cZ2REBfFkg==", 5));
        assert_eq!(std::fs::read(&file.local_path).unwrap(), b"hello");
    }
}
