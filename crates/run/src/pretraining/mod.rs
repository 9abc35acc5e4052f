//! Pretraining of the project's own models: of a DDPM ([`Pretraining`]), and the parts that the
//! training of any other network shares with it.

mod descent;
mod diffusion;
mod initialise;

pub use descent::{Descent, PretrainingConfig, indices};
pub use diffusion::Pretraining;
pub use initialise::initialise;
