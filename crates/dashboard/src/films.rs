//! Which trajectories move on the page, and the pictures of them.
//!
//! A few places, each with one trajectory from x_T to x_0. States come when they come: from a slow
//! model one by one, from a fast one or from another service all at once; the page gets them in order,
//! one a tick. A place keeps what has not been shown yet, a few states out of all, so that it is small
//! whatever the number of steps, and takes the next trajectory once its own has been shown to the end.

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

/// Trajectories that move at one time: with the pace of the painter this bounds the pictures a second.
pub const PLACES: usize = 4;

/// States of one trajectory that are shown, x_T besides.
const FRAMES: usize = 8;

/// Side of a picture at most (pixels).
pub const SIDE: usize = 64;

/// How long a finished trajectory stays.
const STAY: Duration = Duration::from_millis(1500);

/// How long a trajectory that has stopped growing keeps its place.
const PATIENCE: Duration = Duration::from_secs(60);

/// A look at a trajectory.
#[derive(Clone, Debug)]
pub struct Sight {
    /// Its id.
    pub id: String,
    /// Who makes it.
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
    /// Of how many.
    pub steps: usize,
    /// Whether it still grows.
    pub grows: bool,
    /// Its reward, once scored.
    pub reward: Option<f32>,
    /// Its latest state.
    pub state: Option<State>,
}

/// A state, as a record has it or as a picture that somebody else has made.
#[derive(Clone, Debug)]
pub enum State {
    /// Of this process's board.
    Own(Arc<Record>),
    /// A PNG.
    Png(Bytes),
}

impl Sight {
    /// The board's record.
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

/// What the page shows at a place.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shot {
    /// Which trajectory.
    pub name: String,
    /// Who makes it.
    pub worker: String,
    /// Version of its weights.
    pub version: u64,
    /// Denoising steps done.
    pub done: usize,
    /// Of how many.
    pub steps: usize,
    /// Its reward, once all is shown and it is known.
    pub reward: Option<f32>,
    /// Its state as a data URI.
    pub picture: String,
}

/// All places.
#[derive(Debug, Default)]
pub struct Films {
    places: [Option<Film>; PLACES],
}

#[derive(Debug)]
struct Film {
    latest: Sight,
    waiting: VecDeque<Sight>,
    /// Steps of the last state that was taken up.
    taken: usize,
    changed: Instant,
    shot: Option<Shot>,
}

impl Films {
    /// Takes note of a trajectory if it has a place, and gives it back if it has none.
    pub fn follow(&mut self, sight: Sight, now: Instant) -> Option<Sight> {
        match self.places.iter_mut().flatten().find(|film| film.latest.id == sight.id) {
            None => Some(sight),
            Some(film) => {
                film.note(sight, now);
                None
            }
        }
    }

    /// Takes note of a trajectory: one that has none gets a place, if there is one.
    pub fn note(&mut self, sight: Sight, now: Instant) {
        let Some(sight) = self.follow(sight, now) else { return };
        if sight.grows && sight.state.is_some() {
            // Whoever begins to watch sees what is under way; after that, each from its noise on.
            let begins = sight.done == 0;
            let is_free = |place: &&mut Option<Film>| match place {
                None => true,
                Some(film) => begins && film.over(now),
            };
            if let Some(place) = self.places.iter_mut().find(is_free) {
                *place = Some(Film::new(sight, now));
            }
        }
    }

    /// The next picture of each place that has something new.
    pub fn tick(&mut self, now: Instant) -> Vec<(usize, Shot)> {
        let films = self.places.iter_mut().enumerate();
        films.filter_map(|(place, film)| Some((place, film.as_mut()?.next(now)?))).collect()
    }
}

impl Film {
    fn new(sight: Sight, now: Instant) -> Self {
        let (taken, waiting) = (sight.done, VecDeque::from([sight.clone()]));
        Self { latest: sight, waiting, taken, changed: now, shot: None }
    }

