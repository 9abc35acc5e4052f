//! The `.pth` files of alcazar90/ddpo-celebahq: one `torch.save` of a dictionary with
//! `model_state_dict`, `optimizer_state_dict` and `best_reward`.
//!
//! [`read::load`] takes weights and AdamW's moments out of one, [`write()`] makes one that
//! `torch.load` reads and whose parts `UNet2DModel` and `torch.optim.AdamW` load strictly. torch
//! numbers an optimizer's tensors instead of naming them, in the order of the model's parameters;
//! [`order`] has that order.
//!
//! Source: PyTorch 2.11, `optim/optimizer.py` (`state_dict`) and `optim/adamw.py`.

pub mod order;
pub mod read;
pub mod write;

pub use read::{SeedFileError, Taken, load};
pub use write::{SeedCheckpoint, TorchAdamW, write};

/// The weights.
const MODEL: &str = "model_state_dict";

/// The optimizer; later versions of that program have one for a value network, too.
const OPTIMIZERS: [&str; 2] = ["optimizer_state_dict", "policy_optimizer_state_dict"];

/// The best evaluation reward.
const BEST: &str = "best_reward";
