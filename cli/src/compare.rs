//! `ddpo compare`: draws the fronts of sweeps and single runs as one page.

use crate::arguments::CompareCommand;
use crate::output::say;
use anyhow::Result;
use ddpo_report::comparison::data::Comparison;
use ddpo_report::comparison::{read, write};

/// Runs the command.
pub fn run(command: &CompareCommand) -> Result<()> {
    let comparison = read(&command.folders)?;
    let page = write(&comparison, &command.out)?;
    show(&comparison);
    say(&format!("page  {}", page.display()));
    Ok(())
}

/// Prints the arms on the front of each task.
fn show(comparison: &Comparison) {
    for task in &comparison.tasks {
        let front = task.arms.iter().filter(|arm| arm.on_front);
        let names: Vec<&str> = front.map(|arm| arm.name.as_str()).collect();
        say(&format!("{}: on the front of reward and diversity: {}", task.name, names.join(", ")));
    }
}
