//! Plots of the images of the first and the last checkpoint.

use crate::analysis::{Analysis, ClassLine};
use crate::figures::figure::{Figure, HALF, NARROW, WHOLE};
use crate::gallery::Gallery;
use crate::number::number;
use crate::plot::bars::{self, Pair};
use crate::plot::scatter::{self, Spot};
use crate::summary::ScoredImage;

/// Draws the shares by class of each classifier.
pub fn classes(analysis: &Analysis) -> Vec<Figure> {
    let names = ["classes", "classes-2", "classes-3", "classes-4"];
    let figure = |(name, line): (&'static str, &ClassLine)| {
        let pair = |(label, before, after): &(String, f64, f64)| Pair {
            label: label.clone(),
            before: *before,
            after: *after,
        };
        let pairs: Vec<Pair> = line.classes.iter().map(pair).collect();
        let heading = if line.reward.is_empty() {
            "Classes".to_owned()
        } else {
            format!("Classes by the classifier of {}", line.reward)
        };
        Figure {
            name: name.to_owned(),
            caption: "Share of the images by their most likely class.".into(),
            wide: bars::draw(&heading, &pairs, HALF.0),
            narrow: bars::draw(&heading, &pairs, NARROW.0),
            heading,
        }
    };
    names.into_iter().zip(&analysis.classes).map(figure).collect()
}

/// Draws the images of the first and the last checkpoint on two principal components.
pub fn map(gallery: &Gallery, analysis: &Analysis) -> Option<Figure> {
    let map = analysis.map.as_ref()?;
    let half = map.points.len() / 2;
    let hints = hints(gallery, half)?;
    let spot = |(at, (point, hint)): (usize, (&crate::analysis::MapPoint, String))| Spot {
        at: point.at,
        after: at >= half,
        hint,
        picture: at,
    };
    let spots: Vec<Spot> = map.points.iter().zip(hints).enumerate().map(spot).collect();
    let by = map.features.words();
    let label = |axis: usize| {
        let share = map.shares[axis] * 100.0;
        format!("principal component {} ({share:.0} % of the variance)", axis + 1)
    };
    let (x, y) = (label(0), label(1));
    let heading = "Map of the images".to_owned();
    Some(Figure {
        name: "map".into(),
        caption: format!(
            "Each point is an image; near points have similar {by}. Hover over or tap a point to see its image."
        ),
        wide: scatter::draw(&heading, [&x, &y], &spots, WHOLE.0, 520.0),
        narrow: scatter::draw(&heading, [&x, &y], &spots, NARROW.0, 360.0),
        heading,
    })
}

/// Returns the tooltips of the map: those of `half` images before training, then those after.
fn hints(gallery: &Gallery, half: usize) -> Option<Vec<String>> {
    let (first, last) = gallery.ends()?;
    let hint = |when: &'static str| {
        move |image: &ScoredImage| {
            let reward = number(f64::from(image.values[0]));
            format!("{when}\nseed {}, sample {}\nreward {reward}", image.seed, image.sample)
        }
    };
    let before = first.scores.iter().take(half).map(hint("before"));
    Some(before.chain(last.scores.iter().take(half).map(hint("after"))).collect())
}
