//! The faults, shuffled by a seed: the same seed always deals the same order.

use ddpo_rollout::noise::{NoiseKey, Purpose};
use std::time::Duration;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// SIGKILL of a sampler, restarted a moment later.
    KillSampler,
    /// SIGSTOP of a sampler, SIGCONT a moment later.
    PauseSampler,
    /// SIGTERM of a sampler, restarted once it has ended.
    TermSampler,
    /// SIGKILL of a rewarder.
    KillRewarder,
    /// SIGSTOP of a rewarder.
    PauseRewarder,
    /// SIGTERM of a rewarder.
    TermRewarder,
    /// SIGKILL of the learner.
    KillLearner,
    /// SIGSTOP of the learner, sometimes for longer than its lease lasts.
    PauseLearner,
    /// SIGTERM of the learner.
    TermLearner,
    /// SIGKILL of Redis, restarted empty.
    KillRedis,
    /// FLUSHALL.
    FlushRedis,
    /// The samplers' connections to one rewarder are cut.
    CutToRewarder,
    /// The rewarders' connections to the learner are cut.
    CutToLearner,
    /// A bit of a state flips on the way to a rewarder.
    CorruptToRewarder,
    /// A bit of a state flips on the way to the learner.
    CorruptToLearner,
    /// A stranger sends good trajectories, each twice, to a rewarder.
    DuplicateToRewarder,
    /// A stranger sends good trajectories with good scores, each twice, to the learner.
    DuplicateToLearner,
    /// A stranger sends corrupt chunks, forged trajectories and garbage.
    Garbage,
}

/// Faults of the storm, and how many of each.
pub const STORM: &[(Fault, usize)] = &[
    (Fault::KillSampler, 80),
    (Fault::PauseSampler, 60),
    (Fault::TermSampler, 15),
    (Fault::KillRewarder, 50),
    (Fault::PauseRewarder, 40),
    (Fault::TermRewarder, 10),
    (Fault::KillLearner, 10),
    (Fault::PauseLearner, 10),
    (Fault::TermLearner, 4),
    (Fault::KillRedis, 10),
    (Fault::FlushRedis, 16),
    (Fault::CutToRewarder, 55),
    (Fault::CutToLearner, 45),
    (Fault::CorruptToRewarder, 40),
    (Fault::CorruptToLearner, 30),
    (Fault::DuplicateToRewarder, 15),
    (Fault::DuplicateToLearner, 15),
    (Fault::Garbage, 20),
];

/// Faults that end no process but Redis, so that the services' counters last.
pub const SQUALL: &[(Fault, usize)] = &[
    (Fault::PauseSampler, 4),
    (Fault::PauseRewarder, 4),
    (Fault::PauseLearner, 1),
    (Fault::KillRedis, 1),
    (Fault::FlushRedis, 2),
    (Fault::CutToRewarder, 6),
    (Fault::CutToLearner, 6),
    (Fault::CorruptToRewarder, 4),
    (Fault::CorruptToLearner, 4),
    (Fault::DuplicateToRewarder, 2),
    (Fault::DuplicateToLearner, 2),
    (Fault::Garbage, 3),
];

/// Draws that depend on the seed and their number alone.
#[derive(Clone, Copy, Debug)]
pub struct Dice {
    seed: u64,
    rolled: u32,
}

impl Dice {
    /// The dice of a seed.
    pub fn new(seed: u64) -> Self {
        Self { seed, rolled: 0 }
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        let key = NoiseKey {
            seed: self.seed,
            purpose: Purpose::StepChoice,
            epoch: self.rolled,
            sample: 0,
            step: 0,
        };
        self.rolled += 1;
        let mut draw = [0.0];
        key.fill_uniform(&mut draw);
        ((f64::from(draw[0]) * limit as f64) as usize).min(limit.saturating_sub(1))
    }

    /// A time between the two, in milliseconds.
    pub fn between(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below((to - from) as usize) as u64)
    }
}

/// The faults of a table, shuffled.
pub fn shuffled(table: &[(Fault, usize)], dice: &mut Dice) -> Vec<Fault> {
    let faults = table.iter().flat_map(|&(fault, count)| std::iter::repeat_n(fault, count));
    let mut faults: Vec<Fault> = faults.collect();
    for last in (1..faults.len()).rev() {
        faults.swap(last, dice.below(last + 1));
    }
    faults
}
