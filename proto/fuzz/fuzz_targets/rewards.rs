//! Converts bytes as messages of a reward server to the domain and back: converting twice gives the
//! same message.

#![no_main]

use ddpo_proto::convert::reward;
use ddpo_proto::limits::Limits;
use ddpo_proto::wire::{DescribeResponse, ScoreRequest, ScoreResponse};
use libfuzzer_sys::fuzz_target;
use prost::Message;

fuzz_target!(|input: &[u8]| {
    let limits = Limits::default();
    if let Ok(message) = DescribeResponse::decode(input)
        && let Ok(description) = reward::description_from_wire(message, &limits)
    {
        let again = reward::description_to_wire(&description);
        assert_eq!(reward::description_from_wire(again, &limits), Ok(description));
    }
    if let Ok(message) = ScoreRequest::decode(input)
        && let Ok(images) = reward::images_from_wire(message.clone(), &limits)
    {
        let again =
            images.iter().enumerate().map(|(at, image)| reward::image_to_wire(at, image, &limits));
        assert_eq!(again.collect::<Result<Vec<_>, _>>(), Ok(message.images));
    }
    if let Ok(message) = ScoreResponse::decode(input) {
        // Uses as many images as scores, so that the count check passes.
        let components = message.scores.first().map_or(0, |score| score.components.len());
        let description = ddpo_proto::reward::Description {
            name: "fuzzed".to_owned(),
            unit: String::new(),
            components: (0..components).map(|at| at.to_string()).collect(),
            max_batch: 1,
        };
        if let Ok(scores) =
            reward::scores_from_wire(message.clone(), message.scores.len(), &description)
        {
            assert_eq!(reward::scores_to_wire(&scores), message);
        }
    }
});
