//! The description of a reward server.

/// Images in a request if the server names no limit.
pub(crate) const DEFAULT_BATCH: usize = 32;

/// A reward server's description of its reward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Name of the reward.
    pub name: String,
    /// Unit of the reward; may be empty.
    pub unit: String,
    /// Names of the components, in the order of their values in scores.
    pub components: Vec<String>,
    /// Largest number of images in one request.
    pub max_batch: usize,
}

impl Description {
    /// Returns whether both describe the same reward; `max_batch` may differ.
    pub fn is_same_reward(&self, other: &Self) -> bool {
        let reward = |of: &Self| (of.name.clone(), of.unit.clone(), of.components.clone());
        reward(self) == reward(other)
    }
}

/// Formats the description for messages.
impl std::fmt::Display for Description {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, unit, components, .. } = self;
        write!(formatter, "\"{name}\" in \"{unit}\" with components [{}]", components.join(", "))
    }
}
