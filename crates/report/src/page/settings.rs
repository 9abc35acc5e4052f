//! The settings of the run, and the commands that reproduce it.

use crate::page::table::Table;
use crate::run::Run;
use askama::Template;

/// The section.
#[derive(Template)]
#[template(path = "settings.html")]
pub struct Settings {
    name: String,
    settings: Table,
}

impl Settings {
    /// Collects the settings of `run`.
    pub fn of(run: &Run) -> Self {
        let keys = run.settings.keys().filter(|key| *key != "output_dir");
        let rows = keys.map(|key| vec![key.clone(), run.setting(key)]).collect();
        let settings = Table { class: "settings", headings: vec!["setting", "value"], rows };
        Self { name: run.name(), settings }
    }
}
