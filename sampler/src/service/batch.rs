//! A batch on its way out: what the device makes goes to the uplink and onto the board at once.

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

/// A trajectory on its way: its receipt to come, and the span of the trace that lasts until then.
pub struct Sent {
    /// The receipt to come.
    pub receipt: PendingReceipt,
    /// From the first state to the receipt.
    pub span: Span,
}

/// The sink of one batch.
pub struct OutgoingBatch {
    uplink: Uplink,
    board: Board,
    worker: Worker,
    order: Arc<WorkOrder>,
    attempt: u32,
    /// What the trajectories' spans are parts of: the device's threads know no current span.
    span: Span,
    places: Mutex<Places>,
}

/// A trajectory that the device is drawing.
struct Open {
    id: String,
    /// Indices of the states that are sent.
    kept_states: Arc<[usize]>,
    outgoing: OutgoingTrajectory,
}

#[derive(Default)]
struct Places {
    outgoing: Vec<Option<Open>>,
    receipts: Vec<Sent>,
    refused: Option<Unsendable>,
}

impl OutgoingBatch {
    /// The sink of the batch of `order`, drawn in the given attempt and in the current span.
    pub fn new(
        uplink: Uplink,
        board: Board,
        worker: Worker,
        order: Arc<WorkOrder>,
        attempt: u32,
    ) -> Self {
        let (span, places) = (Span::current(), Mutex::default());
        Self { uplink, board, worker, order, attempt, span, places }
    }

    /// The receipts to come, and the first refusal of the uplink if there was one.
    pub fn take_receipts(&self) -> (Vec<Sent>, Option<Unsendable>) {
        let mut places = self.lock();
        (std::mem::take(&mut places.receipts), places.refused.take())
    }

    /// Gives up what is not finished.
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
            // A sampler without a collector passes on what it was given.
            traceparent: traceparent(span).or_else(|| order.traceparent.clone()),
        };
        Opening { identity, header }
    }

    fn lock(&self) -> MutexGuard<'_, Places> {
        // A panic under the lock leaves a place too few; the batch then fails as a whole.
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The id of a sample's trajectory: the same whoever draws it.
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
        let mut places = self.lock();
        if places.outgoing.len() <= index {
            places.outgoing.resize_with(index + 1, || None);
        }
        match opened {
            Ok((outgoing, receipt)) => {
                places.outgoing[index] = Some(Open { id, kept_states, outgoing });
                places.receipts.push(Sent { receipt, span });
            }
            Err(error) => _ = places.refused.get_or_insert(error),
        }
    }

    fn state(&self, index: usize, step: usize, state: Bytes) {
        let mut places = self.lock();
        let Some(Some(Open { id, kept_states, outgoing })) = places.outgoing.get_mut(index) else {
            return;
        };
        let id = id.clone();
        let is_sent = kept_states.binary_search(&step).is_ok();
        if is_sent && let Err(error) = outgoing.append_state(state.clone()) {
            places.refused.get_or_insert(error);
        }
        drop(places);
        self.board.state(&id, step, state);
    }

    fn finished(&self, index: usize, log_probs: &[f32]) {
        let place = self.lock().outgoing.get_mut(index).and_then(Option::take);
        let Some(Open { id, outgoing, .. }) = place else { return };
        if let Err(error) = outgoing.finish(log_probs.to_vec(), None) {
            self.lock().refused.get_or_insert(error);
        }
        self.board.complete(&id, log_probs);
    }
}
