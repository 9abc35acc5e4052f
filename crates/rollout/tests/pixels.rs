//! The pixel maps give the levels that torch and numpy compute for the rewards of
//! alcazar90/ddpo-celebahq, to the bit.

#![allow(clippy::unwrap_used)] // A test may panic.

use ddpo_rollout::reward::{PixelRule, RewardSource, Task};
use std::collections::HashMap;
use std::path::Path;

#[test]
fn each_task_sees_the_levels_of_upstream() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/goldens/pixels.json");
    let text = std::fs::read_to_string(path).unwrap();
    let golden: HashMap<String, Vec<u32>> = serde_json::from_str(&text).unwrap();
    let values: Vec<f32> = golden["bits"].iter().map(|&bits| f32::from_bits(bits)).collect();
    assert!(values.iter().any(|value| *value < -1.0) && values.iter().any(|value| *value > 1.0));
    for (task, name) in [
        (Task::AestheticScore, "aesthetic"),
        (Task::Under30, "ages"),
        (Task::Over50, "ages"),
        (Task::JpegCompressibility, "jpeg"),
        (Task::JpegIncompressibility, "jpeg"),
    ] {
        let map = PixelRule::Upstream.map(&RewardSource::Task(task));
        for (value, level) in values.iter().zip(&golden[name]) {
            assert_eq!(u32::from(map.level(*value)), *level, "{task}: {value:?}");
        }
    }
    // The maps differ, so that a wrong one cannot pass.
    let [aesthetic, ages, jpeg] = ["aesthetic", "ages", "jpeg"].map(|name| &golden[name]);
    assert!(aesthetic != ages && ages != jpeg && aesthetic != jpeg);
}
