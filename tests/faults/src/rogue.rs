//! A third-party client that does not use the uplink: sends valid and invalid trajectories frame by frame.

use crate::expected::{RUN_SEED, Undisturbed};
use bytes::Bytes;
use ddpo_delivery::destination::Destination;
use ddpo_proto::convert::reply::{self, Reply};
use ddpo_proto::convert::{header, score};
use ddpo_proto::limits::Limits;
use ddpo_proto::stream::{GivenScore, Opening, TrajectoryIdentity, Verdict};
use ddpo_proto::wire::learner_client::LearnerClient;
use ddpo_proto::wire::rewarder_client::RewarderClient;
use ddpo_proto::wire::trajectory_frame::Content;
use ddpo_proto::wire::{StateChunk, SubmitReply, TrajectoryFooter, TrajectoryFrame};
use ddpo_rollout::order::Track;
use ddpo_rollout::reward::{RewardId, RewardSpec, Task};
use ddpo_rollout::score::ScoredTrajectory;
use ddpo_rollout::trajectory::Digest;
use std::collections::BTreeMap;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_stream::wrappers::UnboundedReceiverStream;
use tonic::transport::Channel;
use tonic::{Status, Streaming};

/// The task of the test's run.
pub const TASK: Task = Task::JpegCompressibility;
/// The name of the test's run.
pub const RUN: &str = "faults";
/// Longest wait for an answer, because the service may be stopped or gone.
const PATIENCE: Duration = Duration::from_secs(20);

/// The change made to a trajectory before it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Twist {
    /// Unchanged: valid like a sampler's.
    None,
    /// The checksum of the last chunk is wrong.
    Checksum,
    /// The header names other weights.
    Weights,
    /// The header names a sample that was not ordered.
    Sample,
}

/// The trajectories that one client sends.
#[derive(Clone, Debug)]
pub struct Rogue {
    /// The service that receives them.
    pub destination: Destination,
    /// Its address.
    pub address: SocketAddr,
    /// Epoch of the samples.
    pub epoch: u32,
    /// The samples.
    pub samples: Vec<u32>,
    /// The change made to each trajectory.
    pub twist: Twist,
    /// How often each trajectory is sent.
    pub times: usize,
}

/// Receipts by verdict.
pub type Receipts = BTreeMap<&'static str, u64>;

impl Rogue {
    /// Sends all trajectories and waits for every receipt.
    ///
    /// # Errors
    /// The service closes the stream or does not answer; it may be restarting.
    pub async fn run(self) -> Result<Receipts, String> {
        let all = timeout(PATIENCE, self.converse()).await;
        all.map_err(|_| "no receipts in time".to_owned())?.map_err(|status| status.to_string())
    }

    async fn converse(self) -> Result<Receipts, Status> {
        let (frames, replies) = open(self.destination, self.address).await?;
        let mut talk = Talk { frames, replies, credits: 0, receipts: Receipts::new() };
        let drawn = Undisturbed::default().draw(self.epoch, &self.samples);
        let mut sent = 0;
        for scored in &drawn {
            for _ in 0..self.times {
                talk.wait_for(|talk| talk.credits > 0).await?;
                talk.credits -= 1;
                for frame in self.frames(sent, scored) {
                    // A closed stream is reported where replies are read.
                    let _ = talk.frames.send(frame);
                }
                sent += 1;
            }
        }
        let sent = u64::from(sent);
        talk.wait_for(|talk| talk.receipts.values().sum::<u64>() == sent).await?;
        Ok(talk.receipts)
    }

    fn frames(&self, slot: u32, scored: &ScoredTrajectory) -> Vec<TrajectoryFrame> {
        let limits = Limits::default();
        let mut opening = opening_of(scored);
        match self.twist {
            Twist::Weights => opening.header.weights_digest = Digest::of(b"other weights"),
            Twist::Sample => opening.header.coordinates.sample += 1_000_000,
            Twist::None | Twist::Checksum => {}
        }
        let frame = |content| TrajectoryFrame { slot, content: Some(content) };
        let header = header::to_wire(&opening, &limits).expect("the double's headers are valid");
        let mut frames = vec![frame(Content::Header(header))];
        let states = scored.trajectory.states();
        for (index, state) in states.iter().enumerate() {
            let spoilt = self.twist == Twist::Checksum && index + 1 == states.len();
            frames.push(frame(Content::Chunk(chunk(index, state, spoilt))));
        }
        let log_probs = scored.trajectory.log_probs().to_vec();
        frames.push(frame(Content::Footer(TrajectoryFooter { log_probs })));
        if self.destination == Destination::Learner {
            let scored = GivenScore { score: scored.score.clone(), reward: reward() };
            let score = score::to_wire(&scored, &limits).expect("the double's scores are valid");
            frames.push(frame(Content::Score(score)));
        }
        frames
    }
}

