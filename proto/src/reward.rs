//! What a reward server says about its reward.

/// Images in a request if the server does not name a limit.
pub(crate) const DEFAULT_BATCH: usize = 32;

/// The description that a reward server gives of its reward.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Name of the reward.
    pub name: String,
    /// Unit of the reward; may be empty.
    pub unit: String,
    /// Names of the components, in the order of every score's.
    pub components: Vec<String>,
    /// The most images in one request.
    pub max_batch: usize,
}

impl Description {
    /// Returns whether both describe the same reward; `max_batch` may differ.
    pub fn is_same_reward(&self, other: &Self) -> bool {
        let reward = |of: &Self| (of.name.clone(), of.unit.clone(), of.components.clone());
        reward(self) == reward(other)
    }
}

/// In words, for messages.
impl std::fmt::Display for Description {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, unit, components, .. } = self;
        write!(formatter, "\"{name}\" in \"{unit}\" with components [{}]", components.join(", "))
    }
}
