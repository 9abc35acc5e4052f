//! Conversion of the board's records to the messages of `ddpo.v1`.

use bytes::Bytes;
use ddpo_inspector::record::{Record, Stage};
use ddpo_inspector::thumbnail;
use ddpo_proto::wire;
use ddpo_rollout::noise::Purpose;

/// Converts a record without its states and scores.
pub fn summary(record: &Record) -> wire::TrajectorySummary {
    wire::TrajectorySummary {
        trajectory_id: record.trajectory_id.to_string(),
        run_id: record.run_id.to_string(),
        purpose: purpose(record.purpose).into(),
        epoch: record.epoch,
        sample: record.sample,
        policy_version: record.policy_version,
        worker_id: record.worker_id.to_string(),
        stage: stage(record.stage).into(),
        steps_done: record.steps_done as u32,
        steps_total: record.timesteps.len() as u32,
        reward: record.score.as_ref().map(|score| score.reward),
        updated_unix_ms: record.updated_unix_ms,
        reason: record.reason.clone(),
    }
}

/// Converts a change, with an image of at most `side` pixels if the state can be shown.
pub fn event(record: &Record, side: Option<usize>) -> wire::TrajectoryEvent {
    let picture = side.and_then(|side| thumbnail::png(record, side).ok());
    wire::TrajectoryEvent {
        trajectory: Some(summary(record)),
        thumbnail_png: picture.unwrap_or_default().into(),
    }
}

/// Converts a record with its scores and image.
pub fn full(record: &Record, image_png: Vec<u8>) -> wire::GetTrajectoryResponse {
    let score = record.score.as_ref().map(|score| wire::TrajectoryScore {
        reward: score.reward,
        components: score
            .components
            .iter()
            .map(|part| wire::ScoreComponent { name: part.name.clone(), value: part.value })
            .collect(),
        reward_label: String::new(),
        reward_digest: Bytes::new(),
    });
    wire::GetTrajectoryResponse {
        trajectory: Some(summary(record)),
        timesteps: record.timesteps.to_vec(),
        log_probs: record.log_probs.clone(),
        score,
        image_png: image_png.into(),
    }
}

fn purpose(purpose: Purpose) -> wire::Purpose {
    match purpose {
        Purpose::Rollout => wire::Purpose::Rollout,
        Purpose::Evaluation => wire::Purpose::Evaluation,
        Purpose::Pretraining
        | Purpose::Weights
        | Purpose::StepChoice
        | Purpose::WindowChoice
        | Purpose::LevelChoice
        | Purpose::ForwardNoise
        | Purpose::ClassLabel
        | Purpose::Anchor
        | Purpose::AnchorChoice
        | Purpose::AnchorNoise => wire::Purpose::Unspecified,
    }
}

fn stage(stage: Stage) -> wire::Stage {
    match stage {
        Stage::Growing => wire::Stage::Growing,
        Stage::Complete => wire::Stage::Complete,
        Stage::Scored => wire::Stage::Scored,
        Stage::Accepted => wire::Stage::Accepted,
        Stage::Trained => wire::Stage::Trained,
        Stage::Rejected => wire::Stage::Rejected,
    }
}
