//! `faulty-ddpo`: `ddpo`, whose training fails with an error of libtorch.

use ddpo_doubles::faulty::FaultyProgress;
use std::process::ExitCode;

fn main() -> ExitCode {
    ddpo::main(|progress| Box::new(FaultyProgress::new(progress)))
}
