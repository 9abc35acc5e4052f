//! Builds the tables of an evaluation from its parts.

use crate::evaluate::parts::Parts;
use crate::output::make_folder_of;
use anyhow::Result;
use ddpo_files::write_file;
use ddpo_report::evaluation::{EvaluationFolder, Record, rewards_csv};
use ddpo_report::features::to_npy;
use ddpo_report::summary::{ScoreSheet, ScoredImage};
use ddpo_report::table::Table;

/// Writes `evaluation.json`, the tables, the features and the summary.
pub fn write(folder: &EvaluationFolder, record: &Record, parts: &Parts) -> Result<()> {
    let sheet = sheet(record, parts);
    write_features(folder, record, parts)?;
    write_file(&folder.rewards_file(), rewards_csv(&sheet).as_bytes())?;
    write_file(&folder.trajectory_file(), trajectory(record, parts).to_csv().as_bytes())?;
    let summary = sheet.summary(&record.asked.rewards, record.asked.bootstrap_seed);
    let text = serde_json::to_string_pretty(&summary)? + "\n";
    write_file(&folder.summary_file(), text.as_bytes())?;
    // Written last: its presence says that the tables are complete.
    let text = serde_json::to_string_pretty(record)? + "\n";
    Ok(write_file(&folder.record_file(), text.as_bytes())?)
}

/// Returns checkpoints and etas in order.
fn groups(record: &Record) -> impl Iterator<Item = (&str, f64)> {
    let etas = &record.asked.eta;
    let of = |name| etas.iter().map(move |&eta| (name, eta));
    record.checkpoints.iter().flat_map(move |checkpoint| of(checkpoint.name.as_str()))
}

fn sheet(record: &Record, parts: &Parts) -> ScoreSheet {
    let mut sheet = ScoreSheet::default();
    for (name, eta) in groups(record) {
        for part in parts.group(name, eta) {
            sheet.columns.clone_from(&part.columns);
            let rows = part.noise.iter().zip(&part.values).enumerate();
            sheet.images.extend(rows.map(|(at, (&(seed, sample), values))| {
                let (checkpoint, values) = (name.to_owned(), values.clone());
                let class = part.classes.get(at).copied();
                ScoredImage { checkpoint, eta, seed, sample, class, values }
            }));
        }
    }
    sheet
}

/// Returns the table of rewards of the image predicted at each step, and of the final image.
fn trajectory(record: &Record, parts: &Parts) -> Table {
    let keys = ["checkpoint", "eta", "seed", "sample", "step", "timestep"].map(str::to_owned);
    let columns = [keys.to_vec(), record.asked.rewards.clone()].concat();
    let mut rows = Vec::new();
    for (name, eta) in groups(record) {
        for part in parts.group(name, eta) {
            for (path, (seed, sample)) in part.paths.iter().zip(&part.noise) {
                for ((step, timestep), rewards) in part.timesteps.iter().enumerate().zip(path) {
                    let numbers =
                        [name.into(), eta.to_string(), seed.to_string(), sample.to_string()];
                    let place = [step.to_string(), timestep.to_string()];
                    let rewards = rewards.iter().map(f32::to_string);
                    rows.push(numbers.into_iter().chain(place).chain(rewards).collect());
                }
            }
        }
    }
    Table { columns, rows }
}

fn write_features(folder: &EvaluationFolder, record: &Record, parts: &Parts) -> Result<()> {
    for (name, eta) in groups(record) {
        let rows: Vec<Vec<f32>> =
            parts.group(name, eta).flat_map(|part| part.features.iter().cloned()).collect();
        if rows.is_empty() {
            continue;
        }
        let path = folder.features(name, eta);
        make_folder_of(&path)?;
        write_file(&path, &to_npy(&rows))?;
    }
    Ok(())
}
