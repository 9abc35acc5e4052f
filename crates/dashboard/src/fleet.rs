//! The processes of a run, one row each.

use ddpo_inspector::board::Board;
use futures::future::{BoxFuture, FutureExt};
use serde::Serialize;

/// One process, or all processes of a role.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Member {
    /// sampler, rewarder or learner.
    pub role: String,
    /// Its name in the run; empty for all processes of a role.
    pub name: String,
    /// Whether it is healthy.
    pub well: bool,
    /// The activity, or the reason why the process is not healthy.
    pub doing: String,
    /// Version of its weights.
    pub version: Option<u64>,
    /// Number of versions behind the learner.
    pub lag: Option<u64>,
    /// Number of trajectories in flight.
    pub in_flight: Option<u64>,
}

/// Lists the processes of a run.
pub trait Fleet: Send + Sync + 'static {
    /// Returns all known processes. Called every two seconds while there are viewers; an answer that
    /// takes longer is dropped.
    fn members(&self) -> BoxFuture<'_, Vec<Member>>;
}

/// The fleet of a run in one process.
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

/// Sorts the members and computes how far each sampler is behind the learner.
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
    fn sorts_samplers_after_the_learner_with_their_lag() {
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
