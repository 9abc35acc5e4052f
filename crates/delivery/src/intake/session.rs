//! One stream of an intake: frames in, receipts and credits out.

use super::counters::IntakeCounters;
use super::handler::{Answer, IntakeEvent, IntakeHandler, ReceiptSender};
use super::shared::Shared;
use crate::assembler::{AssemblerEvent, FrameAssembler, Ticket};
use crate::destination::Destination;
use crate::incoming::IncomingTrajectory;
use ddpo_proto::convert::reply::{self, Reply};
use ddpo_proto::limits::Limits;
use ddpo_proto::stream::{Receipt, Verdict};
use ddpo_proto::wire::{SubmitReply, TrajectoryFrame};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};
use tonic::{Status, Streaming};
use tracing::{debug, info, warn};

/// The reason why a session ended.
enum End {
    /// The client has sent everything and has all receipts.
    Done,
    /// The client disconnected.
    Gone,
    /// The session is closed with this status.
    Closed(Status),
}

pub(super) struct Session<H> {
    handler: Arc<H>,
    counters: Arc<IntakeCounters>,
    limits: Limits,
    /// Credits that could not be granted yet, because no permit was free.
    due: u32,
    budget: Arc<Semaphore>,
    /// One permit per granted credit and per growing trajectory.
    permits: Option<OwnedSemaphorePermit>,
    idle_timeout: Duration,
    draining: watch::Receiver<bool>,
    number: u64,
    assembler: FrameAssembler,
    replies: mpsc::Sender<Result<SubmitReply, Status>>,
    answers: mpsc::UnboundedReceiver<Answer>,
    answer_sender: mpsc::UnboundedSender<Answer>,
}

impl<H: IntakeHandler> Session<H> {
    pub(super) fn new(
        shared: &Shared<H>,
        destination: Destination,
        number: u64,
        replies: mpsc::Sender<Result<SubmitReply, Status>>,
    ) -> Self {
        let (answer_sender, answers) = mpsc::unbounded_channel();
        Self {
            handler: Arc::clone(&shared.handler),
            counters: Arc::clone(&shared.counters),
            limits: shared.settings.limits.clone(),
            due: shared.settings.credits_per_stream,
            budget: Arc::clone(&shared.trajectories),
            permits: None,
            idle_timeout: shared.settings.idle_timeout,
            draining: shared.draining.subscribe(),
            number,
            assembler: FrameAssembler::new(destination, shared.settings.limits.clone()),
            replies,
            answers,
            answer_sender,
        }
    }

    pub(super) async fn run(mut self, frames: Streaming<TrajectoryFrame>) {
        self.counters.streams.fetch_add(1, Ordering::Relaxed);
        let end = match self.pump(frames).await {
            Ok(end) | Err(end) => end,
        };
        match end {
            End::Done => debug!(stream = self.number, "stream done"),
            End::Gone => info!(stream = self.number, "the sender broke the stream"),
            End::Closed(status) => {
                info!(stream = self.number, code = ?status.code(), reason = status.message(), "stream closed");
                // If the client does not read it in time, the stream is dropped.
                let _ = timeout(self.idle_timeout, self.replies.send(Err(status))).await;
            }
        }
        for opening in self.assembler.growing() {
            count(&self.counters.lost, 1);
            self.handler.on_event(IntakeEvent::Lost { opening });
        }
        self.counters.streams.fetch_sub(1, Ordering::Relaxed);
    }

    async fn pump(&mut self, mut frames: Streaming<TrajectoryFrame>) -> Result<End, End> {
        let mut draining = self.draining.clone();
        let (mut reading, mut is_draining) = (true, false);
        let mut last_frame = Instant::now();
        if let Ok(permits) = Arc::clone(&self.budget).try_acquire_many_owned(self.due) {
            self.endow(permits).await?;
        }
        loop {
            if !reading && self.assembler.answering() == 0 {
                return Ok(if is_draining {
                    End::Closed(Status::unavailable("the service is shutting down"))
                } else {
                    End::Done
                });
            }
            // Only a sender that could send counts as idle.
            let can_open = self.assembler.credits() > 0 && self.assembler.answering() == 0;
            let idle = reading && (can_open || self.is_growing());
            let budget = Arc::clone(&self.budget);
            tokio::select! {
                biased;
                () = self.replies.closed() => return Ok(End::Gone),
                Some(answer) = self.answers.recv() => self.forward(answer).await?,
                () = set(&mut draining), if !is_draining => {
                    (reading, is_draining) = (false, true);
                }
                Ok(permit) = budget.acquire_owned(), if reading && self.due > 0 => {
                    self.endow(permit).await?;
                }
                frame = frames.message(), if reading => match frame {
                    Ok(Some(frame)) => {
                        last_frame = Instant::now();
                        self.take(frame).await?;
                    }
                    Ok(None) => reading = false,
                    Err(status) => return Ok(self.broken(status)),
                },
                () = sleep_until(last_frame + self.idle_timeout), if idle => {
                    let text = format!("no frame arrived for {:?}", self.idle_timeout);
                    return Ok(End::Closed(Status::deadline_exceeded(text)));
                }
            }
        }
    }

    fn is_growing(&self) -> bool {
        self.assembler.growing().next().is_some()
    }

