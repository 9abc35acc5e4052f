//! The folder of an offline run, `offline-run-DATE-ID`: the log `run-ID.wandb`, and `files/`.

use crate::error::LogError;
use crate::growing::Growing;
use crate::step::Step;
use crate::wandb::log_file::{IDENT, Records, add};
use crate::wandb::message::{
    Control, Environment, FileType, Files, FilesItem, Header, History, HistoryStep, Item, Policy,
    Record, Run, Summary, Timestamp, VersionInfo, What,
};
use crate::wandb::{date, media, names};
use ddpo_files::write_file;
use prost::Message;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

/// What stands before the date in a folder's name.
const PREFIX: &str = "offline-run-";

/// Letters and digits of an id.
const ID_LENGTH: usize = 8;

/// Where an offline run lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The folder.
    pub folder: PathBuf,
    /// The run's id.
    pub id: String,
}

impl Place {
    /// The run in `parent`, if there is one: a run that goes on keeps its id.
    pub fn find(parent: &Path) -> Result<Option<Self>, LogError> {
        if !parent.is_dir() {
            return Ok(None);
        }
        let unreadable = || LogError::io("read", parent);
        let mut found = None;
        for entry in std::fs::read_dir(parent).map_err(unreadable())? {
            let folder = entry.map_err(unreadable())?.path();
            let name = folder.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let id = name.strip_prefix(PREFIX).and_then(|rest| rest.rsplit_once('-'));
            if let Some((_, id)) = id.filter(|_| folder.is_dir()) {
                let id = id.to_owned();
                found = found.max(Some((folder, id)));
            }
        }
        Ok(found.map(|(folder, id)| Self { folder, id }))
    }

    /// A place in `parent` for a run that begins at `start`. Its id is made of the time and the
    /// process.
    pub fn new(parent: &Path, start: Timestamp) -> Self {
        let origin = format!("{start:?} {} {}", std::process::id(), parent.display());
        let id = blake3::hash(origin.as_bytes()).to_hex()[..ID_LENGTH].to_owned();
        let folder = parent.join(format!("{PREFIX}{}-{id}", date::compact(start)));
        Self { folder, id }
    }

    /// The log.
    pub fn log(&self) -> PathBuf {
        self.folder.join(format!("run-{}.wandb", self.id))
    }

    /// What is uploaded beside it.
    pub fn files(&self) -> PathBuf {
        self.folder.join("files")
    }

    /// What `wandb sync` leaves when it is done.
    pub fn synced(&self) -> PathBuf {
        self.folder.join(format!("run-{}.wandb.synced", self.id))
    }
}

/// What there is in a log already.
#[derive(Debug, Default)]
pub struct Found {
    /// Bytes that count.
    pub length: u64,
    /// Records that count.
    pub records: i64,
    /// When the run began.
    pub start: Option<Timestamp>,
    /// The last value of each name.
    pub summary: Map<String, Value>,
    /// Whether the log says that the run has ended, and nothing that does not count comes before.
    pub ended: bool,
}

impl Found {
    /// Reads a log up to the end of step `last`. Nothing counts of one without a beginning.
    pub fn read(path: &Path, last: Option<u32>) -> Result<Self, LogError> {
        let bytes = std::fs::read(path).map_err(LogError::io("read", path))?;
        let mut found = Self::default();
        for (record, end) in Records::of(&bytes) {
            match Record::decode(&record[..]).ok().and_then(|record| record.what) {
                Some(What::History(history)) if !counts(&history, last) => break,
                Some(What::Artifact(_)) => continue,
                Some(What::Exit(_)) => {
                    found.ended = true;
                    break;
                }
                Some(What::Run(run)) => found.start = run.start_time,
                Some(What::Summary(summary)) => {
                    let items = summary.update.into_iter();
                    found.summary.extend(items.filter_map(|item| {
                        let value = serde_json::from_str(&item.value_json).ok()?;
                        Some((item.nested_key.into_iter().next()?, value))
                    }));
                }
                Some(_) => {}
                None => break,
            }
            found.length = end;
            found.records += 1;
        }
        Ok(if found.start.is_some() { found } else { Self::default() })
    }
}

fn counts(history: &History, last: Option<u32>) -> bool {
    let step = history.step.map(|step| step.num);
    step.zip(last).is_some_and(|(step, last)| step <= last.into())
}

/// A run that is being logged.
#[derive(Debug)]
pub struct OpenRun {
    place: Place,
    log: Growing,
    /// Records so far.
    records: i64,
    start: Timestamp,
    summary: Map<String, Value>,
}

impl OpenRun {
    /// Goes on with a log from the end of what counts.
    pub fn resume(place: Place, found: Found, last: Option<u32>) -> Result<Self, LogError> {
        let synced = place.synced();
        if synced.exists() {
            // There will be more to upload.
            std::fs::remove_file(&synced).map_err(LogError::io("remove", &synced))?;
        }
        media::cut(&place.files(), last)?;
        let log = Growing::open(&place.log(), found.length)?;
        let start = found.start.unwrap_or_default();
        Ok(Self { place, log, records: found.records, start, summary: found.summary })
    }

