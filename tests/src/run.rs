//! Runs of `ddpo train`: the flags that tests share, and comparisons of two runs.

use crate::tree::{self, Tree};
use serde_json::{Map, Value};
use std::path::Path;

/// A short run on the tiny model, in which the reward changes.
pub const SHORT: [&str; 20] = [
    "train",
    "--task=jpeg compressibility",
    "--ddpm-ckpt=model",
    "--output-dir=run",
    "--num-epochs=2",
    "--num-samples-per-epoch=8",
    "--batch-size=4",
    "--num-inference-steps=4",
    "--initial-lr=3e-4",
    "--peak-lr=3e-3",
    "--run-seed=11",
    "--eval-every-each-epoch=1",
    "--num-eval-samples=8",
    "--eval-rnd-seed=5",
    "--clip-ratio=1e-2",
    "--ratio-tolerance=1e-4",
    "--device=cpu",
    "--dtype=f32",
    "--threads=1",
    "--sample-batch-size=4",
];

/// Fields of a line of `metrics.jsonl` that tell how long and how much, not what.
const MEASURED: [&str; 7] = [
    "seconds_sampling",
    "seconds_scoring",
    "seconds_training",
    "samples_per_second",
    "flops_sampling",
    "flops_training",
    "peak_memory_bytes",
];

/// Returns [`SHORT`] followed by `more`. The last value of a repeated flag counts.
pub fn short<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let name = |flag: &str| flag.split('=').next().unwrap_or_default().to_owned();
    let replaced: Vec<String> = more.iter().map(|flag| name(flag)).collect();
    let kept = SHORT.into_iter().filter(|flag| !replaced.contains(&name(flag)));
    kept.chain(more.iter().copied()).collect()
}

/// Returns the lines of `metrics.jsonl`.
///
/// # Panics
/// If the file or a line cannot be read.
pub fn metrics(run: &Path) -> Vec<Map<String, Value>> {
    json_lines(&run.join("metrics.jsonl"))
}

/// Returns the lines of a file with one JSON object a line.
///
/// # Panics
/// If the file or a line cannot be read.
pub fn json_lines(path: &Path) -> Vec<Map<String, Value>> {
    let text = std::fs::read_to_string(path);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let line = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    text.lines().map(line).collect()
}

/// Checks that two runs wrote the same bytes, except measured times and memory.
///
/// # Panics
/// If a file differs; the message names it.
#[track_caller]
pub fn assert_same(expected: &Path, found: &Path) {
    tree::assert_same(&comparable(expected), &comparable(found));
}

/// Returns the files of a run, without `output_dir` in `run.toml` and the measured fields of its metrics.
fn comparable(run: &Path) -> Tree {
    let mut tree = tree::read(run);
    let settings = String::from_utf8_lossy(&tree["run.toml"]).into_owned();
    let kept = settings.lines().filter(|line| !line.starts_with("output_dir = "));
    tree.insert("run.toml".into(), kept.collect::<Vec<_>>().join("\n").into_bytes());
    let blanked: Vec<String> = metrics(run)
        .into_iter()
        .map(|mut line| {
            // Only runs on a GPU have this field.
            line.remove("peak_device_memory_bytes");
            for field in MEASURED {
                assert!(line.insert(field.into(), Value::Null).is_some(), "no `{field}`");
            }
            serde_json::to_string(&line).expect("JSON")
        })
        .collect();
    tree.insert("metrics.jsonl".into(), blanked.join("\n").into_bytes());
    tree
}
