//! `ddpo evaluate`: the same noise through several checkpoints, scored.
//!
//! The work is cut into parts: one batch of one checkpoint at one eta. A part is drawn whole, its
//! scores are written last, and what has been written is not drawn again; so a command that was
//! stopped goes on to the same bytes. Tables and summary are put together from the parts.

mod checkpoints;
mod draw;
mod parts;
mod scorer;
mod seeds;
mod settings;
mod tables;

use crate::arguments::EvaluateCommand;
use crate::interrupt;
use crate::output::say;
use anyhow::Result;
use ddpo_report::evaluation::{EvaluationFolder, Record};
use draw::Drawer;
use parts::Parts;
use scorer::Scorer;
use settings::Settings;
use std::process::ExitCode;

/// Runs the command.
pub fn run(command: &EvaluateCommand) -> Result<ExitCode> {
    interrupt::install()?;
    match evaluate(command)? {
        Some(_) => Ok(ExitCode::SUCCESS),
        None => {
            say("stopped; the same command goes on from here");
            Ok(ExitCode::from(interrupt::STATUS))
        }
    }
}

/// Draws and scores what is missing, and writes the tables; none if somebody asked to stop.
pub fn evaluate(command: &EvaluateCommand) -> Result<Option<EvaluationFolder>> {
    let settings = Settings::resolve(command)?;
    let mut scorer = Scorer::open(&settings)?;
    let folder = EvaluationFolder::at(&command.out);
    let mut parts = Parts::open(&folder, &settings.asked)?;
    let mut records = Vec::new();
    for checkpoint in &settings.checkpoints {
        let mut drawer = Drawer::open(&settings, checkpoint)?;
        records.push(drawer.record().clone());
        for &eta in &settings.asked.eta {
            if !drawer.all_parts(eta, &mut scorer, &mut parts)? {
                return Ok(None);
            }
            say(&parts.line(&drawer.record().name, eta));
        }
    }
    let record = Record { asked: settings.asked, checkpoints: records };
    tables::write(&folder, &record, &parts)?;
    say(&format!("tables in {}", folder.root().display()));
    Ok(Some(folder))
}
