//! Bytes as messages, through the conversions and back: what is read is written as it was read.

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
        // Texts may have been cut; once cut, they stay.
        let again = reply::to_wire(&reply, &limits);
        assert_eq!(reply::from_wire(again, &limits), Ok(reply));
    }
});
