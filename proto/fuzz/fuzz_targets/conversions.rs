//! Converts bytes as messages to the domain and back: converting twice gives the same message.

#![no_main]

use ddpo_proto::convert::{header, reply, score};
use ddpo_proto::limits::Limits;
use ddpo_proto::wire::{SubmitReply, TrajectoryHeader, TrajectoryScore};
use libfuzzer_sys::fuzz_target;
use prost::Message;

fuzz_target!(|input: &[u8]| {
    let limits = Limits::default();
    if let Ok(message) = TrajectoryHeader::decode(input)
        && let Ok(opening) = header::from_wire(message.clone(), &limits)
    {
        assert_eq!(header::to_wire(&opening, &limits), Ok(message));
    }
    if let Ok(message) = TrajectoryScore::decode(input)
        && let Ok(scored) = score::from_wire(message.clone(), &limits)
    {
        assert_eq!(score::to_wire(&scored, &limits), Ok(message));
    }
    if let Ok(message) = SubmitReply::decode(input)
        && let Ok(reply) = reply::from_wire(message, &limits)
    {
        // The first conversion may cut texts; the second must not change them.
        let again = reply::to_wire(&reply, &limits);
        assert_eq!(reply::from_wire(again, &limits), Ok(reply));
    }
});
