//! The command line `ddpo`: parses, runs, and reports errors in one line.

mod arguments;
mod auth;
mod choices;
mod convert;
mod doctor;
mod evaluate;
mod gpu_check;
mod health;
mod inspect;
mod interrupt;
mod log;
mod named;
mod output;
mod pretrain;
mod pretrain_ages;
mod push;
mod replay;
mod report;
mod reward;
mod sample;
mod score;
mod train;
mod train_command;

use arguments::{Cli, Command};
use clap::Parser;
use ddpo_service::device::{DeviceFailure, DeviceWork};
use ddpo_service::launch::one_line;
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
    let cli = Cli::parse_from(arguments::kebab_case(std::env::args_os()));
    panic::set_hook(Box::new(|_| {}));
    COMMAND.run(|| run(cli.command, layer)).unwrap_or_else(|error| fail(&error))
}

fn run(command: Command, layer: ProgressLayer) -> anyhow::Result<ExitCode> {
    match command {
        Command::Train(command) => train_command::run(&command, layer),
        Command::Sample(command) => sample::run(&command).map(|()| ExitCode::SUCCESS),
        Command::Score(command) => score::run(&command).map(|()| ExitCode::SUCCESS),
        Command::Evaluate(command) => evaluate::run(&command),
        Command::Report(command) => report::run(&command),
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

#[expect(clippy::print_stderr, reason = "the one place where errors reach the user")]
fn fail(error: &anyhow::Error) -> ExitCode {
    eprintln!("error: {}", one_line(error.as_ref()));
    DeviceFailure::status_of(error.as_ref()).into()
}