    /// Tells a frame that cannot be decoded, the sender's fault, from a network failure.
    fn broken(&self, status: Status) -> End {
        match status.code() {
            tonic::Code::OutOfRange | tonic::Code::Internal if !self.replies.is_closed() => {
                count(&self.counters.stream_errors, 1);
                End::Closed(Status::invalid_argument(status.message()))
            }
            _ => End::Gone,
        }
    }

    async fn take(&mut self, frame: TrajectoryFrame) -> Result<(), End> {
        let event = self.assembler.push(frame).map_err(|error| {
            count(&self.counters.stream_errors, 1);
            warn!(stream = self.number, %error, "invalid stream");
            End::Closed(Status::invalid_argument(error.to_string()))
        })?;
        let Some(event) = event else { return Ok(()) };
        match event {
            AssemblerEvent::Opened { ticket, opening } => {
                count(&self.counters.opened, 1);
                if let Err(refusal) = self.handler.admit(&opening) {
                    count(&self.counters.not_admitted, 1);
                    self.assembler.refuse(ticket);
                    let trajectory_id = opening.identity.trajectory_id.clone();
                    let (verdict, reason) = (refusal.verdict, refusal.reason);
                    return self.close(ticket, Receipt { trajectory_id, verdict, reason }).await;
                }
                self.handler.on_event(IntakeEvent::Opened { opening: &opening });
            }
            AssemblerEvent::State { opening, index, state } => {
                count(&self.counters.state_bytes, state.len() as u64);
                let event = IntakeEvent::State { opening: &opening, index, state: &state };
                self.handler.on_event(event);
            }
            AssemblerEvent::Complete { ticket, trajectory } => {
                count(&self.counters.completed, 1);
                self.hand_over(ticket, *trajectory).await?;
            }
            AssemblerEvent::Abandoned { opening, reason } => {
                count(&self.counters.lost, 1);
                let event = IntakeEvent::Abandoned { opening: &opening, reason: &reason };
                self.handler.on_event(event);
                self.grant(1).await?;
            }
            AssemblerEvent::Rejected { ticket, trajectory_id, error } => {
                count(&self.counters.rejected, 1);
                warn!(stream = self.number, trajectory.id = trajectory_id, %error, "malformed trajectory");
                let event = IntakeEvent::Rejected { trajectory_id: &trajectory_id, error: &error };
                self.handler.on_event(event);
                let (verdict, reason) = (Verdict::Invalid, error.to_string());
                self.close(ticket, Receipt { trajectory_id, verdict, reason }).await?;
            }
        }
        Ok(())
    }

    /// Passes a trajectory to the service; receipts are sent meanwhile.
    async fn hand_over(
        &mut self,
        ticket: Ticket,
        trajectory: IncomingTrajectory,
    ) -> Result<(), End> {
        let id = trajectory.identity.trajectory_id.clone();
        let permit = self.permits.as_mut().and_then(|permits| permits.split(1));
        let receipt = ReceiptSender::new(ticket, id, self.answer_sender.clone(), permit);
        let handler = Arc::clone(&self.handler);
        let mut taking = pin!(handler.complete(trajectory, receipt));
        loop {
            tokio::select! {
                () = &mut taking => return Ok(()),
                Some(answer) = self.answers.recv() => self.forward(answer).await?,
            }
        }
    }

    async fn forward(&mut self, answer: Answer) -> Result<(), End> {
        if let Some(permit) = answer.permit {
            self.keep(permit);
        }
        if self.assembler.release(answer.ticket) {
            self.close(answer.ticket, answer.receipt).await?;
        }
        Ok(())
    }

    /// Sends a receipt and returns its credit.
    async fn close(&mut self, ticket: Ticket, receipt: Receipt) -> Result<(), End> {
        self.reply(&Reply::Receipt { slot: ticket.slot, receipt }).await?;
        self.grant(1).await
    }

    /// Grants outstanding credits.
    async fn endow(&mut self, permits: OwnedSemaphorePermit) -> Result<(), End> {
        let credits = u32::try_from(permits.num_permits()).unwrap_or(u32::MAX);
        self.keep(permits);
        self.due = self.due.saturating_sub(credits);
        self.grant(credits).await
    }

    fn keep(&mut self, more: OwnedSemaphorePermit) {
        match &mut self.permits {
            Some(permits) => permits.merge(more),
            None => self.permits = Some(more),
        }
    }

    async fn grant(&mut self, trajectories: u32) -> Result<(), End> {
        if *self.draining.borrow() {
            return Ok(());
        }
        self.reply(&Reply::Credit(trajectories)).await?;
        self.assembler.grant(trajectories);
        Ok(())
    }

    async fn reply(&self, reply: &Reply) -> Result<(), End> {
        let message = Ok(reply::to_wire(reply, &self.limits));
        match timeout(self.idle_timeout, self.replies.send(message)).await {
            Ok(sent) => sent.map_err(|_| End::Gone),
            Err(_) => {
                Err(End::Closed(Status::deadline_exceeded("the client did not read its replies")))
            }
        }
    }
}

/// Waits until the intake drains or is dropped.
async fn set(draining: &mut watch::Receiver<bool>) {
    let _ = draining.wait_for(|draining| *draining).await;
}

fn count(counter: &AtomicU64, by: u64) {
    counter.fetch_add(by, Ordering::Relaxed);
}
