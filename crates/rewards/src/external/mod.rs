//! External rewards: a [TorchScript file](torchscript), or a program in any language that
//! [serves](server) `ddpo.v1.RewardModel`.

pub mod server;
pub mod torchscript;
pub mod waiting;
