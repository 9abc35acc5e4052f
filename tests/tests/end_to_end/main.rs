//! End-to-end tests in real processes: one file for each part of the program, and one binary, so that a slow test of one
//! part runs beside those of others.

#![allow(clippy::unwrap_used)] // A test may panic.

mod bad_input;
mod before_training;
mod classes;
mod closed_output;
mod compare;
mod convert;
mod determinism;
mod doctor;
mod evaluate;
mod full_disk;
mod gpu_check;
mod guards;
mod hostile;
mod live_page;
mod lock;
mod loggers;
mod memory;
mod mixtures;
mod model_card;
mod notebook;
mod over50;
mod own_rewards;
mod pretrain;
mod push;
mod report;
mod resume;
mod run_folder;
mod score_files;
mod slow_reward_server;
mod sweep;
mod upstream_command;
