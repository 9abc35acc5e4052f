//! A window of the denoising chain: the consecutive steps that are random and trained in an epoch.
//! All other steps are deterministic.
//!
//! With a window, the learner trains W steps instead of T, and a trajectory carries at most W + 2
//! states (HRF, Barcelo et al. 2024, arXiv 2410.08315; MixGRPO, Li et al. 2025, arXiv 2507.21802).

use crate::noise::{NoiseKey, Purpose};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// Where the window of an epoch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WindowSchedule {
    /// At a random step, drawn by the key (run seed, epoch).
    Drawn,
    /// Moves by one window each epoch, from the first step to the last, then starts again.
    Moving,
    /// At this position among the random steps, in every epoch.
    At(usize),
    /// At the last random steps, in every epoch.
    Last,
}

/// The size of a window and where it begins. Its text is `W`, `W:drawn`, `W:moving`, `W:last` or
/// `W:START`; `W` alone is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Window {
    /// W, the number of random steps.
    pub width: usize,
    /// Where it begins.
    pub schedule: WindowSchedule,
}

/// A text that does not describe a window.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("expected W, W:drawn, W:moving, W:last or W:START with W at least 1, found {0:?}")]
pub struct NotAWindow(String);

impl Window {
    /// Returns the window's steps in `epoch`: `width` neighbours of `random_steps`, or all of them if
    /// there are fewer.
    pub fn steps(self, random_steps: &[usize], run_seed: u64, epoch: u32) -> Vec<usize> {
        let starts = random_steps.len().saturating_sub(self.width) + 1;
        let last = starts - 1;
        let start = match self.schedule {
            WindowSchedule::At(start) => start.min(last),
            WindowSchedule::Last => last,
            WindowSchedule::Moving => {
                let windows = random_steps.len().div_ceil(self.width).max(1);
                (epoch as usize % windows * self.width).min(last)
            }
            WindowSchedule::Drawn => drawn(run_seed, epoch, starts),
        };
        random_steps.iter().copied().skip(start).take(self.width).collect()
    }
}

/// Returns a keyed draw from `0..count`.
fn drawn(run_seed: u64, epoch: u32, count: usize) -> usize {
    let mut value = [0.0];
    NoiseKey { seed: run_seed, purpose: Purpose::WindowChoice, epoch, sample: 0, step: 0 }
        .fill_uniform(&mut value);
    ((f64::from(value[0]) * count as f64) as usize).min(count - 1)
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let width = self.width;
        match self.schedule {
            WindowSchedule::Drawn => write!(f, "{width}:drawn"),
            WindowSchedule::Moving => write!(f, "{width}:moving"),
            WindowSchedule::Last => write!(f, "{width}:last"),
            WindowSchedule::At(start) => write!(f, "{width}:{start}"),
        }
    }
}

impl FromStr for Window {
    type Err = NotAWindow;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refused = || NotAWindow(text.to_owned());
        let (width, schedule) = text.split_once(':').unwrap_or((text, "drawn"));
        let width = width.parse().ok().filter(|width| *width >= 1).ok_or_else(refused)?;
        let schedule = match schedule {
            "drawn" => WindowSchedule::Drawn,
            "moving" => WindowSchedule::Moving,
            "last" => WindowSchedule::Last,
            start => WindowSchedule::At(start.parse().map_err(|_| refused())?),
        };
        Ok(Self { width, schedule })
    }
}

impl Serialize for Window {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANDOM: [usize; 9] = [0, 1, 2, 3, 4, 5, 6, 7, 8];

    fn window(text: &str) -> Window {
        text.parse().unwrap()
    }

    #[test]
    fn a_text_reads_back_as_the_same_window() {
        for text in ["4:drawn", "3:moving", "2:last", "4:7"] {
            assert_eq!(window(text).to_string(), text);
        }
        assert_eq!(window("4"), window("4:drawn"));
        for text in ["", "0", "-1", "4:", "4:often", "x:3"] {
            assert!(text.parse::<Window>().is_err(), "{text}");
        }
    }

    #[test]
    fn fixed_windows_stay_inside_the_chain() {
        assert_eq!(window("3:2").steps(&RANDOM, 1, 5), [2, 3, 4]);
        assert_eq!(window("3:8").steps(&RANDOM, 1, 5), [6, 7, 8]);
        assert_eq!(window("3:last").steps(&RANDOM, 1, 5), [6, 7, 8]);
        assert_eq!(window("20").steps(&RANDOM, 1, 5), RANDOM);
    }

    #[test]
    fn a_moving_window_covers_every_step_and_starts_again() {
        let steps = |epoch| window("4:moving").steps(&RANDOM, 1, epoch);
        assert_eq!(steps(0), [0, 1, 2, 3]);
        assert_eq!(steps(1), [4, 5, 6, 7]);
        assert_eq!(steps(2), [5, 6, 7, 8]);
        assert_eq!(steps(3), steps(0));
    }

    #[test]
    fn drawn_windows_depend_on_seed_and_epoch_only_and_reach_every_start() {
        let start = |seed, epoch| window("4").steps(&RANDOM, seed, epoch)[0];
        assert_eq!(start(7, 3), start(7, 3));
        let mut starts: Vec<usize> = (0..200).map(|epoch| start(7, epoch)).collect();
        starts.sort_unstable();
        starts.dedup();
        assert_eq!(starts, [0, 1, 2, 3, 4, 5]);
    }
}
