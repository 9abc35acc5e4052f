//! Plays the denoising of a few trajectories on the page.
//!
//! Each slot shows one trajectory from x_T to x_0. States arrive one by one from a slow model, and all
//! at once from a fast model or another service. The page gets them in order, one per tick. A slot
//! queues only a few of the states, so its size does not depend on the number of steps. After the last
//! state, the slot takes the next trajectory.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use ddpo_inspector::record::{Record, Stage};
use ddpo_inspector::thumbnail;
use ddpo_rollout::noise::Purpose;
use serde::Serialize;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Number of trajectories shown at one time. With the tick, it bounds the pictures per second.
pub const SLOTS: usize = 4;

/// Number of shown states of one trajectory, besides x_T.
const FRAMES: usize = 8;

/// Largest side of a picture (pixels).
pub const SIDE: usize = 64;

/// Time that a finished trajectory stays in its slot.
const STAY: Duration = Duration::from_millis(1500);

/// Time after which a trajectory without new states loses its slot.
const PATIENCE: Duration = Duration::from_secs(60);

/// A trajectory at one moment.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Its id.
    pub id: String,
    /// The worker that draws it.
    pub worker: String,
    /// Whether it is for an evaluation.
    pub evaluation: bool,
    /// Epoch, from 0.
    pub epoch: u32,
    /// Index within the epoch.
    pub sample: u32,
    /// Version of its weights.
    pub version: u64,
    /// Denoising steps done.
    pub done: usize,
    /// Total denoising steps.
    pub steps: usize,
    /// Whether states are still to come.
    pub grows: bool,
    /// Its reward, once scored.
    pub reward: Option<f32>,
    /// Its latest state.
    pub state: Option<State>,
}

/// A state, from this process's board or as another service's picture.
#[derive(Clone, Debug)]
pub enum State {
    /// A record of this process's board.
    Own(Arc<Record>),
    /// A PNG.
    Png(Bytes),
}

impl Snapshot {
    /// Takes a snapshot of a record of the board.
    pub fn of(record: Arc<Record>) -> Self {
        Self {
            id: record.trajectory_id.to_string(),
            worker: record.worker_id.to_string(),
            evaluation: record.purpose == Purpose::Evaluation,
            epoch: record.epoch,
            sample: record.sample,
            version: record.policy_version,
            done: record.steps_done,
            steps: record.timesteps.len(),
            grows: record.stage == Stage::Growing,
            reward: record.score.as_ref().map(|score| score.reward),
            state: record.state.is_some().then_some(State::Own(record)),
        }
    }
}

/// What the page shows in a slot.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Frame {
    /// Name of the trajectory.
    pub name: String,
    /// The worker that draws it.
    pub worker: String,
    /// Version of its weights.
    pub version: u64,
    /// Denoising steps done.
    pub done: usize,
    /// Total denoising steps.
    pub steps: usize,
    /// The reward, after all states were shown.
    pub reward: Option<f32>,
    /// The state as a data URI.
    pub picture: String,
}

/// All slots.
#[derive(Debug, Default)]
pub struct Playback {
    slots: [Option<Slot>; SLOTS],
}

#[derive(Debug)]
struct Slot {
    latest: Snapshot,
    waiting: VecDeque<Snapshot>,
    /// Steps of the last state that was queued.
    taken: usize,
    changed: Instant,
    frame: Option<Frame>,
}

impl Playback {
    /// Updates the slot of a trajectory; returns the snapshot if the trajectory has no slot.
    pub fn follow(&mut self, snapshot: Snapshot, now: Instant) -> Option<Snapshot> {
        match self.slots.iter_mut().flatten().find(|slot| slot.latest.id == snapshot.id) {
            None => Some(snapshot),
            Some(slot) => {
                slot.note(snapshot, now);
                None
            }
        }
    }

    /// Updates the slot of a trajectory, or assigns a free slot.
    pub fn note(&mut self, snapshot: Snapshot, now: Instant) {
        let Some(snapshot) = self.follow(snapshot, now) else { return };
        if snapshot.grows && snapshot.state.is_some() {
            // The first trajectories may have started already; later ones are shown from the noise on.
            let begins = snapshot.done == 0;
            let is_free = |slot: &&mut Option<Slot>| match slot {
                None => true,
                Some(slot) => begins && slot.over(now),
            };
            if let Some(slot) = self.slots.iter_mut().find(is_free) {
                *slot = Some(Slot::new(snapshot, now));
            }
        }
    }

    /// Returns the next frame of each slot that has a new one.
    pub fn tick(&mut self, now: Instant) -> Vec<(usize, Frame)> {
        let slots = self.slots.iter_mut().enumerate();
        slots.filter_map(|(index, slot)| Some((index, slot.as_mut()?.next(now)?))).collect()
    }
}

