//! The JPEG rewards equal the sizes of Pillow 12.1.0, for any batch and any number of threads.

#![allow(clippy::unwrap_used)] // A test may panic.

use std::path::Path;

use ddpo_picture::read_image;
use ddpo_rewards::jpeg::JpegEncoder;
use ddpo_rewards::{RewardError, RewardModel, RewardRuntime, check};
use ddpo_rollout::image::RgbImage;
use ddpo_rollout::reward::{RewardSettings, Task};

#[derive(serde::Deserialize)]
struct Case {
    pattern: String,
    width: usize,
    height: usize,
    bytes: usize,
    crc32: u32,
}

fn goldens() -> Vec<(Case, RgbImage)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens");
    let text = std::fs::read_to_string(folder.join("jpeg.json")).unwrap();
    let cases: Vec<Case> = serde_json::from_str(&text).unwrap();
    let with_image = |case: Case| {
        let image = if case.pattern.ends_with(".png") {
            read_image(&folder.join(&case.pattern)).unwrap()
        } else {
            draw(&case.pattern, case.width, case.height)
        };
        (case, image)
    };
    cases.into_iter().map(with_image).collect()
}

/// splitmix64 of a counter, as in `goldens/make.py`.
fn mixed(index: u64) -> u64 {
    let mut z = index.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn draw(pattern: &str, width: usize, height: usize) -> RgbImage {
    let mut pixels = Vec::with_capacity(width * height * 3);
    for at in 0..width * height * 3 {
        let (x, y, channel) = (at / 3 % width, at / 3 / width, at % 3);
        let noise = (mixed(at as u64 + 1) >> 56) as usize;
        let ramp = match channel {
            0 => x * 255 / (width - 1).max(1),
            1 => y * 255 / (height - 1).max(1),
            _ => (x + y) * 255 / (width + height - 2).max(1),
        };
        let level = match pattern {
            "flat" => [200, 90, 40][channel],
            "ramp" => ramp,
            "stripes" => (x / 3 + y / 5) % 2 * 170 + 40 * channel,
            "grain" => ramp / 2 + noise / 4,
            "noise" => noise,
            other => panic!("no pattern {other}"),
        };
        pixels.push(u8::try_from(level).unwrap());
    }
    RgbImage::new(width, height, pixels).unwrap()
}

fn open(task: Task, threads: usize) -> Result<Box<dyn RewardModel>, RewardError> {
    ddpo_rewards::open(&RewardSettings::new(task), &RewardRuntime::on_threads(threads), &mut |_| {})
}

#[test]
fn encodes_the_same_bytes_as_pillow() {
    let mut encoder = JpegEncoder::new().unwrap();
    let goldens = goldens();
    assert!(goldens.len() >= 95);
    for (index, (case, image)) in goldens.iter().enumerate() {
        let name = format!("{} {}x{}", case.pattern, case.width, case.height);
        let bytes = encoder.encode(index, image).unwrap();
        assert_eq!(bytes.len(), case.bytes, "size of {name}");
        assert_eq!(crc32fast::hash(bytes), case.crc32, "bytes of {name}");
    }
}

#[test]
fn rewards_kilobytes_for_any_number_of_threads() {
    let (cases, mut images): (Vec<Case>, Vec<RgbImage>) = goldens().into_iter().unzip();
    // Enough pixels for every thread.
    for _ in 0..2 {
        images.extend(images.clone());
    }
    for threads in [0, 1, 2, 3, 16] {
        for (task, sign) in [(Task::JpegCompressibility, -1.0), (Task::JpegIncompressibility, 1.0)]
        {
            let mut reward = open(task, threads).unwrap();
            for _ in 0..2 {
                let scores = reward.score(&images).unwrap();
                check(&images, &scores).unwrap();
                for (score, case) in scores.iter().zip(cases.iter().cycle()) {
                    let kilobytes = case.bytes as f32 / 1000.0;
                    assert_eq!(score.reward, sign * kilobytes);
                    assert_eq!(score.components.len(), 1);
                    assert_eq!(score.components[0].value, kilobytes);
                }
            }
        }
    }
}

#[test]
fn describes_the_task_and_the_component() {
    let reward = open(Task::JpegCompressibility, 1).unwrap();
    let description = reward.describe();
    assert_eq!(description.name, "jpeg compressibility");
    assert_eq!(description.unit, "kilobytes");
    assert_eq!(description.components, ["jpeg_kilobytes"]);
}

#[test]
fn returns_no_scores_for_no_images() {
    let mut reward = open(Task::JpegCompressibility, 2).unwrap();
    assert!(reward.score(&[]).unwrap().is_empty());
}

#[test]
fn names_an_empty_image_and_stays_usable() {
    let mut reward = open(Task::JpegIncompressibility, 2).unwrap();
    let good = draw("ramp", 8, 8);
    let empty = RgbImage::new(0, 3, Vec::new()).unwrap();
    let found = reward.score(&[good.clone(), empty, good.clone()]).unwrap_err();
    assert!(matches!(found, RewardError::Size { index: 1, width: 0, height: 3 }));
    assert_eq!(reward.score(&[good]).unwrap().len(), 1);
}

#[test]
fn rejects_sides_beyond_the_jpeg_limit() {
    let mut reward = open(Task::JpegCompressibility, 1).unwrap();
    let long = RgbImage::new(65_501, 1, vec![0; 65_501 * 3]).unwrap();
    let found = reward.score(&[long]).unwrap_err().to_string();
    assert_eq!(found, "image 0: expected sides of 1 to 65500 pixels, found 65501x1");
    let longest = RgbImage::new(65_500, 1, vec![0; 65_500 * 3]).unwrap();
    assert_eq!(reward.score(&[longest]).unwrap().len(), 1);
}
