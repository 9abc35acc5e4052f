//! The page: sections out of numbers, plots and pictures, in one file that asks for nothing.

mod film;
pub mod html;
pub mod live;
mod pairs;
mod sections;
mod tiles;

use crate::analysis::Analysis;
use crate::error::ReportError;
use crate::figures::{self, Figure};
use crate::gallery::Gallery;
use crate::plot::{Ink, svg};
use crate::run::Run;
use html::{escape, json, quiet, section};

const STYLE: &str = include_str!("../../assets/page.css");

/// What moves on a page: the theme, what a point tells, and the pictures of one seed where there are some.
pub const SCRIPT: &str = include_str!("../../assets/page.js");

/// Side of the pictures that a point of the map shows, at most.
const THUMBNAIL: usize = 64;

/// Figures that have a section of their own, whose heading does for them.
const SELF_EVIDENT: [&str; 2] = ["reward", "map"];

/// What a page is made of.
#[derive(Clone, Copy, Debug)]
pub struct Material<'a> {
    /// The run.
    pub run: &'a Run,
    /// Its images, if there are some.
    pub gallery: Option<&'a Gallery>,
    /// The numbers.
    pub analysis: &'a Analysis,
}

/// The page, and all its figures for files of their own.
///
/// # Errors
/// [`ReportError::Picture`] if a picture cannot be encoded.
pub fn page(material: &Material<'_>) -> Result<(String, Vec<Figure>), ReportError> {
    let Material { run, gallery, analysis } = *material;
    let mut drawn = Vec::new();
    let mut show = |figure: Figure| {
        let shown = figure_html(&figure);
        drawn.push(figure);
        shown
    };
    let mut body = tiles::tiles(run, analysis);
    let reward = show(figures::reward(run));
    body += &section("reward", "Reward", &format!("<div class=\"plots one\">{reward}</div>"));
    match gallery.filter(|gallery| gallery.ends().is_some()) {
        Some(gallery) => {
            body += &pairs::section(gallery, analysis)?;
            body += &film::section(gallery)?;
            let classes: String = figures::classes(analysis).into_iter().map(&mut show).collect();
            if !classes.is_empty() {
                let classes = format!("<div class=\"plots\">{classes}</div>");
                body += &section("classes", "Classes, before and after", &classes);
            }
            if let Some(map) = figures::map(analysis, &map_hints(gallery, analysis)) {
                let pictures = json(&map_pictures(gallery, analysis)?);
                let data = format!(
                    "<script type=\"application/json\" id=\"pictures-data\">{pictures}</script>"
                );
                let map = format!("<div class=\"plots one\">{}</div>{data}", show(map));
                body += &section("map", "Where the images lie", &map);
            }
        }
        None => {
            let line = "There are no images of two checkpoints to compare: the run kept no evaluations \
                        (eval_every_each_epoch is not set), and none were drawn.";
            body += &section("images", "Before and after", &quiet(line));
        }
    }
    let over: String = [
        figures::reward_against_kl(run),
        figures::distance(analysis),
        figures::diversity(analysis),
        figures::held_out(analysis),
    ]
    .into_iter()
    .flatten()
    .map(&mut show)
    .collect();
    body += &sections::over_optimisation(analysis, &over);
    let training: String = figures::training(run).into_iter().map(&mut show).collect();
    body += &section("training", "Training", &format!("<div class=\"plots\">{training}</div>"));
    body += &sections::settings(run);
    Ok((whole(run, analysis, &body), drawn))
}

fn figure_html(figure: &Figure) -> String {
    let caption = match figure.caption.as_str() {
        "" => String::new(),
        text => format!("<figcaption>{}</figcaption>", escape(text)),
    };
    let heading = match SELF_EVIDENT.contains(&figure.name) {
        true => String::new(),
        false => format!("<h3>{}</h3>", escape(&figure.heading)),
    };
    format!(
        "<figure id=\"figure-{}\">{heading}{}{}{caption}</figure>\n",
        figure.name,
        svg::inline(&figure.wide, "wide"),
        svg::inline(&figure.narrow, "narrow")
    )
}

/// What the points of the map tell.
fn map_hints(gallery: &Gallery, analysis: &Analysis) -> Vec<String> {
    let Some((first, last)) = gallery.ends() else { return Vec::new() };
    let half = analysis.map.as_ref().map_or(0, |map| map.points.len() / 2);
    let hint = |when: &'static str| {
        move |image: &crate::summary::ScoredImage| {
            let reward = crate::plot::frame::number(f64::from(image.values[0]));
            format!("{when}\nseed {}, sample {}\nreward {reward}", image.seed, image.sample)
        }
    };
    let before = first.scores.iter().take(half).map(hint("before"));
    before.chain(last.scores.iter().take(half).map(hint("after"))).collect()
}

fn map_pictures(gallery: &Gallery, analysis: &Analysis) -> Result<Vec<String>, ReportError> {
    let Some((first, last)) = gallery.ends() else { return Ok(Vec::new()) };
    let half = analysis.map.as_ref().map_or(0, |map| map.points.len() / 2);
    let images = first.images.iter().take(half).chain(last.images.iter().take(half));
    images.map(|image| crate::pictures::data_uri(image, THUMBNAIL)).collect()
}

/// The style of a page: the inks of its plots, and the rest.
#[must_use]
pub fn style() -> String {
    inks() + STYLE
}

/// The inks as variables, for both themes and for paper.
fn inks() -> String {
    let rules = |theme: usize| -> String {
        let rule = |ink: Ink| format!("--{}:{};", ink.name(), ink.colours()[theme]);
        Ink::ALL.map(rule).concat()
    };
    let (light, dark) = (rules(0), rules(1));
    format!(
        ":root{{{light}}}\n@media (prefers-color-scheme: dark){{:root:not([data-theme=\"light\"]){{{dark}}}}}\n\
         :root[data-theme=\"dark\"]{{{dark}}}\n@media print{{:root:root:root{{{light}}}}}\n"
    )
}

fn whole(run: &Run, analysis: &Analysis, body: &str) -> String {
    let title = format!("{}: {}", analysis.run, analysis.reward);
    let sub = subtitle(run, analysis, &analysis.epochs.to_string());
    let policy =
        "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'";
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{policy}\">\n\
         <link rel=\"icon\" href=\"data:,\">\n<title>{}</title>\n<style>\n{}</style>\n</head>\n<body>\n\
         <header class=\"top\"><div><h1>{}</h1><p class=\"sub\">{}</p></div>\
         <button id=\"theme\" type=\"button\" aria-label=\"change between light and dark\">Dark</button></header>\n\
         <main>\n{body}\
         <footer>Written by ddpo {} from the files of the run. The page is one file and asks for nothing \
         from the network.</footer>\n</main>\n<div id=\"tip\" role=\"status\"></div>\n\
         <script>\n{SCRIPT}</script>\n</body>\n</html>\n",
        escape(&title),
        style(),
        escape(&capital(&analysis.reward)),
        escape(&sub),
        env!("CARGO_PKG_VERSION")
    )
}

/// What was finetuned for what, in so many epochs.
fn subtitle(run: &Run, analysis: &Analysis, epochs: &str) -> String {
    let samples = run.setting("num_samples_per_epoch");
    format!(
        "{} finetuned for {} · run {} · {epochs} epochs of {samples} samples",
        run.setting("ddpm_ckpt"),
        analysis.reward,
        analysis.run
    )
}

/// The text with a capital letter in front.
fn capital(text: &str) -> String {
    if let Some(rest) = text.strip_prefix("jpeg") {
        return format!("JPEG{rest}");
    }
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + characters.as_str()
}
