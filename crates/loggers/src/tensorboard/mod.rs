//! TensorBoard: event files with one record a step, so that a step is there whole or not at all.
//!
//! Each process that logs has a file of its own, which begins by saying from which step on it
//! counts: a TensorBoard that has read what an earlier process wrote beyond forgets it. The files of
//! earlier processes are cut back to the last step that counts, for readers that come later.

mod message;
mod record;
mod values;

use crate::error::LogError;
use crate::growing::Growing;
use crate::step::Step;
use crate::{About, Logger};
use message::{Event, SessionLog, SessionStatus, Stamp, Summary, What};
use prost::Message;
use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What the names of event files begin with; the second that one was begun in follows.
const PREFIX: &str = "events.out.tfevents.";

/// The first record of a file. Version 2 is where sessions have a beginning.
const VERSION: &str = "brain.Event:2";

/// Event files in a folder.
#[derive(Debug)]
pub struct TensorBoard {
    folder: PathBuf,
    about: About,
    file: Option<Growing>,
}

impl TensorBoard {
    /// Logs to event files in `folder`. Nothing is written or cut before the first step.
    #[must_use]
    pub fn new(folder: &Path, about: About) -> Self {
        Self { folder: folder.into(), about, file: None }
    }

    /// Cuts what earlier processes have written, and begins a file at `step`.
    fn begin(&self, step: &Step) -> Result<Growing, LogError> {
        std::fs::create_dir_all(&self.folder).map_err(LogError::io("create", &self.folder))?;
        let mut latest = None;
        for (second, path) in event_files(&self.folder)? {
            if cut(&path, self.about.last)? {
                latest = latest.max(Some(second));
            }
        }
        // Readers take files in the order of their names.
        let now = seconds(step.time) as u64;
        let second = latest.map_or(now, |latest| now.max(latest + 1));
        let path = self.folder.join(format!("{PREFIX}{second:010}.ddpo"));
        let mut file = Growing::open(&path, 0)?;
        let settings =
            latest.is_none().then(|| values::of_settings(&self.about, seconds(step.time)));
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

impl Logger for TensorBoard {
    fn log(&mut self, step: &Step) -> Result<(), LogError> {
        let mut file = match self.file.take() {
            Some(file) => file,
            None => self.begin(step)?,
        };
        let summary = What::Summary(Summary { value: values::of_step(step) });
        let written = file.append(&record::framed(&event(step.number, step.time, summary)));
        self.file = Some(file);
        written
    }
}

fn event(step: u32, time: SystemTime, what: What) -> Vec<u8> {
    Event { wall_time: seconds(time), step: step.into(), what: Some(what) }.encode_to_vec()
}

fn seconds(time: SystemTime) -> f64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

/// The event files in `folder` that are named as here, by the second that they were begun in.
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

/// Cuts a file back to the last step that counts; removes it if it then has none. Whether it stays.
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
