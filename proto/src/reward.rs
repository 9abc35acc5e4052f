//! What a reward server says about its reward.

/// Images in a request where the server does not say how many it takes.
pub const DEFAULT_BATCH: usize = 32;

/// What a reward server says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Name of the reward.
    pub name: String,
    /// Unit of the reward; may be empty.
    pub unit: String,
    /// Names of the components, in the order of every score's.
    pub components: Vec<String>,
    /// Images that a request may hold at most.
    pub max_batch: usize,
}

impl Description {
    /// Whether both give the same reward; how many images they take at once is their own affair.
    #[must_use]
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
