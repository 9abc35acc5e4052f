//! Sends a batch to the uplink and the board while the device draws it.

use crate::service::device::BatchSink;
use bytes::Bytes;
use ddpo_delivery::uplink::{OutgoingTrajectory, PendingReceipt, Unsendable, Uplink};
use ddpo_inspector::board::Board;
use ddpo_inspector::record::Record;
use ddpo_proto::stream::{Opening, TrajectoryIdentity};
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::order::WorkOrder;
use ddpo_rollout::trajectory::TrajectoryHeader;
use ddpo_service::identity::Worker;
use ddpo_service::telemetry::context::traceparent;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tracing::{Span, field};

/// A sent trajectory: its pending receipt, and the trace span that lasts until the receipt.
pub struct Sent {
    /// The pending receipt.
    pub receipt: PendingReceipt,
    /// Lasts from the first state to the receipt.
    pub span: Span,
}

/// The sink of one batch.
pub struct OutgoingBatch {
    uplink: Uplink,
    board: Board,
    worker: Worker,
    order: Arc<WorkOrder>,
    attempt: u32,
    /// Parent of the trajectories' spans: the device's threads have no current span.
    span: Span,
    slots: Mutex<Slots>,
}

/// A trajectory that the device is drawing.
struct Open {
    id: String,
    /// Indices of the states that are sent.
    kept_states: Arc<[usize]>,
    outgoing: OutgoingTrajectory,
}

#[derive(Default)]
struct Slots {
    outgoing: Vec<Option<Open>>,
    receipts: Vec<Sent>,
    refused: Option<Unsendable>,
}

impl OutgoingBatch {
    /// Creates the sink for the batch of `order`, in the given attempt and the current span.
    pub fn new(
        uplink: Uplink,
        board: Board,
        worker: Worker,
        order: Arc<WorkOrder>,
        attempt: u32,
    ) -> Self {
        let (span, slots) = (Span::current(), Mutex::default());
        Self { uplink, board, worker, order, attempt, span, slots }
    }

    /// Returns the pending receipts, and the first refusal of the uplink, if any.
    pub fn take_receipts(&self) -> (Vec<Sent>, Option<Unsendable>) {
        let mut slots = self.lock();
        (std::mem::take(&mut slots.receipts), slots.refused.take())
    }

    /// Abandons the trajectories that are not finished.
    pub fn abandon(&self, reason: &str) {
        let unfinished: Vec<_> = self.lock().outgoing.iter_mut().filter_map(Option::take).collect();
        for Open { id, outgoing, .. } in unfinished {
            self.board.rejected(&id, reason);
            outgoing.abandon(reason);
        }
    }

    fn opening(&self, trajectory_id: String, header: TrajectoryHeader, span: &Span) -> Opening {
        let order = &self.order;
        let identity = TrajectoryIdentity {
            trajectory_id,
            run_id: order.run_id.clone(),
            order_id: order.order_id.clone(),
            attempt: self.attempt,
            worker_id: self.worker.id.clone(),
            incarnation: self.worker.incarnation,
            track: order.weights.track,
            // Without a collector, the sampler forwards the trace context that it received.
            traceparent: traceparent(span).or_else(|| order.traceparent.clone()),
        };
        Opening { identity, header }
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        // A panic under the lock leaves a slot too few; the batch then fails as a whole.
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the id of a sample's trajectory, which is the same on every sampler.
pub fn trajectory_id(order: &WorkOrder, sample: u32) -> String {
    let purpose = match order.purpose {
        Purpose::Evaluation => "evaluation",
        _ => "rollout",
    };
    let WorkOrder { run_id, epoch, weights, .. } = order;
    format!("{run_id}/{purpose}-{epoch:06}-{weights}-{sample:06}")
}

impl BatchSink for OutgoingBatch {
    fn opened(&self, index: usize, header: TrajectoryHeader) {
        let id = trajectory_id(&self.order, header.coordinates.sample);
        let span = tracing::info_span!(
            parent: &self.span, "send", trajectory.id = id, verdict = field::Empty
        );
        let opening = self.opening(id.clone(), header, &span);
        let identity = &opening.identity;
        let record = Record::new(&id, &identity.run_id, &identity.worker_id, &opening.header);
        self.board.open(record);
        let kept_states = Arc::clone(&opening.header.kept_states);
        let opened = self.uplink.open(opening);
        let mut slots = self.lock();
        if slots.outgoing.len() <= index {
            slots.outgoing.resize_with(index + 1, || None);
        }
        match opened {
            Ok((outgoing, receipt)) => {
                slots.outgoing[index] = Some(Open { id, kept_states, outgoing });
                slots.receipts.push(Sent { receipt, span });
            }
            Err(error) => _ = slots.refused.get_or_insert(error),
        }
    }

    fn state(&self, index: usize, step: usize, state: Bytes) {
        let mut slots = self.lock();
        let Some(Some(Open { id, kept_states, outgoing })) = slots.outgoing.get_mut(index) else {
            return;
        };
        let id = id.clone();
        let is_sent = kept_states.binary_search(&step).is_ok();
        if is_sent && let Err(error) = outgoing.append_state(state.clone()) {
            slots.refused.get_or_insert(error);
        }
        drop(slots);
        self.board.state(&id, step, state);
    }

    fn finished(&self, index: usize, log_probs: &[f32]) {
        let slot = self.lock().outgoing.get_mut(index).and_then(Option::take);
        let Some(Open { id, outgoing, .. }) = slot else { return };
        if let Err(error) = outgoing.finish(log_probs.to_vec(), None) {
            self.lock().refused.get_or_insert(error);
        }
        self.board.complete(&id, log_probs);
    }
}
