//! DDPO (Black et al. 2023, "Training Diffusion Models with Reinforcement Learning"): finetunes a
//! diffusion model as a policy whose actions are denoising steps.
//!
//! A trajectory is x_T, ..., x_0; its action at step t is x_{t-1}, drawn from
//! p(x_{t-1} | x_t) = N(mean(x_t, t), sigma_t^2); the reward is a score of x_0. The crate turns the
//! scored trajectories of an epoch into new weights. It reads no files, settings or network.
//!
//! | to find | read |
//! |---|---|
//! | the update: advantages, mini-batches, gradient accumulation, clipping, AdamW step | [`update`] |
//! | what an objective needs; the clipped ratio, the trust region | [`objective`] |
//! | DiffusionNFT and AWM: training on the forward process | [`forward`] |
//! | the weight of each step | [`step_weights`] |
//! | the weight of the KL and its target | [`kl_coefficient`] |
//! | the diversity term, and the samples of the pretrained model to keep | [`diversity`], [`anchor`] |
//! | advantages and their standardisation | [`advantages`], sums of rewards: [`reward_terms`] |
//! | (sample, step) pairs and mini-batches | [`pairs`] |
//! | log-probability, KL and loss of a micro-batch, forward and backward | [`pass`] |
//! | a timestep's mean and variance | [`ddpo_diffusion::scheduler`], [`ddpo_diffusion::gaussian`] |
//! | f32 master weights and their gradients | [`policy`] |
//! | gradient norm and its clipping | [`gradient`] |
//! | AdamW, averaged weights, learning rate | [`adamw`], [`ema`], [`schedule`] |
//! | the state of training, which a checkpoint holds | [`learner`] |
//! | hyperparameters and their ranges | [`config`] |
//! | clip fraction, approximate KL and other diagnostics | [`report`] |

pub mod adamw;
pub mod advantages;
pub mod anchor;
mod batch;
pub mod config;
mod diagnostics;
pub mod diversity;
pub mod ema;
mod epoch;
pub mod error;
pub mod forward;
mod forward_config;
pub mod gradient;
pub mod groups;
pub mod kl_coefficient;
pub mod learner;
mod micro_batch;
pub mod objective;
mod output_gradient;
pub mod pairs;
pub mod pass;
pub mod policy;
mod proximal;
mod ratio_check;
pub mod report;
pub mod reward_terms;
pub mod schedule;
pub mod step_weights;
pub mod update;
