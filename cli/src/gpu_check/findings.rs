//! The findings of `ddpo gpu-check`, as `gpu-check.json` contains them (docs/gpu-check.md).

use crate::doctor::Findings as Machine;
use serde::Serialize;
use std::collections::BTreeMap;

/// Everything that one call finds.
#[derive(Debug, Serialize)]
pub struct Findings {
    /// Version of this format.
    pub format: u32,
    /// Description of the device.
    pub device: String,
    /// Seconds that the call took.
    pub seconds: f64,
    /// The machine, as in `ddpo doctor --json`.
    pub machine: Machine,
    /// Checks that pass or fail.
    pub checks: Vec<Check>,
    /// Fastest matrix products of the device.
    pub peaks: Vec<Peak>,
    /// Measurements of networks.
    pub speeds: Vec<Speed>,
    /// Measurements that were left out, with the reason.
    pub notes: Vec<String>,
}

/// The result of a check.
#[derive(Debug, Serialize)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// Whether it passed.
    pub passed: bool,
    /// Its figures, by name.
    pub measured: BTreeMap<String, f64>,
    /// The expected result, in words.
    pub expected: String,
    /// The result found, if figures do not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
}

/// The largest measured rate of matrix products.
#[derive(Debug, Serialize)]
pub struct Peak {
    /// `f32`, `tf32` or `bf16`.
    pub arithmetic: &'static str,
    /// Operations per second.
    pub flops_per_second: f64,
}

/// The measurement of one pass of one network.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Speed {
    /// The program: `ddpo`, `pytorch` or `pytorch_compiled`.
    pub program: &'static str,
    /// The network.
    pub network: String,
    /// `forward` or `training`, a forward and a backward pass.
    pub pass: String,
    /// `f32`, `tf32` or `bf16`.
    pub arithmetic: String,
    /// `channels_last` or `channels_first`.
    pub layout: String,
    /// Images in a batch.
    pub batch: i64,
    /// Median milliseconds of a pass; null if it failed.
    pub milliseconds: Option<f64>,
    /// Fastest and slowest pass (milliseconds).
    pub range: Option<[f64; 2]>,
    /// Number of timed passes.
    pub passes: usize,
    /// Images per second.
    pub images_per_second: Option<f64>,
    /// Operations per second; a training pass counts as three forward passes.
    pub flops_per_second: Option<f64>,
    /// Share of the device's measured peak in the same arithmetic.
    pub share_of_peak: Option<f64>,
    /// Peak bytes of device memory used by tensors.
    pub peak_memory: Option<u64>,
    /// Why it failed, such as a lack of memory.
    pub failure: Option<String>,
}

impl Findings {
    /// Creates findings without checks.
    pub fn new(device: String, machine: Machine) -> Self {
        Self {
            format: 1,
            device,
            seconds: 0.0,
            machine,
            checks: Vec::new(),
            peaks: Vec::new(),
            speeds: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// Returns the names of the failed checks.
    pub fn failed(&self) -> impl Iterator<Item = &str> {
        self.checks.iter().filter(|check| !check.passed).map(|check| check.name.as_str())
    }
}

impl Check {
    /// Creates a check with its figures.
    pub fn new(name: &str, passed: bool, expected: &str, measured: &[(&str, f64)]) -> Self {
        Self {
            name: name.into(),
            passed,
            measured: measured.iter().map(|&(name, value)| (name.to_owned(), value)).collect(),
            expected: expected.into(),
            found: None,
        }
    }

    /// Creates the result of a check that could not run.
    pub fn failed(name: &str, error: &str) -> Self {
        let check = Self::new(name, false, "to run to its end", &[]);
        Self { found: Some(error.into()), ..check }
    }

    /// Adds the result in words.
    pub fn with_found(self, found: impl Into<String>) -> Self {
        Self { found: Some(found.into()), ..self }
    }
}
