//! The same noise before and after, side by side.

use crate::analysis::Analysis;
use crate::error::ReportError;
use crate::gallery::{Gallery, Shown};
use crate::page::html::{self, escape, quiet};
use crate::pictures::data_uri;
use crate::plot::frame::number;

/// Pairs that the page shows at most, and the side of their pictures at most.
const MOST: usize = 24;
const SIDE: usize = 128;

/// The section.
///
/// # Errors
/// [`ReportError::Picture`].
pub fn section(gallery: &Gallery, analysis: &Analysis) -> Result<String, ReportError> {
    let Some((first, last)) = gallery.ends() else { return Ok(String::new()) };
    let count = first.images.len().min(last.images.len()).min(MOST);
    let pairs = (0..count).map(|at| pair(first, last, at)).collect::<Result<String, _>>()?;
    let source = analysis.source.clone().unwrap_or_default();
    let line = format!(
        "Left: {}. Right: {}. The noise is the same, so each pair shows what the finetuning did to \
         one picture; below it, its reward. Source: {source}.",
        named(first),
        named(last)
    );
    let body = format!("{}<div class=\"pairs\">{pairs}</div>", quiet(&line));
    Ok(html::section("pairs", "The same noise, before and after", &body))
}

/// What a checkpoint is called in a sentence.
#[must_use]
pub fn named(shown: &Shown) -> String {
    match shown.epoch {
        Some(0) => "before training".into(),
        Some(epoch) => format!("after epoch {epoch}"),
        None => shown.name.clone(),
    }
}

fn pair(first: &Shown, last: &Shown, at: usize) -> Result<String, ReportError> {
    let reward = |shown: &Shown| number(f64::from(shown.scores[at].values[0]));
    let image = |shown: &Shown, when: &str| -> Result<String, ReportError> {
        let class = if shown.images[at].width() < SIDE { " class=\"pixels\"" } else { "" };
        let source = data_uri(&shown.images[at], SIDE)?;
        let told = format!("sample {} {when}", shown.scores[at].sample);
        Ok(format!("<img{class} src=\"{source}\" alt=\"{}\">", escape(&told)))
    };
    Ok(format!(
        "<figure class=\"pair\"><div class=\"two\">{}{}</div><figcaption><span>{}</span><span>{}</span>\
         </figcaption></figure>\n",
        image(first, "before")?,
        image(last, "after")?,
        escape(&reward(first)),
        escape(&reward(last))
    ))
}
