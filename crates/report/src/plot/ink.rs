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
    /// Fifth series.
    Fifth,
    /// Sixth series.
    Sixth,
    /// Seventh series.
    Seventh,
    /// Eighth series.
    Eighth,
    /// Before finetuning.
    Before,
    /// After finetuning.
    After,
}

impl Ink {
    /// All colours.
    pub const ALL: [Self; 13] = [
        Self::Text,
        Self::Muted,
        Self::Grid,
        Self::First,
        Self::Second,
        Self::Third,
        Self::Fourth,
        Self::Fifth,
        Self::Sixth,
        Self::Seventh,
        Self::Eighth,
        Self::Before,
        Self::After,
    ];

    /// The colours of the series, in order.
    pub const SERIES: [Self; 8] = [
        Self::First,
        Self::Second,
        Self::Third,
        Self::Fourth,
        Self::Fifth,
        Self::Sixth,
        Self::Seventh,
        Self::Eighth,
    ];

    /// Returns the name of the CSS variable, without its dashes.
    #[must_use]
    pub fn name(self) -> &'static str {
        self.look().0
    }

    /// Returns the colour on light and on dark backgrounds.
    #[must_use]
    pub fn colours(self) -> [&'static str; 2] {
        self.look().1
    }

    /// Returns name and colours. The first four, blue, orange, teal and purple, also differ in lightness, so that
    /// readers with colour blindness can distinguish them.
    fn look(self) -> (&'static str, [&'static str; 2]) {
        match self {
            Self::Text => ("text", ["#1c2430", "#e6e9ee"]),
            Self::Muted => ("muted", ["#5b6675", "#9aa5b4"]),
            Self::Grid => ("grid", ["#e3e7ec", "#2c333d"]),
            Self::First => ("first", ["#1f5fa8", "#78b4f4"]),
            Self::Second => ("second", ["#c2540a", "#f4a261"]),
            Self::Third => ("third", ["#0e7c6b", "#5cc9b3"]),
            Self::Fourth => ("fourth", ["#7a3fae", "#c6a4f5"]),
            Self::Fifth => ("fifth", ["#b0236b", "#f58ac0"]),
            Self::Sixth => ("sixth", ["#6b7300", "#c9d14a"]),
            Self::Seventh => ("seventh", ["#7a4a2b", "#d3a27f"]),
            Self::Eighth => ("eighth", ["#087f9c", "#5fd0ea"]),
            Self::Before => ("before", ["#64748b", "#9fb0c6"]),
            Self::After => ("after", ["#c2540a", "#f4a261"]),
        }
    }

    /// Returns the CSS declarations of all colours for a theme: 0 is light, 1 is dark.
    pub fn variables(theme: usize) -> String {
        Self::ALL.map(|ink| format!("--{}:{};", ink.name(), ink.colours()[theme])).concat()
    }
}
