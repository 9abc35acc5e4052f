//! Copies the events of an intake to the board.

use ddpo_delivery::intake::IntakeEvent;
use ddpo_inspector::board::Board;
use ddpo_inspector::record::Record;

/// Updates the board with one event.
pub fn note(board: &Board, event: IntakeEvent<'_>) {
    match event {
        IntakeEvent::Opened { opening } => {
            let identity = &opening.identity;
            let (id, run) = (&identity.trajectory_id, &identity.run_id);
            board.open(Record::new(id, run, &identity.worker_id, &opening.header));
        }
        IntakeEvent::State { opening, index, state } => {
            board.state(&opening.identity.trajectory_id, index, state.clone());
        }
        IntakeEvent::Abandoned { opening, reason } => {
            board.rejected(&opening.identity.trajectory_id, reason);
        }
        IntakeEvent::Lost { opening } => {
            board.rejected(&opening.identity.trajectory_id, "its stream broke");
        }
        IntakeEvent::Rejected { trajectory_id, error } => {
            board.rejected(trajectory_id, &error.to_string());
        }
    }
}
