//! Colours by purpose, for light and dark backgrounds.

/// A colour, named by its purpose. The page has a CSS variable for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// Primary text.
    Text,
    /// Secondary text: axes, units.
    Muted,
    /// Grid lines.
    Grid,
    /// First series.
    First,
    /// Second series.
    Second,
    /// Third series.
    Third,
    /// Fourth series.
    Fourth,
    /// Before finetuning.
    Before,
    /// After finetuning.
    After,
}

impl Ink {
    /// All colours.
    pub const ALL: [Self; 9] = [
        Self::Text,
        Self::Muted,
        Self::Grid,
        Self::First,
        Self::Second,
        Self::Third,
        Self::Fourth,
        Self::Before,
        Self::After,
    ];

    /// The colours of the series, in order.
    pub const SERIES: [Self; 4] = [Self::First, Self::Second, Self::Third, Self::Fourth];

    /// Returns the name of the CSS variable, without its dashes.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Muted => "muted",
            Self::Grid => "grid",
            Self::First => "first",
            Self::Second => "second",
            Self::Third => "third",
            Self::Fourth => "fourth",
            Self::Before => "before",
            Self::After => "after",
        }
    }

    /// Returns the colour on light and on dark backgrounds. Blue, orange, teal and purple also differ
    /// in lightness, so that readers with colour blindness can distinguish them.
    #[must_use]
    pub fn colours(self) -> [&'static str; 2] {
        match self {
            Self::Text => ["#1c2430", "#e6e9ee"],
            Self::Muted => ["#5b6675", "#9aa5b4"],
            Self::Grid => ["#e3e7ec", "#2c333d"],
            Self::First => ["#1f5fa8", "#78b4f4"],
            Self::Second | Self::After => ["#c2540a", "#f4a261"],
            Self::Third => ["#0e7c6b", "#5cc9b3"],
            Self::Fourth => ["#7a3fae", "#c6a4f5"],
            Self::Before => ["#64748b", "#9fb0c6"],
        }
    }

    /// Returns the CSS declarations of all colours for a theme: 0 is light, 1 is dark.
    #[must_use]
    pub fn variables(theme: usize) -> String {
        Self::ALL.map(|ink| format!("--{}:{};", ink.name(), ink.colours()[theme])).concat()
    }
}
