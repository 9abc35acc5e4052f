//! Sends frames as a request body without copying their payloads: HTTP/2 gets a few bytes of gRPC
//! and protobuf, followed by the buffer of the sampler or the relay.
//!
//! tonic's encoder copies each message to one buffer. For states of a megabyte this copy was a
//! third of the sender's work. The short first part also helps the receiver: its tonic allocates
//! memory once it knows a message's length, so less data must be moved.

use bytes::{BufMut, Bytes, BytesMut};
use ddpo_proto::wire::{StateChunk, TrajectoryFrame, trajectory_frame::Content};
use http_body::{Body, Frame};
use prost::Message;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use tokio::sync::mpsc;
use tonic::client::GrpcService;
use tonic::codegen::{Service, http};
use tonic::transport::Channel;

/// Field number of `TrajectoryFrame.chunk`.
const CHUNK: u32 = 3;
/// Field number of `StateChunk.payload`.
const PAYLOAD: u32 = 3;

/// A message begins with a compression flag and its length (gRPC over HTTP/2,
/// "Length-Prefixed-Message").
const NOT_COMPRESSED: u8 = 0;

/// A channel that sends these frames as the body of its next request.
pub(super) struct FrameChannel {
    channel: Channel,
    frames: Option<FrameBody>,
}

impl FrameChannel {
    pub(super) fn new(channel: Channel, frames: mpsc::Receiver<TrajectoryFrame>) -> Self {
        Self { channel, frames: Some(FrameBody { frames, payload: None }) }
    }
}

impl Service<http::Request<tonic::body::Body>> for FrameChannel {
    type Response = http::Response<tonic::body::Body>;
    type Error = tonic::transport::Error;
    type Future = <Channel as GrpcService<tonic::body::Body>>::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        GrpcService::poll_ready(&mut self.channel, context)
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let frames = self.frames.take();
        let request = request.map(|body| frames.map_or(body, tonic::body::Body::new));
        GrpcService::call(&mut self.channel, request)
    }
}

/// The frames of one stream, until the sending half is dropped.
struct FrameBody {
    frames: mpsc::Receiver<TrajectoryFrame>,
    /// The payload that follows the part already sent.
    payload: Option<Bytes>,
}

impl Body for FrameBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Some(payload) = self.payload.take() {
            return Poll::Ready(Some(Ok(Frame::data(payload))));
        }
        let next = ready!(self.frames.poll_recv(context)).map(|frame| {
            let (beginning, payload) = parts(frame);
            self.payload = payload;
            Ok(Frame::data(beginning))
        });
        Poll::Ready(next)
    }
}

/// Encodes a frame: its first part, and its payload if it has one.
fn parts(mut frame: TrajectoryFrame) -> (Bytes, Option<Bytes>) {
    let chunk = match &mut frame.content {
        Some(Content::Chunk(chunk)) if !chunk.payload.is_empty() => chunk,
        _ => return (beginning(&frame.encode_to_vec(), 0), None),
    };
    let payload = std::mem::take(&mut chunk.payload);
    (beginning(&before_payload(frame.slot, chunk, payload.len()), payload.len()), Some(payload))
}

/// Adds the gRPC prefix to the first part of a message; `rest` more bytes follow.
fn beginning(message: &[u8], rest: usize) -> Bytes {
    let mut bytes = BytesMut::with_capacity(5 + message.len());
    bytes.put_u8(NOT_COMPRESSED);
    // Chunks are below 1 MiB, and other messages are smaller.
    bytes.put_u32((message.len() + rest) as u32);
    bytes.put_slice(message);
    bytes.freeze()
}

/// Encodes a chunk frame up to its payload of `length` bytes, which comes last: protobuf fields may
/// be in any order.
fn before_payload(slot: u32, chunk: &StateChunk, length: usize) -> Vec<u8> {
    let fields = chunk.encode_to_vec();
    let chunk_length = fields.len() + key_len(PAYLOAD) + encoded_len_varint(length as u64) + length;
    let mut message = TrajectoryFrame { slot, content: None }.encode_to_vec();
    encode_key(CHUNK, WireType::LengthDelimited, &mut message);
    encode_varint(chunk_length as u64, &mut message);
    message.extend(fields);
    encode_key(PAYLOAD, WireType::LengthDelimited, &mut message);
    encode_varint(length as u64, &mut message);
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use ddpo_proto::wire::{TrajectoryAbandoned, TrajectoryFooter};

    fn chunk(length: usize) -> Content {
        Content::Chunk(StateChunk {
            state: 300,
            offset_bytes: 1 << 33,
            payload: (0..length).map(|at| at as u8).collect(),
            payload_crc32: 0xdead_beef,
        })
    }

    #[test]
    fn parts_decode_to_the_same_frame() {
        let contents = [
            chunk(0),
            chunk(1),
            chunk(127),
            chunk(1 << 20),
            Content::Footer(TrajectoryFooter { log_probs: vec![0.5, -1.5] }),
            Content::Abandoned(TrajectoryAbandoned { reason: "gone".to_owned() }),
        ];
        for (slot, content) in
            [0, 7].into_iter().flat_map(|slot| contents.iter().map(move |c| (slot, c)))
        {
            let frame = TrajectoryFrame { slot, content: Some(content.clone()) };
            let (beginning, payload) = parts(frame.clone());
            let whole = [&beginning[..], payload.as_deref().unwrap_or_default()].concat();
            let length = frame.encoded_len() as u32;
            assert_eq!(whole[..5], [[0].as_slice(), &length.to_be_bytes()].concat());
            assert_eq!(TrajectoryFrame::decode(&whole[5..]).unwrap(), frame);
        }
    }

    #[test]
    fn payload_is_not_copied() {
        let payload = Bytes::from(vec![3; 1 << 16]);
        let content = StateChunk { payload: payload.clone(), ..StateChunk::default() };
        let frame = TrajectoryFrame { slot: 1, content: Some(Content::Chunk(content)) };
        assert_eq!(parts(frame).1.map(|sent| sent.as_ptr()), Some(payload.as_ptr()));
    }
}
