//! Caches compiled images on disk, so that only the first process on a machine compiles.
//!
//! A file contains the SHA-256 of its image, then the image. Its name is the SHA-256 of everything that the
//! image depends on. Files are written to a temporary name and renamed. An unreadable file counts as
//! missing; after a failed write the next process compiles again.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use ddpo_files::{sha256_of, write_file};

/// Maximum of files, about 10 MB; the oldest are removed first.
const MOST_FILES: usize = 64;

/// Number of hexadecimal digits of a SHA-256.
const DIGEST: usize = 64;

/// A folder of images.
pub(super) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// Opens `${DDPO_CACHE:-${XDG_CACHE_HOME:-~/.cache}/ddpo}/kernels`, as in the setup scripts; `None` if
    /// no variable names a folder.
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

    /// Returns the cached image of `identity`, or creates it with `make`.
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
        // Ignore a full or read-only disk: the next process only has to compile again.
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

    /// Removes the oldest files beyond [`MOST_FILES`], including temporary files of killed processes.
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

/// Returns the image in a file, if its digest is correct.
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
    fn ignores_an_unwritable_folder() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        fs::write(&file, b"").unwrap();
        let cache = Cache::at(file.join("kernels"));
        assert_eq!(made(&cache, "a", b"first"), b"first");
    }
}
