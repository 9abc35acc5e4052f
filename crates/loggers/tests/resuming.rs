//! A log that is taken up again has every step once. That the real readers agree is tested in
//! `tests/tests/loggers.rs`.

#![allow(clippy::unwrap_used)]

use ddpo_loggers::{
    About, Ending, Histogram, Logger, Project, Step, TensorBoard, WeightsAndBiases,
};
use prost::Message;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What both formats have at field 2: an event its step, a history its own.
#[derive(Clone, Copy, PartialEq, Message)]
struct Numbered {
    #[prost(int64, tag = "2")]
    number: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct History {
    #[prost(message, optional, tag = "2")]
    step: Option<HistoryStep>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct HistoryStep {
    #[prost(int64, tag = "1")]
    number: i64,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Record {
    #[prost(message, optional, tag = "2")]
    history: Option<History>,
}

fn step(number: u32, value: f64) -> Step {
    Step {
        number,
        time: SystemTime::now(),
        scalars: vec![("loss".into(), value), ("components/size/mean".into(), -value)],
        histograms: Histogram::of([1.0, 2.0, 2.5]).map(|it| ("rewards", it)).into_iter().collect(),
        pictures: Vec::new(),
    }
}

fn about(last: Option<u32>) -> About {
    About { name: "run".into(), last, ..About::default() }
}

fn board(folder: &Path, last: Option<u32>) -> TensorBoard {
    TensorBoard::new(folder, about(last))
}

fn wandb(folder: &Path, last: Option<u32>) -> WeightsAndBiases {
    WeightsAndBiases::new(folder, about(last), Project::default())
}

/// Logs steps, and nothing of how the run ends.
fn log(logger: &mut dyn Logger, numbers: impl IntoIterator<Item = u32>) {
    numbers.into_iter().for_each(|number| logger.log(&step(number, 0.5)).unwrap());
}

/// All files below a folder, sorted.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { found.extend(files(&path)) } else { found.push(path) }
    }
    found.sort();
    found
}

/// The steps in the event files, without what stands at the beginning of each.
fn steps_of_board(folder: &Path) -> Vec<i64> {
    let mut steps = Vec::new();
    for path in files(folder) {
        let bytes = fs::read(path).unwrap();
        let (mut at, mut own) = (0, Vec::new());
        while at < bytes.len() {
            let length = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
            own.push(Numbered::decode(&bytes[at + 12..at + 12 + length]).unwrap().number);
            at += length + 16;
        }
        // Version and start; settings too in the first file.
        let heading = if steps.is_empty() { 3 } else { 2 };
        steps.extend(&own[heading..]);
    }
    steps
}

/// The file of the offline run.
fn log_file(folder: &Path) -> PathBuf {
    let mut found = files(folder).into_iter();
    found.find(|path| path.extension().is_some_and(|end| end == "wandb")).unwrap()
}

/// The steps in the log; it is shorter than a block, so that each record is one piece.
fn steps_of_wandb(folder: &Path) -> Vec<i64> {
    let bytes = fs::read(log_file(folder)).unwrap();
    let (mut at, mut steps) = (7, Vec::new());
    while at < bytes.len() {
        let length = usize::from(u16::from_le_bytes([bytes[at + 4], bytes[at + 5]]));
        let record = Record::decode(&bytes[at + 7..at + 7 + length]).unwrap();
        steps.extend(record.history.map(|history| history.step.unwrap().number));
        at += length + 7;
    }
    steps
}

#[test]
fn later_steps_than_the_last_that_counts_are_logged_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (folder.path().join("tensorboard"), folder.path().join("wandb"));
    // The last step that counts, and those that are logged after it.
    for (last, more, expected) in [
        (None, 0..4, 0..4),
        (Some(3), 4..6, 0..6),
        (Some(2), 3..5, 0..5),
        (Some(2), 3..4, 0..4),
        (None, 0..2, 0..2),
    ] {
        log(&mut board(&own, last), more.clone());
        log(&mut wandb(&other, last), more);
        let expected: Vec<i64> = expected.collect();
        assert_eq!(steps_of_board(&own), expected, "TensorBoard from {last:?}");
        assert_eq!(steps_of_wandb(&other), expected, "wandb from {last:?}");
    }
    let runs = fs::read_dir(&other).unwrap().count();
    assert_eq!(runs, 1, "a run keeps its id");
}

#[test]
fn a_step_that_is_half_written_is_none() {
    let folder = tempfile::tempdir().unwrap();
    let (own, other) = (folder.path().join("tensorboard"), folder.path().join("wandb"));
    log(&mut board(&own, None), 0..3);
    log(&mut wandb(&other, None), 0..3);
    for path in [files(&own).remove(0), log_file(&other)] {
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
    }
    log(&mut board(&own, Some(1)), 2..4);
    log(&mut wandb(&other, Some(1)), 2..4);
    assert_eq!(steps_of_board(&own), [0, 1, 2, 3]);
    assert_eq!(steps_of_wandb(&other), [0, 1, 2, 3]);
}

#[test]
fn a_run_that_has_ended_is_left_as_it_is_until_it_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let mut logger = wandb(folder.path(), None);
    log(&mut logger, 0..2);
    logger.close(&Ending { code: 130, ..Ending::default() }).unwrap();
    let synced = log_file(folder.path()).with_extension("wandb.synced");
    fs::write(&synced, b"").unwrap();
    let before = fs::read(log_file(folder.path())).unwrap();
    wandb(folder.path(), Some(1)).close(&Ending::default()).unwrap();
    assert_eq!(fs::read(log_file(folder.path())).unwrap(), before);
    assert!(synced.exists());
    log(&mut wandb(folder.path(), Some(1)), 2..3);
    assert_eq!(steps_of_wandb(folder.path()), [0, 1, 2]);
    assert!(!synced.exists(), "there is more to upload");
}

#[test]
fn a_folder_that_cannot_be_written_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let taken = folder.path().join("taken");
    fs::write(&taken, b"a file").unwrap();
    let loggers: [&mut dyn Logger; 2] =
        [&mut board(&taken, None), &mut wandb(&taken.join("wandb"), None)];
    for logger in loggers {
        let error = logger.log(&step(0, 1.0)).unwrap_err().to_string();
        assert!(error.starts_with("could not create `") && error.contains("taken"), "{error}");
    }
}
