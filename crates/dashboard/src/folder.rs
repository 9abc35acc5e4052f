//! Draws the parts of the page that depend on the run's folder, when its files have changed.

use ddpo_report::ReportError;
use ddpo_report::page::live::{Images, Parts, parts};
use ddpo_report::run::{EVALUATIONS, METRICS, Run};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Length and modification time of a file, if it exists.
type Stamp = Option<(u64, SystemTime)>;

/// The folder and the state that was drawn last.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    drawn: Option<[Stamp; 3]>,
    /// Number of evaluations, and the images of the first and the last.
    images: Option<(usize, Option<Images>)>,
}

impl Folder {
    /// Refers to the folder of a run, which may not exist yet.
    pub fn new(root: PathBuf) -> Self {
        Self { root, drawn: None, images: None }
    }

    /// Returns the parts of the page, if the files have changed.
    ///
    /// # Errors
    /// [`ReportError`] if a file cannot be read or parsed.
    pub fn look(&mut self) -> Result<Option<Parts>, ReportError> {
        let stamps = ["run.toml", METRICS, EVALUATIONS].map(|name| stamp(&self.root.join(name)));
        if stamps[0].is_none() || self.drawn == Some(stamps) {
            return Ok(None);
        }
        let run = Run::so_far(&self.root)?;
        self.drawn = Some(stamps);
        parts(&run, self.images(&run)).map(Some)
    }

    /// Returns the images of the first and the last evaluation; `None` if there are fewer than two
    /// or the image size is unknown, as before the first checkpoint.
    fn images(&mut self, run: &Run) -> Option<&Images> {
        let count = run.evaluations.len();
        if self.images.as_ref().is_none_or(|(known, found)| *known != count || found.is_none()) {
            let ends = match &run.evaluations[..] {
                [first, .., last] => Some(vec![first.clone(), last.clone()]),
                _ => None,
            };
            let of = |evaluations| Images::of(&Run { evaluations, ..run.clone() }).ok();
            self.images = Some((count, ends.and_then(of)));
        }
        self.images.as_ref()?.1.as_ref()
    }
}

fn stamp(path: &Path) -> Stamp {
    let found = path.metadata().ok()?;
    Some((found.len(), found.modified().ok()?))
}