    /// Begins a log; it appears with its first records, whole.
    pub fn begin(place: Place, run: Run) -> Result<Self, LogError> {
        let files = place.files();
        std::fs::create_dir_all(&files).map_err(LogError::io("create", &files))?;
        let start = run.start_time.unwrap_or_default();
        let config = run.config.clone().unwrap_or_default().update;
        let config: String = config.iter().map(config_line).collect();
        write_file(&files.join("config.yaml"), format!("wandb_version: 1\n{config}").as_bytes())?;
        let os = std::env::consts::OS;
        let metadata = json!({"os": os, "program": "ddpo", "startedAt": date::iso(start)});
        write_file(&files.join("wandb-metadata.json"), metadata.to_string().as_bytes())?;
        let producer = format!("ddpo {}", env!("CARGO_PKG_VERSION"));
        let first = [
            What::Header(Header { version_info: Some(VersionInfo { producer }) }),
            What::Run(run),
            What::Environment(Environment {
                os: os.into(),
                started_at: Some(start),
                program: "ddpo".into(),
            }),
            own_files(&["config.yaml", "wandb-metadata.json", "wandb-summary.json"]),
        ];
        let bytes = [&IDENT[..], &framed(&first, 0, IDENT.len() as u64)].concat();
        write_file(&place.log(), &bytes)?;
        let log = Growing::open(&place.log(), bytes.len() as u64)?;
        Ok(Self { place, log, records: first.len() as i64, start, summary: Map::new() })
    }

    /// Where it lies.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Adds records, by one write.
    pub fn add(&mut self, records: &[What]) -> Result<(), LogError> {
        self.log.append(&framed(records, self.records, self.log.length()))?;
        self.records += records.len() as i64;
        Ok(())
    }

    /// Adds a step: its values, the same as the last ones so far, and the files of its pictures.
    pub fn step(&mut self, step: &Step) -> Result<(), LogError> {
        let (values, paths) = self.values(step)?;
        let item = items(&values);
        let history =
            History { item: item.clone(), step: Some(HistoryStep { num: step.number.into() }) };
        let media = paths.into_iter().map(|path| FilesItem {
            path,
            policy: Policy::Now.into(),
            kind: FileType::Media.into(),
        });
        let files = Files { files: media.collect() };
        self.add(&[
            What::History(history),
            What::Summary(Summary { update: item }),
            What::Files(files),
        ])?;
        self.summary.extend(values);
        Ok(())
    }

    /// The values of a step by all their names, and the paths of its pictures.
    fn values(&self, step: &Step) -> Result<(Map<String, Value>, Vec<String>), LogError> {
        let (mut values, mut paths) = (Map::new(), Vec::new());
        let mut put = |name: &str, value: Value| {
            names::names(name).for_each(|name| drop(values.insert(name.into(), value.clone())));
        };
        step.scalars.iter().for_each(|(name, value)| put(name, number(*value)));
        step.histograms.iter().for_each(|(name, spread)| put(name, media::histogram(spread)));
        for picture in &step.pictures {
            let (path, value) = media::picture(picture, step.number, &self.place.files())?;
            put(picture.name, value);
            paths.push(path);
        }
        let now = date::seconds(date::stamp(step.time));
        put("_step", step.number.into());
        put("_timestamp", now.into());
        put("_runtime", (now - date::seconds(self.start)).max(0.0).into());
        Ok((values, paths))
    }

    /// Whole seconds from the beginning to `now`.
    pub fn runtime(&self, now: Timestamp) -> i32 {
        i32::try_from(now.seconds - self.start.seconds).unwrap_or(i32::MAX)
    }

    /// Writes the last value of each name to a file.
    pub fn write_summary(&self) -> Result<(), LogError> {
        let text = Value::Object(self.summary.clone()).to_string();
        Ok(write_file(&self.place.files().join("wandb-summary.json"), text.as_bytes())?)
    }
}

/// A whole number is written as one.
fn number(value: f64) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value.fract() == 0.0 && value.abs() < EXACT {
        true => (value as i64).into(),
        false => value.into(),
    }
}

fn items(values: &Map<String, Value>) -> Vec<Item> {
    let item = |(name, value): (&String, &Value)| Item {
        nested_key: vec![name.clone()],
        value_json: value.to_string(),
        ..Item::default()
    };
    values.iter().map(item).collect()
}

/// A setting in `config.yaml`: JSON is YAML.
fn config_line(item: &Item) -> String {
    format!("{}:\n    value: {}\n", item.key, item.value_json)
}

fn own_files(names: &[&str]) -> What {
    let files = names.iter().map(|name| FilesItem {
        path: (*name).into(),
        policy: Policy::End.into(),
        kind: FileType::Wandb.into(),
    });
    What::Files(Files { files: files.collect() })
}

/// `records` after `before` others, as they stand in the file from `start` on.
fn framed(records: &[What], before: i64, start: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (num, what) in (before + 1..).zip(records) {
        let slot = match what {
            What::Run(_) => Some("run"),
            What::Exit(_) => Some("exit"),
            _ => None,
        };
        let control = slot.map(|slot| Control { mailbox_slot: slot.into() });
        let record = Record { num, control, what: Some(what.clone()) };
        add(&mut bytes, start, &record.encode_to_vec());
    }
    bytes
}
