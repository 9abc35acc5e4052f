//! Tests of conversions of a reward server's messages.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use bytes::Bytes;
use ddpo_proto::convert::reward::*;
use ddpo_proto::limits::Limits;
use ddpo_proto::malformed::Malformed;
use ddpo_proto::reward::Description;
use ddpo_proto::wire;
use ddpo_rollout::image::{ImageError, RgbImage};
use ddpo_rollout::score::{Component, Score};
use proptest::prelude::*;
use prost::Message;

fn described(components: &[&str]) -> Description {
    let components = components.iter().map(|&name| name.to_owned()).collect();
    Description { name: "redness".into(), unit: "levels".into(), components, max_batch: 8 }
}

fn image(width: u32, height: u32, bytes: usize) -> wire::Image {
    wire::Image { width, height, rgb8: Bytes::from(vec![7; bytes]) }
}

fn read(images: Vec<wire::Image>) -> Result<Vec<RgbImage>, MalformedReward> {
    images_from_wire(wire::ScoreRequest { images }, &Limits::default())
}

#[test]
fn descriptions_survive_a_round_trip_with_a_bounded_batch() {
    let limits = Limits::default();
    let description = described(&["red", "others"]);
    let mut message = description_to_wire(&description);
    assert_eq!(description_from_wire(message.clone(), &limits), Ok(description));
    for (said, expected) in [(0, 32), (1, 1), (256, 256), (u32::MAX, 256)] {
        message.max_batch = said;
        assert_eq!(description_from_wire(message.clone(), &limits).unwrap().max_batch, expected);
    }
    message.unit.clear();
    assert_eq!(description_from_wire(message.clone(), &limits).unwrap().unit, "");
    message.components[1] = "red".to_owned();
    let twice = MalformedReward::ComponentTwice("red".into());
    assert_eq!(description_from_wire(message.clone(), &limits), Err(twice));
    message.name.clear();
    message.components.clear();
    let missing = MalformedReward::Common(Malformed::Missing("name"));
    assert_eq!(description_from_wire(message, &limits), Err(missing));
}

#[test]
fn rejects_images_whose_pixels_do_not_match_their_sides() {
    assert_eq!(read(vec![image(2, 1, 6)]).unwrap()[0].pixels(), [7; 6]);
    let source = ImageError::Length { width: 2, height: 1, expected: 6, found: 5 };
    let expected = MalformedReward::Image { index: 1, source };
    assert_eq!(read(vec![image(1, 1, 3), image(2, 1, 5)]), Err(expected));
    let large = MalformedReward::ImageTooLarge {
        index: 0,
        limit: 48 << 20,
        width: u32::MAX,
        height: u32::MAX,
    };
    assert_eq!(read(vec![image(u32::MAX, u32::MAX, 3)]), Err(large));
    for (width, height) in [(0, 0), (0, u32::MAX), (5, 0)] {
        let found = read(vec![image(width, height, 0)]);
        assert!(matches!(found, Err(MalformedReward::Image { index: 0, .. })), "{found:?}");
    }
    let many = MalformedReward::TooManyImages { limit: 256, found: 257 };
    assert_eq!(read(vec![image(1, 1, 3); 257]), Err(many));
}

#[test]
fn rejects_scores_that_do_not_match_the_request() {
    let description = described(&["red"]);
    let score = |reward, red| Score {
        reward,
        components: vec![Component { name: "red".into(), value: red }],
    };
    let scores = vec![score(1.5, -2.0), score(f32::MAX, 0.0)];
    let message = scores_to_wire(&scores);
    assert_eq!(scores_from_wire(message.clone(), 2, &description), Ok(scores));
    let count = MalformedReward::ScoreCount { expected: 3, found: 2 };
    assert_eq!(scores_from_wire(message.clone(), 3, &description), Err(count));
    let bare = described(&[]);
    let count = MalformedReward::ComponentCount { index: 0, expected: 0, found: 1 };
    assert_eq!(scores_from_wire(message, 2, &bare), Err(count));
    for (reward, red, name) in [(f32::NAN, 0.0, "reward"), (0.0, f32::NEG_INFINITY, "red")] {
        let message = scores_to_wire(&[score(0.0, 0.0), score(reward, red)]);
        let found = scores_from_wire(message, 2, &description).unwrap_err().to_string();
        assert!(
            found.starts_with(&format!("score 1: expected a finite {name}, found ")),
            "{found}"
        );
    }
}

#[test]
fn largest_answer_is_within_its_limit() {
    let limits = Limits::default();
    let names: Vec<String> =
        (0..limits.max_score_components).map(|n| format!("{n:0>256}")).collect();
    let description = Description {
        name: "n".repeat(limits.max_text_bytes),
        unit: "u".repeat(limits.max_text_bytes),
        components: names.clone(),
        max_batch: limits.max_score_images,
    };
    let parts = names.into_iter().map(|name| Component { name, value: 1.0 });
    let score = Score { reward: 1.0, components: parts.collect() };
    let scores = scores_to_wire(&vec![score; limits.max_score_images]);
    for bytes in [description_to_wire(&description).encoded_len(), scores.encoded_len()] {
        assert!(bytes <= limits.max_reward_answer_bytes(), "{bytes}");
    }
}

proptest! {
    #[test]
    fn images_survive_a_round_trip(width in 1_usize..20, height in 1_usize..20, level: u8) {
        let limits = Limits::default();
        let image = RgbImage::new(width, height, vec![level; width * height * 3]).unwrap();
        let images = vec![image_to_wire(0, &image, &limits).unwrap()];
        prop_assert_eq!(read(images), Ok(vec![image]));
    }

    #[test]
    fn random_bytes_never_panic(bytes: Vec<u8>, images in 0_usize..4) {
        let limits = Limits::default();
        if let Ok(message) = wire::DescribeResponse::decode(&bytes[..])
            && let Ok(description) = description_from_wire(message, &limits)
        {
            let again = description_from_wire(description_to_wire(&description), &limits);
            prop_assert_eq!(again, Ok(description));
        }
        if let Ok(message) = wire::ScoreRequest::decode(&bytes[..]) {
            drop(images_from_wire(message, &limits));
        }
        if let Ok(message) = wire::ScoreResponse::decode(&bytes[..])
            && let Ok(scores) = scores_from_wire(message.clone(), images, &described(&[]))
        {
            prop_assert_eq!(scores_to_wire(&scores), message);
        }
    }
}
