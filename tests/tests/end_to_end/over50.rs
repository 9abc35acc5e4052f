//! A short version of `make demo`: embedded model, embedded classifier, settings of the example.

use ddpo_tests::{Workshop, run};
use std::path::Path;

#[test]
fn the_over50_example_trains_and_prints_the_share_of_old_faces() {
    let workshop = Workshop::new();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/over50.toml");
    let flags = [
        "train",
        "--config",
        example.to_str().unwrap(),
        "--num-epochs=1",
        "--num-samples-per-epoch=16",
        "--batch-size=16",
        "--num-eval-samples=16",
        "--output-dir=run",
    ];
    let ended = workshop.ddpo(&flags).succeeded();
    assert!(ended.stdout.contains("classified 50 or older: "), "{}", ended.stdout);
    let line = &run::metrics(&workshop.path("run"))[0];
    // Old faces are rare, so the log-odds are negative.
    assert!(line["reward_mean"].as_f64().unwrap() < 0.0, "{line:?}");
    assert!(line["reward_std"].as_f64().unwrap() > 0.5, "{line:?}");
}