    /// Whether all has been shown for a while, or nothing comes any more.
    fn over(&self, now: Instant) -> bool {
        let quiet = now.saturating_duration_since(self.changed);
        let shown = self.waiting.is_empty() && !self.latest.grows;
        quiet > PATIENCE || (shown && quiet > STAY)
    }

    fn note(&mut self, sight: Sight, now: Instant) {
        let every = sight.steps.div_ceil(FRAMES).max(1);
        let due = sight.done >= self.taken + every || sight.done == sight.steps;
        if sight.state.is_some() && due && sight.done > self.taken {
            self.taken = sight.done;
            self.waiting.push_back(sight.clone());
        }
        self.changed = now;
        // Two who watch the same trajectory need not be of one mind; what has ended stays ended.
        let (grows, reward) =
            (sight.grows && self.latest.grows, sight.reward.or(self.latest.reward));
        self.latest = Sight { state: None, grows, reward, ..sight };
    }

    fn next(&mut self, now: Instant) -> Option<Shot> {
        let next = self.waiting.pop_front();
        let picture = match &next {
            Some(sight) => {
                self.changed = now;
                sight.state.as_ref().and_then(picture)
            }
            None => None,
        };
        let before = self.shot.as_ref().map(|shot| (shot.done, shot.picture.clone()));
        let (done, picture) = match (next, picture, before) {
            (Some(sight), Some(picture), _) => (sight.done, picture),
            (_, _, before) => before?,
        };
        let latest = &self.latest;
        let what = if latest.evaluation {
            "evaluation".into()
        } else {
            format!("epoch {}", latest.epoch + 1)
        };
        let shot = Shot {
            name: format!("{what}, sample {}", latest.sample),
            worker: latest.worker.clone(),
            version: latest.version,
            done,
            steps: latest.steps,
            reward: latest.reward.filter(|_| self.waiting.is_empty()),
            picture,
        };
        let news = self.shot.as_ref() != Some(&shot);
        self.shot = Some(shot.clone());
        news.then_some(shot)
    }
}

/// A state as a data URI; none where it is no image.
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

    fn sight(id: &str, done: usize, steps: usize) -> Sight {
        Sight {
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

    fn shown(films: &mut Films, now: Instant) -> Vec<usize> {
        std::iter::from_fn(|| films.tick(now).first().map(|(_, shot)| shot.done)).collect()
    }

    #[test]
    fn states_that_come_at_once_are_shown_one_a_tick_and_few_of_many() {
        let now = Instant::now();
        let mut films = Films::default();
        (0..=40).for_each(|done| films.note(sight("a", done, 40), now));
        assert_eq!(shown(&mut films, now), [0, 5, 10, 15, 20, 25, 30, 35, 40]);
        // The reward comes with the last picture, which is not made again.
        let scored = Sight { grows: false, reward: Some(2.0), state: None, ..sight("a", 40, 40) };
        films.note(scored, now);
        let shots = films.tick(now);
        assert_eq!((shots[0].1.reward, shots[0].1.done), (Some(2.0), 40));
        assert!(films.tick(now).is_empty());
    }

    #[test]
    fn a_place_is_kept_until_its_trajectory_was_shown_and_then_given_on() {
        let now = Instant::now();
        let mut films = Films::default();
        for id in ["a", "b", "c", "d", "e"] {
            films.note(sight(id, 0, 2), now);
        }
        assert_eq!(films.tick(now).len(), PLACES, "there is none for the fifth");
        films.note(Sight { grows: false, ..sight("a", 2, 2) }, now);
        films.note(sight("f", 0, 2), now);
        assert_eq!(films.tick(now).len(), 1, "the end of the first is to be seen");
        let later = now + STAY * 2;
        films.note(sight("g", 0, 2), later);
        assert_eq!(films.tick(later)[0].0, 0);
        // One that is stuck does not keep its place for ever.
        let much_later = now + PATIENCE * 2;
        films.note(sight("h", 0, 2), much_later);
        assert_eq!(films.tick(much_later)[0].1.done, 0);
    }
}
