//! Resolves settings from a file, the environment and flags: those of `ddpo train`, and those of the
//! learner, which has all kinds of tables. Settings that are accepted are in their ranges, and are the
//! same when they are written and read again. Secrets appear neither in what is written nor in errors.
//!
//! An input has four parts, separated by a line with `%`: the file, variables as `NAME=value`, flags, and
//! the text around the secrets.

#![no_main]

use clap::{Args, Command, FromArgMatches};
use ddpo_fuzz::written;
use ddpo_learner::service::settings::LearnerSettings;
use ddpo_run::plan::Plan;
use ddpo_run::settings::{RECORDS, SettingFlags, Settings, layers, resolve};
use ddpo_service::settings::ServiceSettings;
use ddpo_settings::{SettingsError, TABLES, numbers};
use libfuzzer_sys::fuzz_target;
use std::path::Path;
use std::sync::LazyLock;

/// A part of every secret.
const MARK: &str = "correct-horse";

type Pairs = Vec<(String, String)>;

fuzz_target!(|input: &[u8]| {
    let Ok(text) = std::str::from_utf8(input) else { return };
    if text.contains(MARK) {
        return;
    }
    let mut parts = text.split("\n%\n");
    let mut part = || parts.next().unwrap_or_default();
    let file = written("settings.toml", part().as_bytes());
    let variables = part().lines().filter_map(|line| line.split_once('='));
    let variables: Pairs =
        variables.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    let Some(flags) = flags(part()) else { return };
    one_process(&file, &variables, &flags);
    let (before, after) = part().split_once('%').unwrap_or_default();
    services(&file, variables, &flags, before, after);
});

/// Parses the lines of `text` as flags.
fn flags(text: &str) -> Option<SettingFlags> {
    static COMMAND: LazyLock<Command> =
        LazyLock::new(|| SettingFlags::augment_args(Command::new("ddpo").no_binary_name(true)));
    let matches = COMMAND.clone().try_get_matches_from(text.lines()).ok()?;
    SettingFlags::from_arg_matches(&matches).ok()
}

fn one_process(file: &Path, variables: &Pairs, flags: &SettingFlags) {
    let Ok(resolved) = resolve(Some(file), variables.iter().cloned(), flags) else { return };
    let settings = resolved.settings;
    assert!(numbers::check(&settings).is_ok(), "{settings:?}");
    let text = toml::to_string(&settings).expect("settings as TOML");
    let again = written("again.toml", text.as_bytes());
    let again = resolve(Some(&again), std::iter::empty(), &SettingFlags::default());
    assert_eq!(again.expect("settings of ours").settings, settings);
    // Settings that contradict each other are an error.
    let _ = Plan::new(settings);
}

fn services(file: &Path, mut variables: Pairs, flags: &SettingFlags, before: &str, after: &str) {
    let secret = format!("{before}{MARK}{after}");
    let url = format!("redis://{}:{MARK}{after}@host", before.replace([':', '@'], ""));
    variables.push(("DDPO_SERVICE_TOKEN".to_owned(), secret));
    variables.push(("DDPO_SERVICE_REDIS_URL".to_owned(), url));
    let shown = match learner(file, variables, flags) {
        Ok(shown) => shown,
        Err(error) => format!("{error} {error:?}"),
    };
    assert!(!shown.contains(MARK), "{shown}");
}

/// Returns what the learner shows of its settings.
fn learner(file: &Path, variables: Pairs, flags: &SettingFlags) -> Result<String, SettingsError> {
    let layers = layers()?
        .table("service", &ServiceSettings::default())?
        .table("learner", &LearnerSettings::default())?
        .leave(&TABLES)
        .leave(&RECORDS)
        .lay(Some(file), variables.into_iter(), flags.given())?;
    let text = layers.to_toml()?;
    let run: Settings = layers.finish()?;
    let service: ServiceSettings = layers.finish_table("service")?;
    let learner: LearnerSettings = layers.finish_table("learner")?;
    assert!(numbers::check(&service).is_ok() && numbers::check(&learner).is_ok());
    Ok(format!("{text} {run:?} {service:?} {learner:?}"))
}
