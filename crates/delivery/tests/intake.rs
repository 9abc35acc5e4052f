//! Tests of an intake with a client that sends frames manually.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may panic")]

mod support;

use bytes::Bytes;
use ddpo_delivery::destination::Destination;
use ddpo_delivery::intake::IntakeSettings;
use ddpo_proto::convert::reply::{Reply, from_wire};
use ddpo_proto::limits::Limits;
use ddpo_proto::stream::Verdict;
use ddpo_proto::wire::{
    SubmitReply, TrajectoryAbandoned, TrajectoryFrame, TrajectoryHeader,
    rewarder_client::RewarderClient, trajectory_frame::Content,
};
use std::time::Duration;
use support::*;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Code, Status, Streaming};

struct Client {
    outgoing: mpsc::Sender<TrajectoryFrame>,
    replies: Streaming<SubmitReply>,
}

impl Client {
    async fn open(server: &TestServer) -> Result<Self, Status> {
        let mut client = RewarderClient::connect(server.uri()).await.unwrap();
        let (outgoing, frames) = mpsc::channel(64);
        let submitted = client.submit_trajectories(ReceiverStream::new(frames));
        let replies = within("stream", submitted).await?.into_inner();
        Ok(Self { outgoing, replies })
    }

    async fn send(&self, frames: impl IntoIterator<Item = TrajectoryFrame>) {
        for frame in frames {
            let _ = self.outgoing.send(frame).await;
        }
    }

    async fn reply(&mut self) -> Result<Reply, Status> {
        let reply = within("reply", self.replies.message()).await?.expect("a reply");
        Ok(from_wire(reply, &Limits::default()).unwrap())
    }

    async fn receipt(&mut self, slot: u32) -> (Verdict, String) {
        let reply = self.reply().await.unwrap();
        assert_eq!(self.reply().await.unwrap(), Reply::Credit(1));
        match reply {
            Reply::Receipt { slot: found, receipt } if found == slot => {
                (receipt.verdict, receipt.reason)
            }
            other => panic!("expected a receipt for slot {slot}, found {other:?}"),
        }
    }

    /// Returns the status that ends the stream.
    async fn end(&mut self) -> Status {
        loop {
            if let Err(status) = self.reply().await {
                return status;
            }
        }
    }
}

fn settings(credits_per_stream: u32) -> IntakeSettings {
    IntakeSettings { credits_per_stream, max_streams: 1, ..IntakeSettings::default() }
}

#[tokio::test]
async fn corrupt_chunk_rejects_only_its_trajectory() {
    let mut server = TestServer::start(Destination::Rewarder, settings(2));
    let mut client = Client::open(&server).await.unwrap();
    assert_eq!(client.reply().await.unwrap(), Reply::Credit(2));
    let mut frames = frames(0, &small(0), None, 100);
    let Some(Content::Chunk(chunk)) = &mut frames[2].content else { panic!("no chunk") };
    chunk.payload_crc32 ^= 1;
    // The frames after the corrupt one were already sent; they are ignored.
    client.send(frames).await;
    let (verdict, reason) = client.receipt(0).await;
    assert_eq!(verdict, Verdict::Invalid);
    assert!(reason.starts_with("chunk of state 0 at byte 100: expected crc32"), "{reason}");
    server.event("rejected run/0/0").await;
    client.send(support::frames(0, &small(1), None, 100)).await;
    server.complete().await.1.answer(Verdict::Accepted, "");
    assert_eq!(client.receipt(0).await.0, Verdict::Accepted);
}

#[tokio::test]
async fn malformed_header_is_answered_by_slot() {
    let server = TestServer::start(Destination::Rewarder, settings(1));
    let mut client = Client::open(&server).await.unwrap();
    client.reply().await.unwrap();
    for _ in 0..3 {
        client.send([frame(7, Content::Header(TrajectoryHeader::default()))]).await;
        let (verdict, reason) = client.receipt(7).await;
        let expected = "dtype: expected a specified value, found UNSPECIFIED";
        assert_eq!((verdict, reason.as_str()), (Verdict::Invalid, expected));
    }
}

