//! The state of a service's health.

/// A condition that serving depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// Its name: `weights`, `rewarder`, `learner`, `model`.
    pub name: &'static str,
    /// Whether it is met.
    pub met: bool,
    /// The reason.
    pub reason: String,
}

/// The state of a service's health.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The conditions, in the order of their declaration.
    pub conditions: Vec<Condition>,
    /// Whether the service is draining.
    pub draining: bool,
}

impl Report {
    /// Returns whether the service is serving.
    pub fn serving(&self) -> bool {
        !self.draining && self.conditions.iter().all(|condition| condition.met)
    }
}
