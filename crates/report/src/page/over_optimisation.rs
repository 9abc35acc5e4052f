//! Signs of over-optimisation: lost diversity, distance from the pretrained model, held-out rewards.

use crate::analysis::{Analysis, RewardLine};
use crate::diversity::{Diversity, Verdict};
use crate::figures::Figure;
use crate::judgement::{DiversityLine, Judgement};
use crate::number::{number, signed};
use crate::page::table::Table;
use crate::page::title::capital;
use crate::plot::svg::Inline;
use askama::Template;

/// The section.
#[derive(Template)]
#[template(path = "over_optimisation.html")]
pub struct OverOptimisation<'a> {
    change: Option<Change>,
    /// The reason for withholding the verdict: a sentence without its period.
    withheld: Option<String>,
    rewards: Option<Table>,
    any_held_out: bool,
    one: bool,
    figures: &'a [Figure],
    kl_measured: bool,
    diversity: Option<Table>,
}

/// Change of the diversity from the first to the last checkpoint, as text.
struct Change {
    verdict: Verdict,
    distance: [String; 2],
    look_alike_distance: String,
    vendi: [String; 2],
    left: String,
    similarity: [String; 2],
    features: &'static str,
    samples: usize,
    /// Remaining diversity and verdict by each kind of features.
    measures: String,
    network_left_out: bool,
    /// Epoch and remaining diversity of the last checkpoint that had not collapsed.
    last_diverse: Option<(u32, String)>,
}

impl<'a> OverOptimisation<'a> {
    /// Collects the numbers of `analysis`.
    pub fn of(analysis: &Analysis, figures: &'a [Figure]) -> Self {
        let judged = analysis.judged();
        Self {
            change: judged.and_then(|judged| Change::of(judged, &analysis.diversity)),
            withheld: judged.and_then(|(judgement, _)| judgement.withheld.as_deref()).map(capital),
            rewards: rewards(&analysis.rewards),
            any_held_out: analysis.rewards.iter().any(|line| line.held_out),
            one: false,
            figures,
            kl_measured: analysis.kl.is_some(),
            diversity: diversity(&analysis.diversity),
        }
    }
}

impl Change {
    /// Returns the change by the features of the verdict; `None` without a verdict.
    fn of((judgement, line): (&Judgement, &DiversityLine), all: &[DiversityLine]) -> Option<Self> {
        let ends = [line.checkpoints.first()?.diversity, line.checkpoints.last()?.diversity];
        let both =
            |value: fn(&Diversity) -> f64| [number(value(&ends[0])), number(value(&ends[1]))];
        Some(Self {
            verdict: judgement.verdict?,
            distance: both(|one| one.distance),
            look_alike_distance: number(line.look_alike_distance),
            vendi: both(|one| one.vendi),
            left: percent(line.left),
            similarity: both(|one| one.similarity),
            features: line.features.words(),
            samples: line.samples,
            measures: measures(all),
            network_left_out: judgement.network_left_out,
            last_diverse: last_diverse(all),
        })
    }
}

/// Returns the epoch of the last checkpoint that no kind of features calls collapsed, and its remaining
/// diversity, the least of all kinds.
fn last_diverse(lines: &[DiversityLine]) -> Option<(u32, String)> {
    let checkpoints = &lines.first()?.checkpoints;
    (1..checkpoints.len()).rev().find_map(|at| {
        let mut left = f64::INFINITY;
        for line in lines {
            let (before, now) =
                (line.checkpoints.first()?.diversity, line.checkpoints[at].diversity);
            if now.verdict(&before, line.look_alike_distance) == Verdict::Collapsed {
                return None;
            }
            left = left.min(now.left_of(&before));
        }
        Some((checkpoints[at].epoch?, percent(left)))
    })
}

fn percent(share: f64) -> String {
    format!("{:.0}", share * 100.0)
}

/// Returns a sentence's list of the remaining diversity by each kind of features.
fn measures(lines: &[DiversityLine]) -> String {
    let one = |line: &DiversityLine| {
        let word = line.verdict.map_or("", Verdict::word);
        format!("{} {} % ({word})", line.features.words(), percent(line.left))
    };
    lines.iter().map(one).collect::<Vec<_>>().join(", ")
}

fn rewards(lines: &[RewardLine]) -> Option<Table> {
    let row = |line: &RewardLine| {
        let (first, last) = (line.checkpoints.first()?, line.checkpoints.last()?);
        let role = if line.held_out { "held out" } else { "trained" };
        let change = line.difference.map_or_else(String::new, |change| {
            format!("{} ({} to {})", signed(change.mean), signed(change.low), signed(change.high))
        });
        Some(vec![format!("{} ({role})", line.name), number(first.mean), number(last.mean), change])
    };
    let rows: Vec<_> = lines.iter().filter_map(row).collect();
    let headings = vec!["reward", "before", "after", "change, 95 % interval"];
    (!rows.is_empty()).then_some(Table { class: "rewards", headings, rows })
}

fn diversity(lines: &[DiversityLine]) -> Option<Table> {
    let rows = lines.iter().flat_map(|line| {
        line.checkpoints.iter().map(|point| {
            let Diversity { vendi, similarity, distance } = point.diversity;
            let epoch = point.epoch.map(|epoch| epoch.to_string());
            let [vendi, similarity, distance] = [vendi, similarity, distance].map(number);
            let features = line.features.words().to_owned();
            vec![
                epoch.unwrap_or_else(|| point.checkpoint.clone()),
                features,
                vendi,
                similarity,
                distance,
            ]
        })
    });
    let rows: Vec<_> = rows.collect();
    let headings =
        vec!["epoch", "measured on", "Vendi score", "mean similarity", "typical distance"];
    (!rows.is_empty()).then_some(Table { class: "diversity", headings, rows })
}
