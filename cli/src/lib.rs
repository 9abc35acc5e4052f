//! The command line `ddpo`: parses, runs, and reports errors in one line.

mod arguments;
mod auth;
mod choices;
mod compare;
mod convert;
mod doctor;
mod evaluate;
mod gpu_check;
mod health;
mod images;
mod inspect;
mod interrupt;
mod log;
mod named;
mod output;
mod parent;
mod pretrain;
mod pretrain_ages;
mod push;
mod ranges;
mod replay;
mod report;
mod reward;
mod sample;
mod score;
mod sweep;
mod train;
mod train_command;

use anyhow::Context;
use arguments::{Cli, Command};
use clap::{CommandFactory, FromArgMatches};
use ddpo_service::device::DeviceWork;
use ddpo_service::launch::fail;
use ddpo_service::output::written;
use std::panic;
use std::process::ExitCode;
use train::ProgressLayer;

/// The work of commands without stages, as messages about device failures name it.
const COMMAND: DeviceWork =
    DeviceWork { name: "ddpo", less_memory: "free memory on the device, or lower the batch size" };

/// Runs the command that the process was started with. `layer` sees the progress of `ddpo train`.
pub fn main(layer: ProgressLayer) -> ExitCode {
    ddpo_service::memory::keep_freed_memory();
    ddpo_service::descriptors::raise_limit();
    let arguments = arguments::kebab_case(std::env::args_os());
    let matches = ranges::shown(Cli::command()).get_matches_from(arguments);
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    panic::set_hook(Box::new(|_| {}));
    let ended = COMMAND.run(|| ranges::check(&matches).and_then(|()| run(cli.command, layer)));
    // A reader that closes its pipe has enough; a full disk does not have all.
    let ended = ended.and_then(|status| {
        written().context("could not write standard output")?;
        Ok(status)
    });
    ended.unwrap_or_else(|error| fail(error.as_ref()))
}

fn run(command: Command, layer: ProgressLayer) -> anyhow::Result<ExitCode> {
    match command {
        Command::Train(command) => train_command::run(&command, layer),
        Command::Sample(command) => sample::run(&command).map(|()| ExitCode::SUCCESS),
        Command::Score(command) => score::run(&command).map(|()| ExitCode::SUCCESS),
        Command::Evaluate(command) => evaluate::run(&command),
        Command::Report(command) => report::run(&command),
        Command::Sweep(command) => sweep::run(&command),
        Command::Compare(command) => compare::run(&command).map(|()| ExitCode::SUCCESS),
        Command::Replay(command) => replay::run(&command).map(|()| ExitCode::SUCCESS),
        Command::Convert(command) => convert::run(&command).map(|()| ExitCode::SUCCESS),
        Command::Push(command) => push::run(&command).map(|()| ExitCode::SUCCESS),
        Command::Log(command) => log::run(&command).map(|()| ExitCode::SUCCESS),
        Command::Pretrain(command) => pretrain::run(&command).map(|()| ExitCode::SUCCESS),
        Command::PretrainAges(command) => pretrain_ages::run(&command).map(|()| ExitCode::SUCCESS),
        Command::Inspect(command) => inspect::run(&command).map(|()| ExitCode::SUCCESS),
        Command::Doctor(command) => doctor::run(&command).map(|()| ExitCode::SUCCESS),
        Command::GpuCheck(command) => gpu_check::run(&command),
        Command::Health(command) => health::run(&command).map(|()| ExitCode::SUCCESS),
    }
}
