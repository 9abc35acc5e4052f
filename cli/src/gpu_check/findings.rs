//! What `ddpo gpu-check` finds, as `gpu-check.json` has it (docs/gpu-check.md).

use crate::doctor::Findings as Machine;
use serde::Serialize;
use std::collections::BTreeMap;

/// Everything that one call finds.
#[derive(Debug, Serialize)]
pub struct Findings {
    /// Version of this format.
    pub format: u32,
    /// The device in words.
    pub device: String,
    /// Seconds that the call took.
    pub seconds: f64,
    /// The machine, as `ddpo doctor --json`.
    pub machine: Machine,
    /// Checks that pass or fail.
    pub checks: Vec<Check>,
    /// Matrix products of the device at their fastest.
    pub peaks: Vec<Peak>,
    /// Measurements of networks.
    pub speeds: Vec<Speed>,
    /// What was left out, and why.
    pub notes: Vec<String>,
}

/// A check.
#[derive(Debug, Serialize)]
pub struct Check {
    /// Its name.
    pub name: String,
    /// Whether it passed.
    pub passed: bool,
    /// Its figures, by name.
    pub measured: BTreeMap<String, f64>,
    /// What is expected, in words.
    pub expected: String,
    /// What was found, where figures do not say it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
}

/// The largest rate of matrix products that was measured.
#[derive(Debug, Serialize)]
pub struct Peak {
    /// `f32`, `tf32` or `bf16`.
    pub arithmetic: &'static str,
    /// Operations a second.
    pub flops_per_second: f64,
}

/// The measurement of one pass of one network.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Speed {
    /// Who ran it: `ddpo`, `pytorch` or `pytorch_compiled`.
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
    /// Median milliseconds of a pass; null where it failed.
    pub milliseconds: Option<f64>,
    /// The fastest and the slowest pass (milliseconds).
    pub range: Option<[f64; 2]>,
    /// Passes that were timed.
    pub passes: usize,
    /// Images a second.
    pub images_per_second: Option<f64>,
    /// Operations a second; a training pass counts three times its forward pass.
    pub flops_per_second: Option<f64>,
    /// Share of the device's measured peak in the same arithmetic.
    pub share_of_peak: Option<f64>,
    /// The most bytes of device memory that tensors took.
    pub peak_memory: Option<u64>,
    /// Why it failed, such as a lack of memory.
    pub failure: Option<String>,
}

impl Findings {
    /// Findings without a check.
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

    /// Names of the checks that did not pass.
    pub fn failed(&self) -> impl Iterator<Item = &str> {
        self.checks.iter().filter(|check| !check.passed).map(|check| check.name.as_str())
    }
}

impl Check {
    /// A check with its figures.
    pub fn new(name: &str, passed: bool, expected: &str, measured: &[(&str, f64)]) -> Self {
        Self {
            name: name.into(),
            passed,
            measured: measured.iter().map(|&(name, value)| (name.to_owned(), value)).collect(),
            expected: expected.into(),
            found: None,
        }
    }

    /// A check that could not run.
    pub fn failed(name: &str, error: &str) -> Self {
        let check = Self::new(name, false, "to run to its end", &[]);
        Self { found: Some(error.into()), ..check }
    }

    /// Adds what was found in words.
    pub fn with_found(self, found: impl Into<String>) -> Self {
        Self { found: Some(found.into()), ..self }
    }
}
