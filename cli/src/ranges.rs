//! The ranges of the commands' numbers, in one table: added to the help texts, and checked before a command
//! runs. Settings have theirs in their own tables ([`ddpo_settings::range`]).

use anyhow::{Result, bail};
use clap::{ArgMatches, Command};
use ddpo_settings::Range;

/// A number of threads, as libtorch accepts it.
const THREADS: Range = Range::Whole(1, 1024);

/// Counts that may be 0.
const COUNT_OR_NONE: Range = Range::Whole(0, u32::MAX as i64);

/// Eta of DDIM.
const ETA: Range = Range::Between(0.0, 1.0);

/// The decay of averaged weights.
const DECAY: Range = Range::FromBelow(0.0, 1.0);

/// Command, name of the argument, range.
const TABLE: [(&str, &str, Range); 31] = [
    ("sample", "num_samples", Range::COUNT),
    ("sample", "num_inference_steps", Range::COUNT),
    ("sample", "eta", ETA),
    ("sample", "batch_size", Range::COUNT),
    ("sample", "threads", THREADS),
    ("score", "threads", THREADS),
    ("evaluate", "eta", ETA),
    ("evaluate", "num_samples", Range::COUNT),
    ("evaluate", "num_inference_steps", Range::COUNT),
    ("evaluate", "batch_size", Range::COUNT),
    ("evaluate", "path_samples", COUNT_OR_NONE),
    ("evaluate", "threads", THREADS),
    ("report", "num_samples", Range::COUNT),
    ("report", "threads", THREADS),
    ("sweep", "jobs", THREADS),
    ("inspect", "limit", COUNT_OR_NONE),
    ("pretrain", "faces", Range::COUNT),
    ("pretrain", "steps", Range::COUNT),
    ("pretrain", "batch_size", Range::COUNT),
    ("pretrain", "learning_rate", Range::POSITIVE),
    ("pretrain", "ema_decay", DECAY),
    ("pretrain", "threads", THREADS),
    ("pretrain-ages", "faces", Range::COUNT),
    ("pretrain-ages", "steps", Range::COUNT),
    ("pretrain-ages", "batch_size", Range::COUNT),
    ("pretrain-ages", "learning_rate", Range::POSITIVE),
    ("pretrain-ages", "ema_decay", DECAY),
    ("pretrain-ages", "threads", THREADS),
    ("gpu-check", "minutes", Range::POSITIVE),
    ("gpu-check", "threads", THREADS),
    ("evaluate", "bootstrap_seed", Range::SEED),
];

/// Adds the ranges to the help texts of `command`.
pub fn shown(command: Command) -> Command {
    TABLE.iter().fold(command, |command, &(name, argument, range)| {
        command.mut_subcommand(name, |command| {
            command.mut_arg(argument, |argument| {
                let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
                argument.help(format!("{help} [range: {range}]"))
            })
        })
    })
}

/// Checks the numbers of the command in `matches`.
///
/// # Errors
/// The first number outside its range.
pub fn check(matches: &ArgMatches) -> Result<()> {
    let Some((name, matches)) = matches.subcommand() else { return Ok(()) };
    for (_, argument, range) in TABLE.iter().filter(|(command, ..)| *command == name) {
        for value in matches.get_raw(argument).into_iter().flatten() {
            let found = value.to_string_lossy();
            if !range.contains_text(&found) {
                bail!("--{} = {found}: expected {range}", argument.replace('_', "-"));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arguments::Cli;
    use clap::CommandFactory;
    use std::any::TypeId;

    /// Numbers without a bound: seeds, for which every value of their type is good.
    const UNBOUNDED: [&str; 2] = ["seed", "seeds"];

    #[test]
    fn every_number_of_a_command_has_a_range() {
        for command in Cli::command().get_subcommands().filter(|it| it.get_name() != "train") {
            for argument in command.get_arguments() {
                let parsed = argument.get_value_parser().type_id();
                let numbers = [
                    TypeId::of::<u64>(),
                    TypeId::of::<u32>(),
                    TypeId::of::<usize>(),
                    TypeId::of::<f64>(),
                ];
                let is_number = numbers.iter().any(|number| parsed == *number);
                let id = argument.get_id().as_str();
                let has_range = TABLE
                    .iter()
                    .any(|(name, argument, _)| *name == command.get_name() && *argument == id);
                let expected = is_number && !UNBOUNDED.contains(&id);
                assert_eq!(has_range, expected, "{} {id}", command.get_name());
            }
        }
    }

    #[test]
    fn help_shows_the_range() {
        let mut command = shown(Cli::command());
        let pretrain = command.find_subcommand_mut("pretrain").unwrap();
        let help = pretrain.render_long_help().to_string();
        assert!(help.contains("Peak learning rate [range: above 0]"), "{help}");
    }

    #[test]
    fn a_number_outside_its_range_is_refused_by_name() {
        let found = |arguments: &[&str]| {
            let matches = shown(Cli::command()).try_get_matches_from(arguments).unwrap();
            check(&matches).map_err(|error| error.to_string())
        };
        let pretrain = ["ddpo", "pretrain", "--out=out"];
        assert_eq!(found(&pretrain), Ok(()));
        let refused = found(&[&pretrain[..], &["--learning-rate=nan"]].concat());
        assert_eq!(refused, Err("--learning-rate = nan: expected above 0".into()));
    }
}
