//! Who works on the run, as one row each.

use ddpo_inspector::board::Board;
use futures::future::{BoxFuture, FutureExt};
use serde::Serialize;

/// One process, or one part of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Member {
    /// sampler, rewarder or learner.
    pub role: String,
    /// Its name in the run; empty for all of a role that is only known to be there.
    pub name: String,
    /// Whether it works as it should.
    pub well: bool,
    /// What it is doing, or what is wrong with it.
    pub doing: String,
    /// Version of the weights that it works with.
    pub version: Option<u64>,
    /// Versions that those are behind the learner's.
    pub lag: Option<u64>,
    /// Trajectories that it holds.
    pub in_flight: Option<u64>,
}

/// Tells who works on the run.
pub trait Fleet: Send + Sync + 'static {
    /// All that are known now. It is asked every other second while somebody watches, and has that
    /// long to answer.
    fn members(&self) -> BoxFuture<'_, Vec<Member>>;
}

/// The fleet of a run whose parts are all in one process.
#[derive(Clone, Debug)]
pub struct OneProcess {
    /// The program.
    pub name: String,
    /// Its trajectories.
    pub board: Board,
}

impl Fleet for OneProcess {
    fn members(&self) -> BoxFuture<'_, Vec<Member>> {
        let latest = self.board.list(1);
        let member = Member {
            role: "learner".into(),
            name: self.name.clone(),
            well: true,
            doing: "samples, scores and trains in one process".into(),
            version: latest.first().map(|record| record.policy_version),
            lag: None,
            in_flight: Some(self.board.in_flight() as u64),
        };
        std::future::ready(vec![member]).boxed()
    }
}

/// Puts the members in order and works out how far each is behind the learner.
#[must_use]
pub fn ordered(mut members: Vec<Member>) -> Vec<Member> {
    let place =
        |role: &str| ["learner", "sampler", "rewarder"].iter().position(|name| *name == role);
    members.sort_by(|a, b| (place(&a.role), &a.name).cmp(&(place(&b.role), &b.name)));
    let current = members.iter().find(|one| one.role == "learner").and_then(|one| one.version);
    for member in members.iter_mut().filter(|one| one.role == "sampler") {
        member.lag = current.zip(member.version).map(|(now, its)| now.saturating_sub(its));
    }
    members
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samplers_come_after_the_learner_and_lag_behind_it() {
        let member = |role: &str, name: &str, version| Member {
            role: role.into(),
            name: name.into(),
            version,
            ..Member::default()
        };
        let members = ordered(vec![
            member("rewarder", "r", None),
            member("sampler", "b", Some(3)),
            member("sampler", "a", Some(5)),
            member("learner", "l", Some(5)),
        ]);
        let shown: Vec<_> = members.iter().map(|one| (one.name.as_str(), one.lag)).collect();
        assert_eq!(shown, [("l", None), ("a", Some(0)), ("b", Some(2)), ("r", None)]);
    }
}
