//! Runs of `ddpo train`: the flags that tests share, and comparing what two runs left.

use crate::tree::{self, Tree};
use serde_json::{Map, Value};
use std::path::Path;

/// A short run on the tiny model, in which the reward moves.
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

/// [`SHORT`], with `more` behind it; of a flag that comes twice the last counts.
pub fn short<'a>(more: &[&'a str]) -> Vec<&'a str> {
    let name = |flag: &str| flag.split('=').next().unwrap_or_default().to_owned();
    let replaced: Vec<String> = more.iter().map(|flag| name(flag)).collect();
    let kept = SHORT.into_iter().filter(|flag| !replaced.contains(&name(flag)));
    kept.chain(more.iter().copied()).collect()
}

/// The lines of `metrics.jsonl`.
///
/// # Panics
/// When the file or a line cannot be read.
pub fn metrics(run: &Path) -> Vec<Map<String, Value>> {
    json_lines(&run.join("metrics.jsonl"))
}

/// The lines of a file of JSON objects.
///
/// # Panics
/// When the file or a line cannot be read.
pub fn json_lines(path: &Path) -> Vec<Map<String, Value>> {
    let text = std::fs::read_to_string(path);
    let text = text.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let line = |line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    text.lines().map(line).collect()
}

/// Checks that two runs left the same, byte by byte, apart from how long it took.
///
/// # Panics
/// Naming what differs.
#[track_caller]
pub fn assert_same(expected: &Path, found: &Path) {
    tree::assert_same(&comparable(expected), &comparable(found));
}

/// Everything in the folder of a run, but for its own name in `run.toml` and the measured fields of
/// its metrics.
fn comparable(run: &Path) -> Tree {
    let mut tree = tree::read(run);
    let settings = String::from_utf8_lossy(&tree["run.toml"]).into_owned();
    let kept = settings.lines().filter(|line| !line.starts_with("output_dir = "));
    tree.insert("run.toml".into(), kept.collect::<Vec<_>>().join("\n").into_bytes());
    let blanked: Vec<String> = metrics(run)
        .into_iter()
        .map(|mut line| {
            // A run on a GPU has it.
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
