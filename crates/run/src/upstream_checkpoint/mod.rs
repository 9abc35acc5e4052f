//! The `.pth` files of alcazar90/ddpo-celebahq: one `torch.save` of a dictionary with
//! `model_state_dict`, `optimizer_state_dict` and `best_reward`.
//!
//! [`read::load`] reads weights and AdamW's moments. [`write()`] writes a file that `torch.load`
//! reads and whose parts `UNet2DModel` and `torch.optim.AdamW` load strictly. torch numbers an
//! optimizer's tensors in the order of the model's parameters; see [`order`].
//!
//! Source: PyTorch 2.11, `optim/optimizer.py` (`state_dict`) and `optim/adamw.py`.

mod keys;
pub mod order;
pub mod read;
pub mod write;

pub use read::{Taken, UpstreamError, load};
pub use write::{TorchAdamW, UpstreamCheckpoint, write};
