//! Reads the golden files of `tests/goldens`; the README there describes their contents.

use ddpo_checkpoint::TensorFile;
use serde_json::Value;
use std::path::Path;
use tch::{Kind, Tensor};

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/goldens");

/// One golden file.
pub struct Golden {
    pub name: String,
    pub file: TensorFile,
}

impl Golden {
    /// Opens every file of `folder` whose name begins with `prefix`, sorted by name; at least one.
    pub fn all(folder: &str, prefix: &str) -> Vec<Self> {
        let entries = std::fs::read_dir(Path::new(FOLDER).join(folder)).unwrap();
        let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let goldens = paths.iter().filter_map(|path| {
            let name = path.file_stem().unwrap().to_str().unwrap();
            let matches = name.starts_with(prefix);
            matches.then(|| Self { name: name.into(), file: TensorFile::open(path).unwrap() })
        });
        let goldens: Vec<Self> = goldens.collect();
        assert!(!goldens.is_empty(), "no {folder}/{prefix}*.safetensors");
        goldens
    }

    pub fn text(&self, key: &str) -> &str {
        self.file.metadata().get(key).unwrap_or_else(|| panic!("{}: no {key}", self.name))
    }

    pub fn json(&self, key: &str) -> Value {
        serde_json::from_str(self.text(key)).unwrap()
    }

    pub fn tensor(&self, name: &str) -> Tensor {
        self.file.read(name).unwrap()
    }
}

/// Returns the largest absolute difference, or infinity if a value is not finite. Shapes must be equal.
pub fn gap(found: &Tensor, expected: &Tensor) -> f64 {
    assert_eq!(found.size(), expected.size());
    let gap = (found.to_kind(Kind::Double) - expected.to_kind(Kind::Double)).abs().max();
    let gap = gap.double_value(&[]);
    if gap.is_finite() { gap } else { f64::INFINITY }
}

/// Collects gaps over many files and reports the largest.
pub struct Gaps {
    tolerance: f64,
    largest: (f64, String),
    beyond: Vec<String>,
}

impl Gaps {
    pub fn within(tolerance: f64) -> Self {
        Self { tolerance, largest: (0.0, "nothing compared".into()), beyond: Vec::new() }
    }

    pub fn add(&mut self, what: &str, gap: f64) {
        if gap >= self.largest.0 {
            self.largest = (gap, what.into());
        }
        if gap > self.tolerance {
            self.beyond.push(format!("{what}: {gap:.2e}"));
        }
    }

    /// Prints the largest gap, and fails if any gap exceeds the tolerance.
    pub fn finish(self, subject: &str) {
        let (gap, name) = self.largest;
        let summary =
            format!("{subject}: largest gap {gap:.2e} ({name}), tolerance {:.0e}", self.tolerance);
        println!("{summary}");
        assert!(self.beyond.is_empty(), "{summary}; beyond it: {}", self.beyond.join(", "));
    }
}
