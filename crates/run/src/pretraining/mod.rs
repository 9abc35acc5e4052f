//! Pretraining of the project's own models: a DDPM ([`Pretraining`]), and the parts that other
//! networks share with it.

mod descent;
mod diffusion;
mod initialise;

pub use descent::{Descent, PretrainingConfig, indices};
pub use diffusion::Pretraining;
pub use initialise::initialise;
