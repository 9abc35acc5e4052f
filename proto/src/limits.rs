//! Limits of received messages, which bound every allocation for them.

/// Limits of messages. Both ends use the same: a sender refuses what a receiver would reject.
///
/// A receiver holds at most `max_trajectory_bytes` per granted credit, and the frame that it is
/// reading.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of one state.
    pub max_state_bytes: usize,
    /// Bytes of all states of one trajectory.
    pub max_trajectory_bytes: usize,
    /// Timesteps of one trajectory.
    pub max_timesteps: usize,
    /// Bytes of an id, a task, a component's name or a `traceparent`.
    pub max_text_bytes: usize,
    /// Bytes of a reason; longer ones are cut, not rejected.
    pub max_reason_bytes: usize,
    /// Bytes of a chunk's payload.
    pub max_chunk_bytes: usize,
    /// Components of one score.
    pub max_score_components: usize,
    /// Slots in use on one stream, including those of rejected trajectories.
    pub max_slots: usize,
    /// Bytes of the pixels of one image.
    pub max_image_bytes: usize,
    /// Images of one request for scores.
    pub max_score_images: usize,
    /// Bytes of a score request with more than one image.
    pub max_score_request_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_state_bytes: 16 << 20,
            max_trajectory_bytes: 1 << 30,
            max_timesteps: 1000,
            max_text_bytes: 1024,
            max_reason_bytes: 1024,
            max_chunk_bytes: 1 << 20,
            max_score_components: 256,
            max_slots: 1024,
            max_image_bytes: 48 << 20,
            max_score_images: 256,
            // The default of gRPC implementations.
            max_score_request_bytes: 4 << 20,
        }
    }
}

impl Limits {
    /// Returns the size of the largest encoded message: a chunk, a header or a score.
    pub fn max_message_bytes(&self) -> usize {
        // At most ten bytes per timestep, five per random step, four per log-probability.
        let header = self.max_timesteps.saturating_mul(20);
        let score = self.max_score_components.saturating_mul(self.max_text_bytes + 16);
        self.max_chunk_bytes.max(header).max(score).saturating_add(64 << 10)
    }
    /// Returns the size of the largest encoded answer of a reward server.
    pub fn max_reward_answer_bytes(&self) -> usize {
        // Four bytes per number, and a few for a score's envelope.
        let score = self.max_score_components.saturating_mul(4).saturating_add(32);
        let description = self.max_score_components.saturating_mul(self.max_text_bytes + 8);
        self.max_score_images.saturating_mul(score).max(description).saturating_add(64 << 10)
    }
}
