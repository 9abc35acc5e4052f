//! Selects the noise: pairs of a seed and a sample index.

use crate::evaluate::arguments::EvaluateCommand;
use anyhow::{Result, bail};
use ddpo_report::table::Table;
use std::collections::BTreeSet;
use std::path::Path;

/// Returns the pairs from the command's list or file. Without either, uses the seed `default` with
/// `samples` samples.
pub fn noise(command: &EvaluateCommand, default: u64, samples: u32) -> Result<Vec<(u64, u32)>> {
    let of_seeds = |seeds: &[u64]| {
        seeds.iter().flat_map(|&seed| (0..samples).map(move |sample| (seed, sample))).collect()
    };
    let pairs: Vec<(u64, u32)> = match &command.seeds_csv {
        Some(path) => match of_file(path)? {
            Listed::Pairs(pairs) => pairs,
            Listed::Seeds(seeds) => of_seeds(&seeds),
        },
        None if command.seeds.is_empty() => of_seeds(&[default]),
        None => of_seeds(&command.seeds),
    };
    // A rewards.csv with several checkpoints repeats the same noise.
    let mut known = BTreeSet::new();
    let pairs: Vec<_> = pairs.into_iter().filter(|pair| known.insert(*pair)).collect();
    match pairs.is_empty() {
        true => bail!("expected at least one seed and one sample"),
        false => Ok(pairs),
    }
}

enum Listed {
    Pairs(Vec<(u64, u32)>),
    Seeds(Vec<u64>),
}

fn of_file(path: &Path) -> Result<Listed> {
    let table = Table::read(path)?;
    let shown = path.display();
    let Some(seed) = table.position("seed") else {
        bail!(
            "--seeds-csv = {shown}: expected a column `seed`, found {}",
            table.columns.join(", ")
        );
    };
    let sample = table.position("sample");
    let (mut pairs, mut seeds) = (Vec::new(), Vec::new());
    for (at, row) in table.rows.iter().enumerate() {
        let Ok(found) = row[seed].trim().parse() else {
            bail!("--seeds-csv = {shown}: row {}: expected a seed, found `{}`", at + 2, row[seed]);
        };
        seeds.push(found);
        if let Some(column) = sample {
            let Ok(index) = row[column].trim().parse() else {
                let cell = &row[column];
                bail!("--seeds-csv = {shown}: row {}: expected a sample, found `{cell}`", at + 2);
            };
            pairs.push((found, index));
        }
    }
    Ok(match sample {
        Some(_) => Listed::Pairs(pairs),
        None => Listed::Seeds(seeds),
    })
}