#[tokio::test]
async fn receipts_are_sent_in_any_order() {
    let mut server = TestServer::start(Destination::Rewarder, settings(2));
    let mut client = Client::open(&server).await.unwrap();
    client.reply().await.unwrap();
    client.send(frames(0, &small(0), None, 1000)).await;
    client.send(frames(1, &small(1), None, 1000)).await;
    let (first, second) = (server.complete().await, server.complete().await);
    second.1.answer(Verdict::Duplicate, "");
    assert_eq!(client.receipt(1).await.0, Verdict::Duplicate);
    first.1.answer(Verdict::Accepted, "");
    assert_eq!(client.receipt(0).await.0, Verdict::Accepted);
}

#[tokio::test]
async fn header_without_credit_ends_the_stream() {
    let mut server = TestServer::start(Destination::Rewarder, settings(1));
    let mut client = Client::open(&server).await.unwrap();
    client.send([frames(0, &small(0), None, 9).remove(0)]).await;
    client.send([frames(1, &small(1), None, 9).remove(0)]).await;
    let status = client.end().await;
    let expected = "slot 1: expected a credit for the header, found none left";
    assert_eq!((status.code(), status.message()), (Code::InvalidArgument, expected));
    server.event("lost run/0/0").await;
}

#[tokio::test]
async fn frames_without_an_open_slot_end_the_stream() {
    let server =
        TestServer::start(Destination::Rewarder, IntakeSettings { max_streams: 10, ..settings(1) });
    let abandoned = Content::Abandoned(TrajectoryAbandoned::default());
    let large = chunk(0, 0, 0, Bytes::from(vec![0; 2 << 20]));
    for nonsense in [TrajectoryFrame::default(), frame(0, abandoned), large] {
        let mut client = Client::open(&server).await.unwrap();
        client.send([nonsense]).await;
        let status = client.end().await;
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    }
}

#[tokio::test]
async fn refuses_streams_above_the_limit_until_one_ends() {
    let server = TestServer::start(Destination::Rewarder, settings(1));
    let client = Client::open(&server).await.unwrap();
    let Err(status) = Client::open(&server).await else { panic!("a second stream") };
    assert_eq!(status.code(), Code::ResourceExhausted);
    drop(client);
    let retried = async {
        while Client::open(&server).await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    within("room for a stream", retried).await;
}

#[tokio::test]
async fn closes_a_silent_stream_unless_it_awaits_a_receipt() {
    let idle_timeout = Duration::from_millis(100);
    let mut server =
        TestServer::start(Destination::Rewarder, IntakeSettings { idle_timeout, ..settings(1) });
    let mut client = Client::open(&server).await.unwrap();
    client.reply().await.unwrap();
    client.send(frames(0, &small(0), None, 1000)).await;
    let (_, answer) = server.complete().await;
    tokio::time::sleep(3 * idle_timeout).await;
    answer.answer(Verdict::Accepted, "");
    assert_eq!(client.receipt(0).await.0, Verdict::Accepted);
    assert_eq!(client.end().await.code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn client_gets_its_receipts_after_ending_its_stream() {
    let mut server = TestServer::start(Destination::Rewarder, settings(1));
    let Client { outgoing, mut replies } = Client::open(&server).await.unwrap();
    for frame in frames(0, &small(0), None, 1000) {
        outgoing.send(frame).await.unwrap();
    }
    drop(outgoing);
    server.complete().await.1.answer(Verdict::Accepted, "");
    // Credit, receipt, credit, end.
    for _ in 0..3 {
        assert!(within("reply", replies.message()).await.unwrap().is_some());
    }
    assert!(within("end", replies.message()).await.unwrap().is_none());
}

#[tokio::test]
async fn trajectories_held_by_the_service_count_after_their_stream_ended() {
    let mut server = TestServer::start(Destination::Rewarder, settings(2));
    let mut client = Client::open(&server).await.unwrap();
    assert_eq!(client.reply().await.unwrap(), Reply::Credit(2));
    client.send(frames(0, &small(0), None, 1000)).await;
    client.send([frames(1, &small(1), None, 1000).remove(0)]).await;
    let (_, answer) = server.complete().await;
    server.event("opened run/0/1").await;
    drop(client);
    server.event("lost run/0/1").await;
    let mut client = loop {
        if let Ok(client) = Client::open(&server).await {
            break client;
        }
    };
    // One of the two is held by the service; the other is free again.
    assert_eq!(client.reply().await.unwrap(), Reply::Credit(1));
    answer.answer(Verdict::Accepted, "");
    assert_eq!(client.reply().await.unwrap(), Reply::Credit(1));
}
