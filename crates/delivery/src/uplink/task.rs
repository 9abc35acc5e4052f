//! The task of an uplink: connects, runs one stream at a time, and reconnects.

use super::body::FrameChannel;
use super::counters::count;
use super::link::LinkState;
use super::settings::UplinkSettings;
use super::shared::Shared;
use super::stream::{LinkEnd, Stream};
use super::table::Table;
use crate::destination::Destination;
use crate::transport::{Bearer, chain};
use ddpo_proto::wire::{
    SubmitReply, TrajectoryFrame, learner_client::LearnerClient, rewarder_client::RewarderClient,
};
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tonic::transport::Endpoint;
use tonic::{Request, Streaming};
use tracing::{debug, warn};

/// Frames queued for HTTP/2; each is below 1 MiB.
const QUEUED_FRAMES: usize = 4;
/// A reply is a receipt with its reason; larger messages are invalid.
const REPLY_BYTES: usize = 64 << 10;

/// Runs until the uplink is closed.
pub(super) async fn run(shared: Arc<Shared>, endpoints: Vec<Endpoint>, bearer: Bearer) {
    let closed = shared.closed.clone();
    closed.run_until_cancelled(serve(&shared, &endpoints, &bearer)).await;
    shared.change(Table::clear);
}

async fn serve(shared: &Arc<Shared>, endpoints: &[Endpoint], bearer: &Bearer) {
    let mut in_flight = shared.in_flight.subscribe();
    let mut position = shared.settings.first_address;
    let (mut failures, mut streams) = (0_u32, 0_u64);
    loop {
        // A caller may wait for the link before it opens a trajectory, so connect without one.
        if *in_flight.borrow() == 0 {
            shared.link.send_replace(LinkState::Idle);
        }
        // An error would mean that the uplink was dropped, which cancels this task.
        let _ = in_flight.wait_for(|&held| held > 0).await;
        let index = position % endpoints.len().max(1);
        let (Some(endpoint), Some(address)) =
            (endpoints.get(index), shared.settings.addresses.get(index))
        else {
            return;
        };
        let end = match open(endpoint, bearer, &shared.settings).await {
            Ok((outgoing, replies)) => {
                debug!(address, "stream opened");
                count(&shared.counters.reconnects, u64::from(streams > 0));
                streams += 1;
                let mut stream = Stream::new(shared, address, outgoing, replies);
                let end = stream.run().await;
                shared.counters.note_credits(0);
                shared.change(Table::reset);
                // A receiver that accepts a stream and grants no credit counts as failed.
                if stream.is_established() {
                    failures = 0;
                } else {
                    (failures, position) = (failures.saturating_add(1), position.wrapping_add(1));
                }
                end
            }
            Err(end) => {
                count(&shared.counters.connect_failures, 1);
                (failures, position) = (failures.saturating_add(1), position.wrapping_add(1));
                end
            }
        };
        let reason = end.to_string();
        // A receiver may close an idle stream; this is not a failure.
        if *in_flight.borrow() == 0 {
            debug!(address, reason, "idle stream ended");
        } else {
            warn!(address, reason, failures, "no stream");
            shared.link.send_replace(LinkState::Down { address: address.clone(), reason });
        }
        sleep(shared.settings.backoff.pause(failures)).await;
    }
}

type Opened = (mpsc::Sender<TrajectoryFrame>, Streaming<SubmitReply>);

async fn open(
    endpoint: &Endpoint,
    bearer: &Bearer,
    settings: &UplinkSettings,
) -> Result<Opened, LinkEnd> {
    let limit = settings.connect_timeout;
    let overdue = |stage| move |_| LinkEnd::Overdue { stage, limit };
    let channel = timeout(limit, endpoint.connect())
        .await
        .map_err(overdue("connection"))?
        .map_err(|error| LinkEnd::Connect(chain(&error)))?;
    let (outgoing, frames) = mpsc::channel(QUEUED_FRAMES);
    let channel = FrameChannel::new(channel, frames);
    // The channel replaces this body by the frames.
    let mut request = Request::new(tokio_stream::empty());
    bearer.present(&mut request);
    let submit = async {
        match settings.destination {
            Destination::Rewarder => {
                let client = RewarderClient::new(channel);
                client.max_decoding_message_size(REPLY_BYTES).submit_trajectories(request).await
            }
            Destination::Learner => {
                let client = LearnerClient::new(channel);
                let mut client = client.max_decoding_message_size(REPLY_BYTES);
                client.submit_scored_trajectories(request).await
            }
        }
    };
    let response = timeout(limit, submit).await.map_err(overdue("stream"))??;
    Ok((outgoing, response.into_inner()))
}
