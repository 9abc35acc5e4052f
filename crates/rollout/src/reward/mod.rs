//! The reward of a run, and everything that the score of an image depends on.
//!
//! ```text
//!   settings --parse--> RewardExpression --resolve--> RewardSpec --> rewarders
//!   (text)              (Task, file, servers)         (models pinned by revision or digest)
//! ```
//!
//! Text is parsed only here; all other code uses the types.

mod age;
mod age_classes;
mod expression;
mod pixels;
mod settings;
mod source;
mod spec;
mod syntax;
mod task;

pub use age::{AgeReward, UnknownAgeReward};
pub use age_classes::{AgeClasses, AgeClassesError};
pub use expression::{ExpressionError, MOST_BYTES, RewardExpression, RewardList, Term};
pub use pixels::PixelRule;
pub use settings::RewardSettings;
pub use source::{RewardSource, Script, ScriptInput, ServerAddress, Servers, UnknownSource};
pub use spec::{AestheticSpec, AgeSpec, ComponentError, Pin, Pinned, RewardId, RewardSpec};
pub use task::{Task, UnknownTask};
