//! `ddpo`: trains in one process, evaluates, writes reports, and more.

use std::process::ExitCode;

fn main() -> ExitCode {
    ddpo::main(|progress| progress)
}
