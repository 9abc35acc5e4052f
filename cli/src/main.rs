//! The command line `ddpo`: parses, runs, and says in one line what went wrong.

mod arguments;
mod convert;
mod doctor;
mod door;
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
use ddpo_diffusion::lanes::panic_text;
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;

fn main() -> ExitCode {
    ddpo_service::memory::keep_freed_memory();
    let cli = Cli::parse_from(arguments::kebab_case(std::env::args_os()));
    panic::set_hook(Box::new(|_| {}));
    match panic::catch_unwind(AssertUnwindSafe(|| run(cli.command))) {
        Ok(Ok(code)) => code,
        Ok(Err(error)) => fail(&one_line(&error)),
        Err(cause) => fail(&format!("stopped inside the program: {}", panic_text(&*cause))),
    }
}

fn run(command: Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Train(command) => train_command::run(&command),
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

/// The error and its causes. Many messages tell their cause already; it is not told twice.
fn one_line(error: &anyhow::Error) -> String {
    let mut line = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !line.ends_with(&cause) {
            line += &format!(": {cause}");
        }
    }
    line
}

#[expect(clippy::print_stderr, reason = "the one place where errors reach the user")]
fn fail(message: &str) -> ExitCode {
    eprintln!("error: {message}");
    ExitCode::FAILURE
}
