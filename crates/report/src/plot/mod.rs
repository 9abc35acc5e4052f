//! Plots: a [`Drawing`] is a list of shapes, whatever it shows; [`svg`] writes it for the page and
//! as a file that follows the reader's theme, [`raster`] as a PNG.

pub mod bars;
pub mod frame;
pub mod lines;
pub mod raster;
pub mod scatter;
pub mod svg;

/// Height of the small text in pixels.
pub const TEXT: f64 = 12.0;

/// A colour by what it is for. The page has a variable for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ink {
    /// What is read.
    Text,
    /// What stands back: axes, units.
    Muted,
    /// Lines of the grid.
    Grid,
    /// The first series.
    First,
    /// The second.
    Second,
    /// The third.
    Third,
    /// The fourth.
    Fourth,
    /// Before the finetuning.
    Before,
    /// After it.
    After,
}

impl Ink {
    /// All of them.
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

    /// The name of the page's variable, without its dashes.
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

    /// The colour on light and on dark paper. Blue, orange, teal and purple differ in lightness too,
    /// so that they can be told apart without seeing colours.
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
}

/// A place, from the top left corner, in pixels.
pub type Place = (f64, f64);

/// Where a text is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Anchor {
    /// At its start.
    Start,
    /// In its middle.
    Middle,
    /// At its end.
    End,
}

/// One shape.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// A line through points.
    Path {
        /// The points.
        points: Vec<Place>,
        /// Its colour.
        ink: Ink,
        /// Its width.
        width: f64,
    },
    /// A filled polygon.
    Area {
        /// Its corners.
        points: Vec<Place>,
        /// Its colour.
        ink: Ink,
        /// 0 to 1.
        opacity: f64,
    },
    /// A circle, filled or not.
    Dot {
        /// Its centre.
        centre: Place,
        /// Its radius.
        radius: f64,
        /// Its colour.
        ink: Ink,
        /// Whether it is filled.
        filled: bool,
    },
    /// A line of text; its foot is at the place.
    Text {
        /// The place.
        at: Place,
        /// The text.
        text: String,
        /// Its colour.
        ink: Ink,
        /// What of it is at the place.
        anchor: Anchor,
    },
    /// An invisible place that tells something when it is pointed at; in the page only.
    Hint {
        /// Its top left corner.
        corner: Place,
        /// Width and height.
        size: Place,
        /// What it tells, line by line.
        text: String,
        /// The number of the picture that it shows.
        picture: Option<usize>,
    },
}

/// A plot.
#[derive(Clone, Debug, PartialEq)]
pub struct Drawing {
    /// Width in pixels.
    pub width: f64,
    /// Height in pixels.
    pub height: f64,
    /// What it shows, for those who do not see it.
    pub title: String,
    /// Its shapes, from the bottom up.
    pub shapes: Vec<Shape>,
}

impl Drawing {
    /// An empty plot.
    #[must_use]
    pub fn new(width: f64, height: f64, title: &str) -> Self {
        Self { width, height, title: title.to_owned(), shapes: Vec::new() }
    }

    /// Adds a straight line.
    pub fn line(&mut self, from: Place, to: Place, ink: Ink, width: f64) {
        self.shapes.push(Shape::Path { points: vec![from, to], ink, width });
    }

    /// Adds a line of text.
    pub fn text(&mut self, at: Place, text: impl Into<String>, ink: Ink, anchor: Anchor) {
        self.shapes.push(Shape::Text { at, text: text.into(), ink, anchor });
    }

    /// Adds a filled rectangle.
    pub fn rectangle(&mut self, (left, top): Place, (wide, high): Place, ink: Ink, opacity: f64) {
        let (right, foot) = (left + wide, top + high);
        let points = vec![(left, top), (right, top), (right, foot), (left, foot)];
        self.shapes.push(Shape::Area { points, ink, opacity });
    }

    /// Adds a place that tells something.
    pub fn hint(&mut self, centre: Place, size: Place, text: String, picture: Option<usize>) {
        let corner = (centre.0 - size.0 / 2.0, centre.1 - size.1 / 2.0);
        self.shapes.push(Shape::Hint { corner, size, text, picture });
    }
}
