//! Shows a batch's trajectories on the live page while they are drawn and scored.

use ddpo_inspector::board::Board;
use ddpo_inspector::record::Record;
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::score::Score;
use ddpo_rollout::trajectory::{Trajectory, TrajectoryHeader};
use ddpo_sampler::engine::Progress;

/// The name of this process on the page.
pub const WORKER: &str = "ddpo train";

/// The board that shows the batches of one request, if the page is served.
#[derive(Clone, Copy)]
pub struct BatchBoard<'a> {
    /// The board.
    pub board: Option<&'a Board>,
}

impl BatchBoard<'_> {
    /// Opens trajectories on the board, and returns their ids.
    pub fn open(&self, headers: impl Iterator<Item = TrajectoryHeader>) -> Vec<String> {
        let Some(board) = self.board else { return Vec::new() };
        let opened = headers.map(|header| {
            let id = name(&header);
            board.open(Record::new(&id, "", WORKER, &header));
            id
        });
        opened.collect()
    }

    /// Shows states of the trajectories `names`.
    pub fn states(&self, names: &[String], progress: &Progress<'_>) {
        let Some(board) = self.board else { return };
        for (name, state) in names.iter().skip(progress.first).zip(progress.states) {
            board.state(name, progress.step, state.clone());
        }
    }

    /// Shows the scores of trajectories.
    pub fn scored(&self, trajectories: &[Trajectory], scores: &[Score]) {
        let Some(board) = self.board else { return };
        for (trajectory, score) in trajectories.iter().zip(scores) {
            let id = name(trajectory.header());
            board.complete(&id, trajectory.log_probs());
            board.scored(&id, score);
            board.accepted(&id);
        }
    }
}

fn name(header: &TrajectoryHeader) -> String {
    let purpose = match header.purpose {
        Purpose::Evaluation => "evaluation",
        _ => "rollout",
    };
    let (coordinates, version) = (header.coordinates, header.policy_version.0);
    format!("{purpose}-{:06}-{version}-{:06}", coordinates.epoch, coordinates.sample)
}