impl Slot {
    fn new(snapshot: Snapshot, now: Instant) -> Self {
        let (taken, waiting) = (snapshot.done, VecDeque::from([snapshot.clone()]));
        Self { latest: snapshot, waiting, taken, changed: now, frame: None }
    }

    /// Returns whether the last state was shown long enough, or the trajectory stopped growing.
    fn over(&self, now: Instant) -> bool {
        let quiet = now.saturating_duration_since(self.changed);
        let shown = self.waiting.is_empty() && !self.latest.grows;
        quiet > PATIENCE || (shown && quiet > STAY)
    }

    fn note(&mut self, snapshot: Snapshot, now: Instant) {
        let every = snapshot.steps.div_ceil(FRAMES).max(1);
        let due = snapshot.done >= self.taken + every || snapshot.done == snapshot.steps;
        if snapshot.state.is_some() && due && snapshot.done > self.taken {
            self.taken = snapshot.done;
            self.waiting.push_back(snapshot.clone());
        }
        self.changed = now;
        // Reports of two services may arrive in any order, so an ended trajectory stays ended.
        let (grows, reward) =
            (snapshot.grows && self.latest.grows, snapshot.reward.or(self.latest.reward));
        self.latest = Snapshot { state: None, grows, reward, ..snapshot };
    }

    fn next(&mut self, now: Instant) -> Option<Frame> {
        let next = self.waiting.pop_front();
        let picture = match &next {
            Some(snapshot) => {
                self.changed = now;
                snapshot.state.as_ref().and_then(picture)
            }
            None => None,
        };
        let before = self.frame.as_ref().map(|frame| (frame.done, frame.picture.clone()));
        let (done, picture) = match (next, picture, before) {
            (Some(snapshot), Some(picture), _) => (snapshot.done, picture),
            (_, _, before) => before?,
        };
        let latest = &self.latest;
        let what = if latest.evaluation {
            "evaluation".into()
        } else {
            format!("epoch {}", latest.epoch + 1)
        };
        let frame = Frame {
            name: format!("{what}, sample {}", latest.sample),
            worker: latest.worker.clone(),
            version: latest.version,
            done,
            steps: latest.steps,
            reward: latest.reward.filter(|_| self.waiting.is_empty()),
            picture,
        };
        let news = self.frame.as_ref() != Some(&frame);
        self.frame = Some(frame.clone());
        news.then_some(frame)
    }
}

/// Returns the state as a data URI; `None` if it is not an image.
pub fn picture(state: &State) -> Option<String> {
    let png = match state {
        State::Own(record) => thumbnail::png(record, SIDE).ok()?,
        State::Png(png) => png.to_vec(),
    };
    Some(format!("data:image/png;base64,{}", STANDARD.encode(png)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snapshot(id: &str, done: usize, steps: usize) -> Snapshot {
        Snapshot {
            id: id.into(),
            worker: "worker".into(),
            evaluation: false,
            epoch: 0,
            sample: 3,
            version: 7,
            done,
            steps,
            grows: true,
            reward: None,
            state: Some(State::Png(Bytes::from(vec![done as u8]))),
        }
    }

    fn shown(playback: &mut Playback, now: Instant) -> Vec<usize> {
        std::iter::from_fn(|| playback.tick(now).first().map(|(_, frame)| frame.done)).collect()
    }

    #[test]
    fn shows_a_few_of_many_states_one_per_tick() {
        let now = Instant::now();
        let mut playback = Playback::default();
        (0..=40).for_each(|done| playback.note(snapshot("a", done, 40), now));
        assert_eq!(shown(&mut playback, now), [0, 5, 10, 15, 20, 25, 30, 35, 40]);
        // The reward arrives with the last picture, which is not encoded again.
        let scored =
            Snapshot { grows: false, reward: Some(2.0), state: None, ..snapshot("a", 40, 40) };
        playback.note(scored, now);
        let frames = playback.tick(now);
        assert_eq!((frames[0].1.reward, frames[0].1.done), (Some(2.0), 40));
        assert!(playback.tick(now).is_empty());
    }

    #[test]
    fn slot_takes_the_next_trajectory_after_the_last_state() {
        let now = Instant::now();
        let mut playback = Playback::default();
        for id in ["a", "b", "c", "d", "e"] {
            playback.note(snapshot(id, 0, 2), now);
        }
        assert_eq!(playback.tick(now).len(), SLOTS, "the fifth gets no slot");
        playback.note(Snapshot { grows: false, ..snapshot("a", 2, 2) }, now);
        playback.note(snapshot("f", 0, 2), now);
        assert_eq!(playback.tick(now).len(), 1, "the end of the first is still shown");
        let later = now + STAY * 2;
        playback.note(snapshot("g", 0, 2), later);
        assert_eq!(playback.tick(later)[0].0, 0);
        // A stuck trajectory loses its slot.
        let much_later = now + PATIENCE * 2;
        playback.note(snapshot("h", 0, 2), much_later);
        assert_eq!(playback.tick(much_later)[0].1.done, 0);
    }
}
