//! One stream of an uplink: frames out within the credits, receipts and credits in.

use super::counters::count;
use super::entry::{Last, Progress};
use super::link::{Link, LinkState};
use super::shared::Shared;
use super::table::Survey;
use crate::frame;
use ddpo_proto::convert::reply::{self, MalformedReply, Reply};
use ddpo_proto::stream::{Receipt, Verdict};
use ddpo_proto::wire::{SubmitReply, TrajectoryFrame};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tonic::{Status, Streaming};
use tracing::{debug, warn};

/// The reason why a stream ended or could not be opened.
#[derive(Debug, Error)]
pub(super) enum LinkEnd {
    #[error("{0}")]
    Connect(String),
    #[error("{stage}: expected it within {limit:?}")]
    Overdue { stage: &'static str, limit: Duration },
    #[error("{}: {}", .0.code(), .0.message())]
    Status(Box<Status>),
    #[error("the receiver ended the stream")]
    Ended,
    #[error(transparent)]
    Reply(#[from] MalformedReply),
    #[error("slot {0}: expected no acceptance before the last frame")]
    EarlyAcceptance(u32),
}

impl From<Status> for LinkEnd {
    fn from(status: Status) -> Self {
        Self::Status(Box::new(status))
    }
}

/// One stream.
pub(super) struct Stream<'a> {
    shared: &'a Arc<Shared>,
    address: &'a str,
    outgoing: mpsc::Sender<TrajectoryFrame>,
    replies: Streaming<SubmitReply>,
    link: Link,
    established: bool,
    /// Whether a frame may be ready.
    ready: bool,
    /// Since when a frame is blocked by the receiver.
    blocked_since: Option<Instant>,
}

impl<'a> Stream<'a> {
    pub(super) fn new(
        shared: &'a Arc<Shared>,
        address: &'a str,
        outgoing: mpsc::Sender<TrajectoryFrame>,
        replies: Streaming<SubmitReply>,
    ) -> Self {
        let (link, established, ready, blocked_since) = (Link::default(), false, true, None);
        Self { shared, address, outgoing, replies, link, established, ready, blocked_since }
    }

    /// Returns whether the receiver has granted a credit.
    pub(super) fn is_established(&self) -> bool {
        self.established
    }

    /// Runs until the stream ends.
    pub(super) async fn run(&mut self) -> LinkEnd {
        loop {
            match self.turn().await {
                Ok(()) => {}
                Err(end) => return end,
            }
        }
    }

    async fn turn(&mut self) -> Result<(), LinkEnd> {
        let now = Instant::now();
        let survey = self.shared.table().survey(now);
        let deadline = self.deadline(now, &survey);
        tokio::select! {
            biased;
            reply = self.replies.message() => {
                let reply = reply?.ok_or(LinkEnd::Ended)?;
                self.blocked_since = None;
                self.take(reply::from_wire(reply, &self.shared.settings.limits)?)
            }
            permit = self.outgoing.clone().reserve_owned(), if self.ready && !self.outgoing.is_closed() => {
                // Without a permit the request has ended, and its reason arrives as a reply.
                let Ok(permit) = permit else { return Ok(()) };
                match plan(self.shared, &mut self.link) {
                    Some(frame) => {
                        permit.send(frame);
                        self.blocked_since = None;
                    }
                    None => self.ready = false,
                }
                Ok(())
            }
            () = self.shared.wake.notified() => {
                self.ready = true;
                Ok(())
            }
            () = at(deadline) => self.overdue(&survey),
        }
    }

    /// Returns when the next timeout is due.
    fn deadline(&mut self, now: Instant, survey: &Survey) -> Option<Instant> {
        let starved = survey.may_open && !self.link.has_credit() && self.link.is_empty();
        if self.ready || starved {
            self.blocked_since.get_or_insert(now);
        } else {
            self.blocked_since = None;
        }
        let limit = self.shared.settings.receipt_timeout;
        let waits = [survey.oldest_sent, self.blocked_since].into_iter().flatten();
        waits.map(|since| since + limit).chain(survey.next_retry).min()
    }

    fn overdue(&mut self, survey: &Survey) -> Result<(), LinkEnd> {
        let (now, limit) = (Instant::now(), self.shared.settings.receipt_timeout);
        let is_over = |since: Option<Instant>| since.is_some_and(|since| since + limit <= now);
        if is_over(survey.oldest_sent) {
            return Err(LinkEnd::Overdue { stage: "receipt", limit });
        }
        if is_over(self.blocked_since) {
            return Err(LinkEnd::Overdue { stage: "credit or room for a frame", limit });
        }
        self.ready = true;
        Ok(())
    }

    fn take(&mut self, reply: Reply) -> Result<(), LinkEnd> {
        match reply {
            Reply::Credit(credits) => {
                self.link.grant(credits);
                self.shared.counters.note_credits(self.link.credits());
                self.ready = true;
                if !std::mem::replace(&mut self.established, true) {
                    let address = self.address.to_owned();
                    self.shared.link.send_replace(LinkState::Up { address });
                }
                Ok(())
            }
            Reply::Receipt { slot, receipt } => self.settle(slot, receipt),
        }
    }

    fn settle(&mut self, slot: u32, receipt: Receipt) -> Result<(), LinkEnd> {
        let Some(id) = self.link.holder(slot) else {
            debug!(slot, trajectory.id = receipt.trajectory_id, "unexpected receipt");
            return Ok(());
        };
        {
            let table = self.shared.table();
            let Some(entry) = table.get(id) else { return Ok(()) };
            let unread = receipt.trajectory_id.is_empty() && receipt.verdict == Verdict::Invalid;
            if !unread && receipt.trajectory_id != entry.header.trajectory_id {
                // The receipt of the slot's previous trajectory, which was abandoned meanwhile.
                debug!(slot, trajectory.id = receipt.trajectory_id, "late receipt");
                return Ok(());
            }
            let is_sent = matches!(entry.progress, Progress::Sent { .. });
            if receipt.verdict == Verdict::Accepted && !is_sent {
                return Err(LinkEnd::EarlyAcceptance(slot));
            }
        }
        self.link.free(slot);
        self.shared.counters.count_receipt(receipt.verdict);
        if matches!(receipt.verdict, Verdict::Invalid | Verdict::RetryLater) {
            let (id, reason) = (&receipt.trajectory_id, &receipt.reason);
            warn!(trajectory.id = id, verdict = %receipt.verdict, reason, "trajectory not accepted");
        }
        if receipt.verdict == Verdict::RetryLater {
            let backoff = self.shared.settings.backoff;
            let then = |retries| Instant::now() + backoff.pause(retries);
            self.shared.change(|table| table.retry(id, then));
        } else if let Some(entry) = self.shared.change(|table| table.remove(id)) {
            // An error means that nobody awaits the receipt.
            let _ = entry.receipt.send(receipt);
        }
        Ok(())
    }
}

/// Takes the next frame from the table.
fn plan(shared: &Shared, link: &mut Link) -> Option<TrajectoryFrame> {
    let limits = &shared.settings.limits;
    let planned = shared.change(|table| {
        let planned = table.next(link, Instant::now(), limits)?;
        if planned.next.last == Last::Abandoned {
            table.remove(planned.id);
        }
        Some(planned)
    })?;
    link.note(&planned);
    let counters = &shared.counters;
    counters.note_credits(link.credits());
    count(&counters.trajectories_resent, u64::from(planned.resent));
    count(&counters.bytes_sent, planned.next.payload_bytes as u64);
    count(&counters.trajectories_sent, u64::from(planned.next.last == Last::Sent));
    Some(frame::seal(planned.next.frame))
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
