//! TensorBoard event files with one record per step, so that a step is complete or absent.
//!
//! Each process writes a separate file that starts at its first valid step. A running TensorBoard
//! then discards later steps of earlier files. The earlier files are also truncated to the last valid
//! step, for a TensorBoard that starts later.

mod message;
mod record;
mod values;

use crate::error::LogError;
use crate::growing::Growing;
use crate::step::Step;
use message::{Event, SessionLog, SessionStatus, Stamp, Summary, What};
use prost::Message;
use serde_json::{Map, Value};
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Prefix of the names of event files, followed by the start time in seconds.
const PREFIX: &str = "events.out.tfevents.";

/// The first record of a file. Session starts require version 2.
const VERSION: &str = "brain.Event:2";

/// Event files in a folder.
#[derive(Debug)]
pub struct TensorBoard {
    folder: PathBuf,
    settings: Map<String, Value>,
    last: Option<u32>,
    file: Option<Growing>,
}

impl TensorBoard {
    /// Logs to event files in `folder`, starting with the run's settings. `last` is the last valid step
    /// of earlier processes, if any. Writes nothing before the first step.
    pub fn new(folder: &Path, settings: Map<String, Value>, last: Option<u32>) -> Self {
        Self { folder: folder.into(), settings, last, file: None }
    }

    /// Logs a step, completely or not at all. Steps must be in order.
    ///
    /// # Errors
    /// [`LogError`] names the file. The run can resume when the file is writable again.
    pub fn log(&mut self, step: &Step) -> Result<(), LogError> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => self.begin(step)?,
        };
        let summary = What::Summary(Summary { value: values::of_step(step) });
        let written = file.append(&record::framed(&event(step.number, step.time, summary)));
        self.file = Some(file);
        written
    }

    /// Truncates the files of earlier processes and starts a file at `step`.
    fn begin(&self, step: &Step) -> Result<Growing, LogError> {
        std::fs::create_dir_all(&self.folder).map_err(LogError::io("create", &self.folder))?;
        let mut latest = None;
        for (second, path) in event_files(&self.folder)? {
            if cut(&path, self.last)? {
                latest = latest.max(Some(second));
            }
        }
        // Readers read files in the order of their names.
        let now = seconds(step.time) as u64;
        let second = latest.map_or(now, |latest| now.max(latest + 1));
        let path = self.folder.join(format!("{PREFIX}{second:010}.ddpo"));
        let mut file = Growing::open(&path, 0)?;
        let settings =
            latest.is_none().then(|| values::of_settings(&self.settings, seconds(step.time)));
        let start = SessionLog { status: SessionStatus::Start.into() };
        let events = [
            event(0, step.time, What::FileVersion(VERSION.into())),
            event(step.number, step.time, What::SessionLog(start)),
        ];
        let settings = settings.map(|value| event(0, step.time, What::Summary(Summary { value })));
        let records = events.into_iter().chain(settings).map(|event| record::framed(&event));
        file.append(&records.collect::<Vec<_>>().concat())?;
        Ok(file)
    }
}

fn event(step: u32, time: SystemTime, what: What) -> Vec<u8> {
    Event { wall_time: seconds(time), step: step.into(), what: Some(what) }.encode_to_vec()
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// Returns our event files in `folder` with their start times in seconds.
fn event_files(folder: &Path) -> Result<Vec<(u64, PathBuf)>, LogError> {
    let unreadable = || LogError::io("read", folder);
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable())? {
        let path = entry.map_err(unreadable())?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let own = name.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(".ddpo"));
        if let Some(second) = own.and_then(|second| second.parse().ok()) {
            found.push((second, path));
        }
    }
    Ok(found)
}

/// Truncates a file to the last valid step, or removes it if it has none. Returns whether the file
/// stays.
fn cut(path: &Path, last: Option<u32>) -> Result<bool, LogError> {
    let unreadable = || LogError::io("read", path);
    let mut file = BufReader::new(File::open(path).map_err(unreadable())?);
    let (mut records, mut length) = (0, 0);
    while let Some(bytes) = record::next(&mut file).map_err(unreadable())? {
        let step = Stamp::decode(&bytes[..]).map(|stamp| stamp.step);
        let counts = step.is_ok_and(|step| last.is_some_and(|last| step <= last.into()));
        if !counts {
            break;
        }
        records += 1;
        length += record::framed_length(bytes.len());
    }
    if records <= 1 {
        std::fs::remove_file(path).map_err(LogError::io("remove", path))?;
        return Ok(false);
    }
    Growing::open(path, length).map(|_| true)
}
