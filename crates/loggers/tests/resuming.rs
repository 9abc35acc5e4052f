//! A resumed log has each step once. The real readers are tested in `tests/tests/end_to_end/loggers.rs`.

#![allow(clippy::unwrap_used)]

use ddpo_loggers::{Histogram, Step, TensorBoard};
use prost::Message;
use serde_json::Map;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// An event's step, at field 2.
#[derive(Clone, Copy, PartialEq, Message)]
struct Numbered {
    #[prost(int64, tag = "2")]
    number: i64,
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

fn board(folder: &Path, last: Option<u32>) -> TensorBoard {
    TensorBoard::new(folder, Map::new(), last)
}

fn log(mut board: TensorBoard, numbers: impl IntoIterator<Item = u32>) {
    numbers.into_iter().for_each(|number| board.log(&step(number, 0.5)).unwrap());
}

/// Returns the files in a folder, sorted.
fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = entries.collect();
    found.sort();
    found
}

/// Returns the steps in the event files, without the records at the beginning of each.
fn steps(folder: &Path) -> Vec<i64> {
    let mut steps = Vec::new();
    for path in files(folder) {
        let bytes = fs::read(path).unwrap();
        let (mut at, mut found) = (0, Vec::new());
        while at < bytes.len() {
            let length = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
            found.push(Numbered::decode(&bytes[at + 12..at + 12 + length]).unwrap().number);
            at += length + 16;
        }
        // Version and start; settings too in the first file.
        let heading = if steps.is_empty() { 3 } else { 2 };
        steps.extend(&found[heading..]);
    }
    steps
}

#[test]
fn logs_each_step_once_when_resumed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tensorboard");
    // The last valid step, and the steps that are logged after it.
    for (last, more, expected) in [
        (None, 0..4, 0..4),
        (Some(3), 4..6, 0..6),
        (Some(2), 3..5, 0..5),
        (Some(2), 3..4, 0..4),
        (None, 0..2, 0..2),
    ] {
        log(board(&path, last), more);
        assert_eq!(steps(&path), expected.collect::<Vec<i64>>(), "from {last:?}");
    }
}

#[test]
fn cuts_off_a_half_written_step() {
    let folder = tempfile::tempdir().unwrap();
    log(board(folder.path(), None), 0..3);
    let path = files(folder.path()).remove(0);
    let bytes = fs::read(&path).unwrap();
    fs::write(&path, &bytes[..bytes.len() - 3]).unwrap();
    log(board(folder.path(), Some(1)), 2..4);
    assert_eq!(steps(folder.path()), [0, 1, 2, 3]);
}

#[test]
fn names_a_folder_that_cannot_be_created() {
    let folder = tempfile::tempdir().unwrap();
    let taken = folder.path().join("taken");
    fs::write(&taken, b"a file").unwrap();
    let error = board(&taken, None).log(&step(0, 1.0)).unwrap_err().to_string();
    assert!(error.starts_with("could not create `") && error.contains("taken"), "{error}");
}
