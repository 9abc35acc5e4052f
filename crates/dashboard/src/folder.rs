//! What the run's folder shows, drawn anew when its files have changed.

use ddpo_report::ReportError;
use ddpo_report::page::live::{Images, Parts, parts};
use ddpo_report::run::{EVALUATIONS, METRICS, Run};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Length and time of a file, if it is there.
type Stamp = Option<(u64, SystemTime)>;

/// The folder, and what of it was drawn last.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    drawn: Option<[Stamp; 3]>,
    /// How many evaluations there were, and the first and the last with what they come to.
    images: Option<(usize, Option<Images>)>,
}

impl Folder {
    /// The folder of a run, which may come later.
    pub fn new(root: PathBuf) -> Self {
        Self { root, drawn: None, images: None }
    }

    /// What there is to show, if that is not what was shown last.
    ///
    /// # Errors
    /// A file that cannot be read or understood.
    pub fn look(&mut self) -> Result<Option<Parts>, ReportError> {
        let stamps = ["run.toml", METRICS, EVALUATIONS].map(|name| stamp(&self.root.join(name)));
        if stamps[0].is_none() || self.drawn == Some(stamps) {
            return Ok(None);
        }
        let run = Run::so_far(&self.root)?;
        self.drawn = Some(stamps);
        parts(&run, self.images(&run)).map(Some)
    }

    /// The first evaluation and the last; none where there are not two, or their grids cannot be cut: a
    /// run that has no checkpoint yet does not tell the size of its images.
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
