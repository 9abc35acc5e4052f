//! The table of faults, shuffled with a seed. The same seed gives the same order.

use ddpo_rollout::noise::{NoiseKey, Purpose};
use std::time::Duration;

/// A fault that the test injects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// SIGKILL of a sampler, and a restart after a pause.
    KillSampler,
    /// SIGSTOP of a sampler, and SIGCONT after a pause.
    PauseSampler,
    /// SIGTERM of a sampler, and a restart when it has exited.
    TermSampler,
    /// SIGKILL of a rewarder.
    KillRewarder,
    /// SIGSTOP of a rewarder.
    PauseRewarder,
    /// SIGTERM of a rewarder.
    TermRewarder,
    /// SIGKILL of the learner.
    KillLearner,
    /// SIGSTOP of the learner, sometimes for longer than its lease.
    PauseLearner,
    /// SIGTERM of the learner.
    TermLearner,
    /// SIGKILL of Redis, and a restart with an empty store.
    KillRedis,
    /// FLUSHALL.
    FlushRedis,
    /// Cuts the samplers' connections to one rewarder.
    CutToRewarder,
    /// Cuts the rewarders' connections to the learner.
    CutToLearner,
    /// Flips a bit of a state on its way to a rewarder.
    CorruptToRewarder,
    /// Flips a bit of a state on its way to the learner.
    CorruptToLearner,
    /// A third-party client sends valid trajectories, each twice, to a rewarder.
    DuplicateToRewarder,
    /// A third-party client sends valid, scored trajectories, each twice, to the learner.
    DuplicateToLearner,
    /// A third-party client sends corrupt chunks, forged trajectories and random bytes.
    Garbage,
}

/// Faults of the first part of the test, with the number of each.
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

/// Faults that end only the process of Redis, so that the counters of the services survive.
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

/// Random draws that depend only on the seed and on the number of earlier draws.
#[derive(Clone, Copy, Debug)]
pub struct Dice {
    seed: u64,
    rolled: u32,
}

impl Dice {
    /// Makes a source of draws with `seed`.
    pub fn new(seed: u64) -> Self {
        Self { seed, rolled: 0 }
    }

    /// Draws a number below `limit`.
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

    /// Draws a time from `from` to `to` milliseconds.
    pub fn between(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(from + self.below((to - from) as usize) as u64)
    }
}

/// Returns the faults of a table in random order.
pub fn shuffled(table: &[(Fault, usize)], dice: &mut Dice) -> Vec<Fault> {
    let faults = table.iter().flat_map(|&(fault, count)| std::iter::repeat_n(fault, count));
    let mut faults: Vec<Fault> = faults.collect();
    for last in (1..faults.len()).rev() {
        faults.swap(last, dice.below(last + 1));
    }
    faults
}
