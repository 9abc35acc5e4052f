//! The memory of training does not grow with the number of denoising steps, except for the recorded states.

use ddpo_tests::{Workshop, run};

const SAMPLES: usize = 8;

/// (sample, step) pairs in a backward pass.
const MICRO_BATCH: &str = "--micro-batch-size=8";

/// More pairs than an epoch has, so that one backward pass contains all of them.
const ALL_AT_ONCE: &str = "--micro-batch-size=1000";

/// Tolerance in bytes, for gaps of the allocator and lists of 120 pairs. The activations of these pairs are
/// ten times larger, which the control below measures.
const MARGIN: f64 = 50e6;

/// Measures the peak memory of an epoch on the embedded model (32x32, about 5 MB of activations a pair) minus
/// the recorded states, in bytes.
fn peak(workshop: &Workshop, steps: usize, micro_batch: &str) -> f64 {
    let folder = format!("{steps}-{micro_batch}");
    let flags = [
        "train",
        "--task=jpeg compressibility",
        "--ddpm-ckpt=toy-faces-32",
        "--num-epochs=1",
        "--num-samples-per-epoch=8",
        "--batch-size=8",
        "--sample-batch-size=2",
        "--device=cpu",
        "--threads=1",
        micro_batch,
        &format!("--num-inference-steps={steps}"),
        &format!("--output-dir={folder}"),
    ];
    workshop.ddpo(&flags).succeeded();
    let line = &run::metrics(&workshop.path(&folder))[0];
    // All steps except the last, which has sigma = 0.
    assert_eq!(line["pairs"], SAMPLES * (steps - 1));
    let states = SAMPLES * (steps + 1) * 3 * 32 * 32 * size_of::<f32>();
    line["peak_memory_bytes"].as_f64().unwrap() - states as f64
}

#[test]
fn training_memory_does_not_grow_with_the_number_of_steps() {
    let workshop = Workshop::new();
    let [few, many] = [5, 20].map(|steps| peak(&workshop, steps, MICRO_BATCH));
    println!("peak with 5 steps {:.0} MB, with 20 steps {:.0} MB", few / 1e6, many / 1e6);
    assert!(many - few < MARGIN, "20 steps take {:.0} MB more than 5", (many - few) / 1e6);
    // The control: keeping the activations of all steps exceeds the tolerance.
    let kept = peak(&workshop, 20, ALL_AT_ONCE);
    println!("with the activations of all 20 steps {:.0} MB", kept / 1e6);
    assert!(kept - few > 5.0 * MARGIN, "the control takes only {:.0} MB more", (kept - few) / 1e6);
}
