//! Shows a run's progress: with a bar if standard error is a terminal, otherwise as plain lines.

use ddpo_run::progress::Progress;
use indicatif::{ProgressBar, ProgressStyle};
use std::io::IsTerminal;

/// Wraps a run's progress in another receiver.
pub type ProgressLayer = for<'p> fn(Box<dyn Progress + 'p>) -> Box<dyn Progress + 'p>;

/// A progress bar, on terminals.
pub struct Terminal {
    bar: Option<ProgressBar>,
}

impl Terminal {
    /// Creates a bar if standard error is a terminal.
    pub fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(0);
            // This constant template always parses.
            if let Ok(style) = ProgressStyle::with_template("{msg:>10} {bar:32} {pos}/{len} {eta}")
            {
                bar.set_style(style);
            }
            bar
        });
        Self { bar }
    }
}

impl Progress for Terminal {
    fn at(&self, stage: &'static str, done: usize, total: usize) {
        if let Some(bar) = &self.bar {
            if bar.length() != Some(total as u64) || bar.message() != stage {
                bar.reset();
                bar.set_length(total as u64);
                bar.set_message(stage);
            }
            bar.set_position(done as u64);
        }
    }

    fn say(&self, line: &str) {
        match &self.bar {
            Some(bar) => bar.suspend(|| crate::output::say(line)),
            None => crate::output::say(line),
        }
    }

    fn aside(&self, line: &str) {
        crate::output::aside(line);
    }

    /// Removes the bar.
    fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
