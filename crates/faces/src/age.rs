//! The nine age classes and their shares in the data set.

use std::fmt;

use crate::random::Draws;

/// The classes of `nateraw/vit-age-classifier`, youngest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AgeClass {
    /// "0-2".
    Baby,
    /// "3-9".
    Child,
    /// "10-19".
    Teen,
    /// "20-29".
    Twenties,
    /// "30-39".
    Thirties,
    /// "40-49".
    Forties,
    /// "50-59".
    Fifties,
    /// "60-69".
    Sixties,
    /// "more than 70".
    Seventies,
}

impl AgeClass {
    /// Every class, youngest first: the order of the classifier's outputs.
    pub const ALL: [Self; 9] = [
        Self::Baby,
        Self::Child,
        Self::Teen,
        Self::Twenties,
        Self::Thirties,
        Self::Forties,
        Self::Fifties,
        Self::Sixties,
        Self::Seventies,
    ];

    /// Share of each class in percent, in the order of [`AgeClass::ALL`], as the classifier labels
    /// CelebA-HQ: 6.2 % are 50 or older.
    pub const SHARES: [f32; 9] = [0.0, 0.3, 2.5, 74.4, 13.4, 3.2, 4.1, 1.7, 0.4];

    /// Returns the classifier's label of the class.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Self::Baby => "0-2",
            Self::Child => "3-9",
            Self::Teen => "10-19",
            Self::Twenties => "20-29",
            Self::Thirties => "30-39",
            Self::Forties => "40-49",
            Self::Fifties => "50-59",
            Self::Sixties => "60-69",
            Self::Seventies => "more than 70",
        }
    }

    /// Returns the ages of the class in years: the lowest and, excluded, the highest.
    #[must_use]
    pub fn years(self) -> (f32, f32) {
        match self {
            Self::Baby => (0.5, 3.0),
            Self::Child => (3.0, 10.0),
            Self::Teen => (10.0, 20.0),
            Self::Twenties => (20.0, 30.0),
            Self::Thirties => (30.0, 40.0),
            Self::Forties => (40.0, 50.0),
            Self::Fifties => (50.0, 60.0),
            Self::Sixties => (60.0, 70.0),
            Self::Seventies => (70.0, 88.0),
        }
    }

    /// Draws a class by [`AgeClass::SHARES`].
    pub fn draw(draws: &mut Draws) -> Self {
        Self::ALL[draws.weighted(&Self::SHARES)]
    }
}

impl fmt::Display for AgeClass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.label())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_have_no_gaps() {
        for pair in AgeClass::ALL.windows(2) {
            assert_eq!(pair[0].years().1, pair[1].years().0);
            assert!(pair[0] < pair[1]);
        }
    }

    #[test]
    fn drawn_shares_match_the_table() {
        let draws = 40_000;
        let mut counts = [0_usize; 9];
        for index in 0..draws {
            counts[AgeClass::draw(&mut Draws::new(11, index, 0)) as usize] += 1;
        }
        for (count, share) in counts.iter().zip(AgeClass::SHARES) {
            let found = *count as f32 * 100.0 / draws as f32;
            let deviation = (share * (100.0 - share) / draws as f32).sqrt();
            assert!((found - share).abs() <= 4.0 * deviation, "{found} for {share}");
        }
        assert_eq!(counts[0], 0);
    }
}
