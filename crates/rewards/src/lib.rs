//! Reward models: 8-bit RGB images in, scores with named components out.
//!
//! ```text
//!   RewardSettings --resolve--> RewardSpec --Rewards::open--> Rewards --score--> Score
//! ```
//!
//! - [`fn@resolve`] pins the models that the settings name, and [`Rewards`] opens them.
//! - [`jpeg`] measures file sizes, [`learned`] runs the networks of [`vision`], [`external`] runs
//!   TorchScript files and calls reward servers, [`mixture`] adds rewards up.
//! - [`mapped`] gives a model its pixel map, and [`images`] has the images of a state in each map.
//! - [`model`] defines the trait of all reward models.

pub mod embedded;
pub mod error;
pub mod external;
pub mod images;
pub mod jpeg;
pub mod learned;
pub mod mapped;
pub mod mixture;
pub mod model;
pub mod open;
pub mod part;
pub mod pinned;
pub mod resolve;
pub mod rewards;
pub mod runtime;
pub mod vision;

pub use error::RewardError;
pub use images::Image;
pub use model::{RewardDescription, RewardModel, check};
pub use open::{open, open_expression};
pub use resolve::resolve;
pub use rewards::Rewards;
pub use runtime::RewardRuntime;
