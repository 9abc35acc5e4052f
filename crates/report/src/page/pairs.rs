//! Images of the same noise before and after finetuning, side by side.

use crate::analysis::Analysis;
use crate::error::ReportError;
use crate::gallery::{Gallery, Shown};
use crate::number::number;
use crate::pictures::data_uri;
use askama::Template;

/// Maximum number of pairs.
const MOST: usize = 24;
/// Maximum side of the pictures in pixels.
const SIDE: usize = 128;

/// The section.
#[derive(Template)]
#[template(path = "pairs.html")]
pub struct Pairs {
    left: String,
    right: String,
    source: String,
    pairs: Vec<Pair>,
}

struct Pair {
    sample: u32,
    sides: [Side; 2],
}

struct Side {
    when: &'static str,
    picture: String,
    small: bool,
    reward: String,
}

impl Pairs {
    /// Pairs the images of the first and the last checkpoint; `None` without two checkpoints.
    ///
    /// # Errors
    /// [`ReportError::Picture`].
    pub fn of(gallery: &Gallery, analysis: &Analysis) -> Result<Option<Self>, ReportError> {
        let Some((first, last)) = gallery.ends() else { return Ok(None) };
        let count = first.images.len().min(last.images.len()).min(MOST);
        let pair = |at: usize| -> Result<Pair, ReportError> {
            let sides = [side(first, "before", at)?, side(last, "after", at)?];
            Ok(Pair { sample: first.scores[at].sample, sides })
        };
        Ok(Some(Self {
            left: first.when(),
            right: last.when(),
            source: analysis.source.clone().unwrap_or_default(),
            pairs: (0..count).map(pair).collect::<Result<_, _>>()?,
        }))
    }
}

fn side(shown: &Shown, when: &'static str, at: usize) -> Result<Side, ReportError> {
    Ok(Side {
        when,
        picture: data_uri(&shown.images[at], SIDE)?,
        small: shown.images[at].width() < SIDE,
        reward: number(f64::from(shown.scores[at].values[0])),
    })
}
