//! Compiled images on disk, so that only the first process on a machine compiles.
//!
//! A file holds the SHA-256 of its image and the image. It is named after the SHA-256 of everything that
//! the image depends on, and is written beside and renamed. What cannot be read counts as missing; what
//! cannot be written is compiled again by the next process.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ddpo_files::{sha256_of, write_file};

/// The most files that are kept: about 10 MB. The oldest go first.
const MOST_FILES: usize = 64;

/// Digits of a SHA-256.
const DIGEST: usize = 64;

/// A folder of images.
pub(super) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// `${DDPO_CACHE:-${XDG_CACHE_HOME:-~/.cache}/ddpo}/kernels`, as the setup scripts have it; `None`
    /// where no variable names a folder.
    pub(super) fn of_user() -> Option<Self> {
        let named = |name: &str| {
            std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
        };
        let ours = named("DDPO_CACHE").or_else(|| {
            let caches = named("XDG_CACHE_HOME").or_else(|| Some(named("HOME")?.join(".cache")))?;
            Some(caches.join("ddpo"))
        })?;
        Some(Self::at(ours.join("kernels")))
    }

    pub(super) fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Returns the image of `identity`; on the first call for it, what `make` gives.
    pub(super) fn get_or_make<E>(
        &self,
        identity: &str,
        make: impl FnOnce() -> Result<Vec<u8>, E>,
    ) -> Result<Vec<u8>, E> {
        let Ok(name) = sha256_of(identity.as_bytes()) else { return make() };
        let path = self.folder.join(name);
        if let Some(image) = read(&path) {
            return Ok(image);
        }
        let image = make()?;
        // A disk that is full or read-only costs the next process a second, and this one nothing.
        let _ = self.write(&path, &image);
        Ok(image)
    }

    fn write(&self, path: &Path, image: &[u8]) -> std::io::Result<()> {
        fs::create_dir_all(&self.folder)?;
        let mut content = sha256_of(image)?.into_bytes();
        content.extend_from_slice(image);
        write_file(path, &content).map_err(|error| error.source)?;
        self.remove_oldest()
    }

    /// Removes files beyond the most that are kept, those of killed processes too.
    fn remove_oldest(&self) -> std::io::Result<()> {
        let mut files: Vec<(SystemTime, PathBuf)> = fs::read_dir(&self.folder)?
            .flatten()
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        files.sort();
        let excess = files.len().saturating_sub(MOST_FILES);
        for (_, path) in &files[..excess] {
            fs::remove_file(path)?;
        }
        Ok(())
    }
}

/// The image in a file, if the file is whole.
fn read(path: &Path) -> Option<Vec<u8>> {
    let mut content = fs::read(path).ok()?;
    if content.len() < DIGEST {
        return None;
    }
    let image = content.split_off(DIGEST);
    let digest = sha256_of(image.as_slice()).ok()?;
    (digest.as_bytes() == content).then_some(image)
}

#[cfg(test)]
mod tests {
    use super::{Cache, MOST_FILES};
    use std::convert::Infallible;
    use std::fs;

    fn made(cache: &Cache, identity: &str, image: &[u8]) -> Vec<u8> {
        let Ok(image) = cache.get_or_make::<Infallible>(identity, || Ok(image.to_vec()));
        image
    }

    #[test]
    fn returns_what_an_earlier_process_compiled() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().join("kernels"));
        assert_eq!(made(&cache, "a", b"first"), b"first");
        assert_eq!(made(&cache, "a", b"second"), b"first");
        assert_eq!(made(&cache, "b", b"third"), b"third");
    }

    #[test]
    fn replaces_damaged_files() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().into());
        made(&cache, "a", b"first");
        let path = fs::read_dir(folder.path()).unwrap().next().unwrap().unwrap().path();
        for damage in [&b"short"[..], &[b'0'; 80]] {
            fs::write(&path, damage).unwrap();
            assert_eq!(made(&cache, "a", b"second"), b"second");
            assert_eq!(made(&cache, "a", b"third"), b"second");
        }
    }

    #[test]
    fn keeps_a_bounded_number_of_files() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::at(folder.path().into());
        for i in 0..MOST_FILES + 3 {
            made(&cache, &i.to_string(), b"image");
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), MOST_FILES);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_no_error() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, b"").unwrap();
        let cache = Cache::at(file.join("kernels"));
        assert_eq!(made(&cache, "a", b"first"), b"first");
    }
}
