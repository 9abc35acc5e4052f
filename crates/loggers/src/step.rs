//! The values that are logged for one epoch.

use crate::error::LogError;
use crate::histogram::Histogram;
use std::path::Path;
use std::time::SystemTime;

/// The first bytes of a PNG file, before width and height.
const PNG: [u8; 16] = *b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";

/// The values that are logged for one epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// Epochs completed.
    pub number: u32,
    /// Time of the log entry.
    pub time: SystemTime,
    /// Numbers by their names in `metrics.jsonl`.
    pub scalars: Vec<(String, f64)>,
    /// Distributions by name.
    pub histograms: Vec<(&'static str, Histogram)>,
    /// Pictures written by the run.
    pub pictures: Vec<Picture>,
}

/// A picture written by the run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Its name in the log.
    pub name: &'static str,
    /// The PNG file's content.
    pub bytes: Vec<u8>,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

impl Picture {
    /// Reads the PNG file `path`.
    ///
    /// # Errors
    /// [`LogError::Io`] and [`LogError::Picture`].
    pub fn read(name: &'static str, path: &Path) -> Result<Self, LogError> {
        let bytes = std::fs::read(path).map_err(LogError::io("read", path))?;
        let side = |at: usize| {
            let digits = bytes.get(at..at + 4)?.try_into().ok()?;
            Some(u32::from_be_bytes(digits))
        };
        let sides = side(16).zip(side(20)).filter(|_| bytes.starts_with(&PNG));
        let (width, height) = sides.ok_or_else(|| LogError::Picture(path.into()))?;
        Ok(Self { name, bytes, width, height })
    }
}
