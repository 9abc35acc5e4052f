//! The sections that are mostly words: over-optimisation, settings, how to do it again.

use crate::analysis::{Analysis, DiversityLine};
use crate::diversity::Verdict;
use crate::page::html::{escape, quiet, section, table};
use crate::page::tiles::signed;
use crate::plot::frame::number;
use crate::run::Run;

/// Whether the reward was bought with sameness, with distance, or with what nobody watched.
#[must_use]
pub fn over_optimisation(analysis: &Analysis, plots: &str) -> String {
    let mut body = String::new();
    match analysis.verdict() {
        Some(line) => body += &verdict(line),
        None => {
            body += &quiet("Diversity is not measured: there are no images of two checkpoints.")
        }
    }
    body += &held_out(analysis);
    if !plots.is_empty() {
        body += &format!("<div class=\"plots\">{plots}</div>\n");
    }
    if analysis.kl.is_none() {
        let line = "This run did not measure its divergence from the pretrained model, so there is no \
                    curve of reward against it; kl_coef or kl_stop has a run measure it.";
        body += &quiet(line);
    }
    if !analysis.diversity.is_empty() {
        body += &diversity_table(analysis);
    }
    section("over-optimisation", "Over-optimisation", &body)
}

fn verdict(line: &DiversityLine) -> String {
    let ends = line.checkpoints.first().zip(line.checkpoints.last());
    let Some((before, after)) = ends.map(|(b, a)| (b.diversity, a.diversity)) else {
        return String::new();
    };
    let (class, sentence, advice) = match line.verdict {
        Verdict::Collapsed => (
            "verdict collapsed",
            "The samples have collapsed: two of them at random are more alike than the closest were \
             before training.",
            advice(line),
        ),
        Verdict::Narrowed => (
            "verdict narrowed",
            "The samples have not collapsed, but they have become much more alike.",
            String::new(),
        ),
        Verdict::Kept => (
            "verdict",
            "The samples have not collapsed: they still differ from each other.",
            String::new(),
        ),
    };
    let numbers = format!(
        "Typical distance of two images {} before, {} after; nearest neighbours were at {} before. Vendi \
         score {} before, {} after: {:.0} % of the diversity is left. Mean similarity {} before, {} after. \
         Measured on {} of {} images.{advice}",
        number(before.distance),
        number(after.distance),
        number(line.look_alike_distance),
        number(before.vendi),
        number(after.vendi),
        line.left * 100.0,
        number(before.similarity),
        number(after.similarity),
        on(&line.features),
        line.samples
    );
    let criterion = "How this is decided: the look-alike distance s is the median distance from an image \
        to the nearest other (among 64) before training. Samples are called collapsed when their typical \
        pair is nearer than that. Two images are as similar as exp(\u{2212}d\u{00b2} / 2s\u{00b2}), d their \
        distance; the Vendi score of these similarities counts images that differ altogether. Samples are \
        called narrowed when it has lost more than half of what it had above 1, the score of a single \
        image. A change that all images share does not count.";
    format!(
        "<div class=\"{class}\" data-verdict=\"{}\"><strong>{}</strong>{}</div>\n{}",
        line.verdict.word(),
        escape(sentence),
        escape(&numbers),
        quiet(criterion)
    )
}

/// What to do about it, and where there was still enough diversity.
fn advice(line: &DiversityLine) -> String {
    let Some(before) = line.checkpoints.first() else { return String::new() };
    let enough = line.checkpoints.iter().skip(1).rev().find(|point| {
        point.diversity.verdict(&before.diversity, line.look_alike_distance) != Verdict::Collapsed
    });
    let earlier = enough.and_then(|point| {
        let left = point.diversity.left_of(&before.diversity) * 100.0;
        Some(format!(" The checkpoint after epoch {} had not: {left:.0} % was left.", point.epoch?))
    });
    let earlier = earlier.unwrap_or_else(|| " Every checkpoint had.".into());
    format!("{earlier} A larger kl_coef, a lower peak_lr or fewer epochs keep more.")
}

fn on(features: &str) -> &str {
    match features {
        "pixels" => "the pixels",
        _ => "what the reward's network sees",
    }
}

fn held_out(analysis: &Analysis) -> String {
    let mut rows = Vec::new();
    for line in &analysis.rewards {
        let Some((first, last)) = line.checkpoints.first().zip(line.checkpoints.last()) else {
            continue;
        };
        let change = line.difference.map_or_else(String::new, |d| {
            format!("{} ({} to {})", signed(d.mean), signed(d.low), signed(d.high))
        });
        let role = if line.held_out { "held out" } else { "trained" };
        let name = format!("{} ({role})", line.name);
        rows.push(vec![name, number(first.mean), number(last.mean), change]);
    }
    if rows.is_empty() {
        return String::new();
    }
    let lead = match analysis.rewards.iter().any(|line| line.held_out) {
        true => String::new(),
        false => quiet(
            "No reward was held out; eval_reward names rewards that evaluations alone are scored with.",
        ),
    };
    table("rewards", &["reward", "before", "after", "change, 95 % interval"], &rows) + &lead
}

fn diversity_table(analysis: &Analysis) -> String {
    let mut rows = Vec::new();
    for line in &analysis.diversity {
        for point in &line.checkpoints {
            let d = point.diversity;
            let when =
                point.epoch.map_or_else(|| point.checkpoint.clone(), |epoch| epoch.to_string());
            let features = on(&line.features).to_owned();
            let cells = [number(d.vendi), number(d.similarity), number(d.distance)];
            rows.push([vec![when, features], cells.to_vec()].concat());
        }
    }
    let headings = ["epoch", "measured on", "Vendi score", "mean similarity", "typical distance"];
    format!(
        "<details><summary>Diversity of every checkpoint</summary>{}</details>\n",
        table("diversity", &headings, &rows)
    )
}

/// The settings, and the commands that do it again.
#[must_use]
pub fn settings(run: &Run) -> String {
    let rows: Vec<Vec<String>> = run
        .settings
        .keys()
        .filter(|key| *key != "output_dir")
        .map(|key| vec![key.clone(), run.setting(key)])
        .collect();
    let name = run.name();
    let again = format!(
        "ddpo train --config {name}/run.toml --output-dir {name}-again\n\
         ddpo evaluate {name} --out {name}-evaluation\n\
         ddpo report {name}"
    );
    let body = format!(
        "{}<pre>{}</pre>\n<details><summary>All settings</summary>{}</details>\n",
        quiet(
            "Every random draw has a key, so on the same kind of machine with the same number of \
             threads the first command gives the same weights to the bit, and the others the same \
             images and numbers."
        ),
        escape(&again),
        table("settings", &["setting", "value"], &rows)
    );
    section("settings", "Settings, and how to do it again", &body)
}
