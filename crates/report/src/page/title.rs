//! Heading and subtitle of a page.

use crate::analysis::Analysis;
use crate::run::Run;

/// Returns the model, the reward, and the number of epochs as the text `epochs`.
pub fn subtitle(run: &Run, analysis: &Analysis, epochs: &str) -> String {
    let samples = run.setting("num_samples_per_epoch");
    format!(
        "{} finetuned for {} · run {} · {epochs} epochs of {samples} samples",
        run.setting("ddpm_ckpt"),
        analysis.reward,
        analysis.run
    )
}

/// Capitalises the first letter; `jpeg` becomes `JPEG`.
pub fn capital(text: &str) -> String {
    if let Some(rest) = text.strip_prefix("jpeg") {
        return format!("JPEG{rest}");
    }
    let mut characters = text.chars();
    let first = characters.next().map(|first| first.to_uppercase().to_string());
    first.unwrap_or_default() + characters.as_str()
}
