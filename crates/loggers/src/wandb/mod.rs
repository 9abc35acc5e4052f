//! Weights & Biases: an offline run, which `wandb sync` uploads whenever somebody wants to. Nothing
//! here opens a connection.

mod artifact;
mod date;
mod files;
mod log_file;
mod media;
mod message;
mod names;
mod run;

use crate::error::LogError;
use crate::step::Step;
use crate::{About, Ending, Logger};
use message::{Artifact, Config, Exit, Item, Run, Timestamp, What};
use run::{Found, OpenRun, Place};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Where a run is uploaded to. What is empty is left to `wandb sync`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Project {
    /// The user or team.
    pub entity: String,
    /// The project.
    pub project: String,
    /// Words to find the run by.
    pub tags: Vec<String>,
}

/// An offline run in a folder.
#[derive(Debug)]
pub struct WeightsAndBiases {
    folder: PathBuf,
    about: About,
    project: Project,
    run: Option<OpenRun>,
}

impl WeightsAndBiases {
    /// Logs to the offline run in `folder`, which is made if there is none. Nothing is written or
    /// cut before the first step.
    #[must_use]
    pub fn new(folder: &Path, about: About, project: Project) -> Self {
        Self { folder: folder.into(), about, project, run: None }
    }

    /// The run, as far as it counts; a new one where there is nothing that does.
    fn open(&self, now: Timestamp) -> Result<OpenRun, LogError> {
        let place = Place::find(&self.folder)?.unwrap_or_else(|| Place::new(&self.folder, now));
        let found = match place.log().exists() {
            true => Found::read(&place.log(), self.about.last)?,
            false => Found::default(),
        };
        match found.start {
            Some(_) => OpenRun::resume(place, found, self.about.last),
            None => {
                let run = self.record(&place, now);
                OpenRun::begin(place, run)
            }
        }
    }

    fn record(&self, place: &Place, now: Timestamp) -> Run {
        let update = self.about.settings.iter().map(|(key, value)| Item {
            key: key.clone(),
            value_json: value.to_string(),
            ..Item::default()
        });
        Run {
            run_id: place.id.clone(),
            entity: self.project.entity.clone(),
            project: self.project.project.clone(),
            config: Some(Config { update: update.collect() }),
            display_name: self.about.name.clone(),
            tags: self.project.tags.clone(),
            start_time: Some(now),
        }
    }

    /// Whether an earlier process has logged the end already, and this one nothing.
    fn has_ended(&self) -> Result<bool, LogError> {
        if self.run.is_some() {
            return Ok(false);
        }
        match Place::find(&self.folder)?.map(|place| place.log()).filter(|log| log.exists()) {
            Some(log) => Ok(Found::read(&log, self.about.last)?.ended),
            None => Ok(false),
        }
    }

    /// Lets `use_it` work with the run, which is opened if need be.
    fn with_run(
        &mut self,
        time: SystemTime,
        use_it: impl FnOnce(&Project, &mut OpenRun) -> Result<(), LogError>,
    ) -> Result<(), LogError> {
        let mut run = match self.run.take() {
            Some(run) => run,
            None => self.open(date::stamp(time))?,
        };
        let used = use_it(&self.project, &mut run);
        self.run = Some(run);
        used
    }
}

impl Logger for WeightsAndBiases {
    fn log(&mut self, step: &Step) -> Result<(), LogError> {
        self.with_run(step.time, |_, run| run.step(step))
    }

    fn close(&mut self, ending: &Ending) -> Result<(), LogError> {
        if self.has_ended()? {
            return Ok(());
        }
        let now = SystemTime::now();
        self.with_run(now, |project, run| {
            let mut records = Vec::new();
            for checkpoint in &ending.checkpoints {
                let folder = run.place().folder.join("artifacts");
                let artifact = artifact::of(checkpoint, &folder, &run.place().id)?;
                let Project { entity, project, .. } = project.clone();
                records.push(What::Artifact(Artifact { entity, project, ..artifact }));
            }
            let runtime = run.runtime(date::stamp(now));
            records.push(What::Exit(Exit { exit_code: ending.code.into(), runtime }));
            run.write_summary()?;
            run.add(&records)
        })
    }
}
