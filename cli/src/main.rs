//! `ddpo`: training in one process, evaluation, reports, and the smaller commands.

use std::process::ExitCode;

fn main() -> ExitCode {
    ddpo::main(|progress| progress)
}
