//! `ddpo evaluate`: samples the same noise from several checkpoints, and scores the images.
//!
//! The work is split into parts: one batch of one checkpoint at one eta. The scores of a part are
//! written last, and existing parts are not drawn again, so an interrupted command continues with
//! bit-identical results. Tables and summary are built from the parts.

pub mod arguments;
mod checkpoints;
mod draw;
mod parts;
mod scorer;
mod seeds;
mod settings;
mod tables;

use crate::evaluate::arguments::EvaluateCommand;
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
            say("stopped; run the same command again to continue");
            Ok(ExitCode::from(interrupt::STATUS))
        }
    }
}

/// Draws and scores what is missing, and writes the tables; `None` if an interrupt was requested.
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
            say(&parts.line(drawer.record(), eta));
        }
    }
    let record = Record { asked: settings.asked, checkpoints: records };
    tables::write(&folder, &record, &parts)?;
    say(&format!("tables in {}", folder.root().display()));
    Ok(Some(folder))
}
