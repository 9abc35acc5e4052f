//! Errors of a trajectory's messages, one variant per kind.

use thiserror::Error;

/// Errors of one trajectory's messages; its stream stays open.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum Malformed {
    /// A required field is missing.
    #[error("{0}: expected a value, found none")]
    Missing(&'static str),
    /// An enumeration is UNSPECIFIED.
    #[error("{0}: expected a specified value, found UNSPECIFIED")]
    Unspecified(&'static str),
    /// An enumeration has an unknown number.
    #[error("{field}: expected a known value, found {found}")]
    Unknown {
        /// The field.
        field: &'static str,
        /// Its number.
        found: i32,
    },
    /// A digest is not 32 bytes.
    #[error("{field}: expected a digest of 32 bytes, found {found}")]
    DigestLength {
        /// The field.
        field: &'static str,
        /// Bytes found.
        found: usize,
    },
    /// A text is not a reward expression.
    #[error("{field}: expected {reason}")]
    Reward {
        /// The field.
        field: &'static str,
        /// The error of the parser, from after "expected".
        reason: String,
    },
    /// A text is not a window of random steps.
    #[error("trajectories.window: {0}")]
    Window(String),
    /// A revision is not a commit of the Hub.
    #[error("{0}: expected a revision of 40 hexadecimal digits")]
    Revision(&'static str),
    /// A list is longer than the limit.
    #[error("{field}: expected at most {limit} entries, found {found}")]
    TooMany {
        /// The field.
        field: &'static str,
        /// Entries allowed.
        limit: usize,
        /// Entries found.
        found: usize,
    },
    /// A text is longer than the limit.
    #[error("{field}: expected at most {limit} bytes, found {found}")]
    TextTooLong {
        /// The field.
        field: &'static str,
        /// Bytes allowed.
        limit: usize,
        /// Bytes found.
        found: usize,
    },
    /// A text contains a control character, which could forge log lines.
    #[error("{0}: expected printable text, found a control character")]
    ControlCharacter(&'static str),
    /// An attempt is 0; attempts count from 1.
    #[error("attempt: expected 1 or more, found 0")]
    AttemptZero,
    /// A trajectory without steps.
    #[error("timesteps: expected at least one, found none")]
    NoTimesteps,
    /// More timesteps than the limit.
    #[error("timesteps: expected at most {limit}, found {found}")]
    TooManyTimesteps {
        /// Timesteps allowed.
        limit: usize,
        /// Timesteps found.
        found: usize,
    },
    /// Timesteps do not fall.
    #[error("timesteps: expected falling values, found a rise at position {0}")]
    TimestepsRise(usize),
    /// Positions of random steps do not rise.
    #[error(
        "random_steps: expected rising values, found a value that does not rise at position {0}"
    )]
    RandomStepsNotRising(usize),
    /// Kept states do not rise, or do not end with x_0.
    #[error("kept_states: expected rising values that end with {timesteps}")]
    KeptStates {
        /// T.
        timesteps: usize,
    },
    /// A random step points beyond the timesteps.
    #[error("random_steps: expected positions below {timesteps}, found {found}")]
    RandomStepOutOfRange {
        /// T.
        timesteps: usize,
        /// Position found.
        found: u32,
    },
    /// A side of the shape is zero.
    #[error("shape.{0}: expected 1 or more, found 0")]
    ShapeZero(&'static str),
    /// A state is larger than the limit.
    #[error("shape: expected states of at most {limit} bytes, found {found}")]
    StateTooLarge {
        /// Bytes allowed.
        limit: usize,
        /// Bytes according to shape and dtype; `u64::MAX` on overflow.
        found: u64,
    },
    /// All states together are larger than the limit.
    #[error("trajectory: expected at most {limit} bytes, found {found}")]
    TrajectoryTooLarge {
        /// Bytes allowed.
        limit: usize,
        /// Bytes according to shape, dtype and timesteps; `u64::MAX` on overflow.
        found: u64,
    },
    /// A chunk without payload.
    #[error("chunk: expected a payload, found none")]
    ChunkEmpty,
    /// A chunk is larger than the limit.
    #[error("chunk: expected at most {limit} bytes, found {found}")]
    ChunkTooLarge {
        /// Bytes allowed.
        limit: usize,
        /// Bytes found.
        found: usize,
    },
    /// A chunk is not the expected next one.
    #[error(
        "chunk: expected state {expected_state} at byte {expected_offset}, \
         found state {found_state} at byte {found_offset}"
    )]
    ChunkOutOfOrder {
        /// State that was expected.
        expected_state: usize,
        /// Byte of the state that was expected.
        expected_offset: usize,
        /// State of the chunk.
        found_state: u32,
        /// Byte of the chunk.
        found_offset: u64,
    },
    /// A chunk ends beyond its state.
    #[error("chunk: expected at most {expected} more bytes of state {state}, found {found}")]
    ChunkBeyondState {
        /// The state.
        state: usize,
        /// Bytes that are missing.
        expected: usize,
        /// Bytes of the chunk.
        found: usize,
    },
    /// A chunk's payload does not match its checksum.
    #[error(
        "chunk of state {state} at byte {offset}: expected crc32 {expected:08x}, found {found:08x}"
    )]
    ChunkChecksum {
        /// The state.
        state: usize,
        /// Byte offset of the chunk.
        offset: usize,
        /// The received CRC-32.
        expected: u32,
        /// CRC-32 of the received payload.
        found: u32,
    },
    /// The footer arrived before all states.
    #[error("footer: expected {expected} states before it, found {found}")]
    StatesMissing {
        /// T + 1.
        expected: usize,
        /// States received.
        found: usize,
    },
    /// The number of log-probabilities differs from the number of random steps.
    #[error("log_probs: expected {expected}, one per random step, found {found}")]
    LogProbCount {
        /// K.
        expected: usize,
        /// Log-probabilities found.
        found: usize,
    },
    /// A log-probability is not finite.
    #[error("log_probs: expected finite values, found a value that is not finite at position {0}")]
    LogProbNotFinite(usize),
    /// A chunk or a second footer arrived after the footer.
    #[error("{0}: expected the score after the footer")]
    AfterFooter(&'static str),
    /// A score arrived before the footer.
    #[error("score: expected the footer before it")]
    ScoreBeforeFooter,
    /// A score was sent to a receiver that computes scores.
    #[error("score: expected none on the way to the rewarder")]
    ScoreForbidden,
    /// The reward is not finite.
    #[error("reward: expected a finite value, found {0}")]
    RewardNotFinite(f32),
    /// A component is not finite.
    #[error("component {0}: expected a finite value")]
    ComponentNotFinite(usize),
    /// More components than the limit.
    #[error("components: expected at most {limit}, found {found}")]
    TooManyComponents {
        /// Components allowed.
        limit: usize,
        /// Components found.
        found: usize,
    },
}