fn chunk(index: usize, state: &Bytes, spoilt: bool) -> StateChunk {
    StateChunk {
        state: index as u32,
        offset_bytes: 0,
        payload: state.clone(),
        payload_crc32: crc32fast::hash(state) ^ u32::from(spoilt),
    }
}

/// Returns the opening of a trajectory, with the same id as the sampler's.
fn opening_of(scored: &ScoredTrajectory) -> Opening {
    let header = scored.trajectory.header().clone();
    let (epoch, sample) = (header.coordinates.epoch, header.coordinates.sample);
    debug_assert_eq!(header.coordinates.run_seed, RUN_SEED);
    let identity = TrajectoryIdentity {
        trajectory_id: format!("{RUN}/rollout-{epoch:06}-v{epoch}-{sample:06}"),
        run_id: RUN.to_owned(),
        order_id: "none".to_owned(),
        attempt: 1,
        worker_id: "rogue".to_owned(),
        incarnation: 1,
        track: Track::Policy,
        traceparent: None,
    };
    Opening { identity, header }
}

/// A stream of frames and the replies to it.
struct Talk {
    frames: mpsc::UnboundedSender<TrajectoryFrame>,
    replies: Streaming<SubmitReply>,
    credits: u32,
    receipts: Receipts,
}

impl Talk {
    async fn wait_for(&mut self, done: impl Fn(&Self) -> bool) -> Result<(), Status> {
        while !done(self) {
            let reply = self.replies.message().await?;
            let reply = reply.ok_or_else(|| Status::unavailable("the stream ended"))?;
            match reply::from_wire(reply, &Limits::default()) {
                Ok(Reply::Credit(more)) => self.credits += more,
                Ok(Reply::Receipt { receipt, .. }) => {
                    *self.receipts.entry(receipt.verdict.name()).or_default() += 1;
                }
                Err(error) => return Err(Status::internal(error.to_string())),
            }
        }
        Ok(())
    }
}

type Opened = (mpsc::UnboundedSender<TrajectoryFrame>, Streaming<SubmitReply>);

async fn open(destination: Destination, address: SocketAddr) -> Result<Opened, Status> {
    let endpoint = Channel::from_shared(format!("http://{address}"));
    let endpoint = endpoint.map_err(|error| Status::internal(error.to_string()))?;
    let channel = endpoint.connect().await;
    let channel = channel.map_err(|error| Status::unavailable(error.to_string()))?;
    let (frames, outgoing) = mpsc::unbounded_channel();
    let outgoing = UnboundedReceiverStream::new(outgoing);
    let response = match destination {
        Destination::Rewarder => RewarderClient::new(channel).submit_trajectories(outgoing).await?,
        Destination::Learner => {
            LearnerClient::new(channel).submit_scored_trajectories(outgoing).await?
        }
    };
    Ok((frames, response.into_inner()))
}

/// Returns the reward that the run's scores carry.
fn reward() -> RewardId {
    RewardSpec::plain(TASK.into()).id()
}

/// Sends a frame for a slot that was not opened and expects the stream to be closed.
///
/// # Errors
/// The stream is not closed with an error.
pub async fn meaningless(destination: Destination, address: SocketAddr) -> Result<(), String> {
    let talk = async {
        let (frames, mut replies) = open(destination, address).await?;
        let chunk = chunk(0, &Bytes::from_static(b"nobody asked"), false);
        let _ = frames.send(TrajectoryFrame { slot: 9, content: Some(Content::Chunk(chunk)) });
        while replies.message().await?.is_some() {}
        Ok(())
    };
    match timeout(PATIENCE, talk).await {
        Ok(Err::<(), Status>(status)) if status.code() == tonic::Code::InvalidArgument => Ok(()),
        Ok(Err(status)) => Err(status.to_string()),
        Ok(Ok(())) => Err("the stream ended without an error".to_owned()),
        Err(_) => Err("no answer in time".to_owned()),
    }
}

/// Sends bytes that are not HTTP/2.
pub fn noise(address: SocketAddr) {
    if let Ok(mut stream) = TcpStream::connect_timeout(&address, Duration::from_secs(2)) {
        let _ = stream.write_all(&[0xff; 4096]);
    }
}

/// Returns whether a valid trajectory may get this verdict.
pub fn is_fair(verdict: &str) -> bool {
    let fair = [Verdict::Accepted, Verdict::Duplicate, Verdict::Stale, Verdict::RetryLater];
    fair.iter().any(|one| one.name() == verdict)
}
