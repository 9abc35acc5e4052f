//! Ranges of numeric settings: checked when a source sets a value, and shown in help texts.

use std::fmt;
use toml::Value;

/// The range of a numeric setting. Every range excludes infinity and NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Range {
    /// All finite numbers.
    Finite,
    /// Whole numbers, both ends included.
    Whole(i64, i64),
    /// Numbers from an included bound up.
    AtLeast(f64),
    /// Numbers above an excluded bound.
    Above(f64),
    /// Numbers between two included bounds.
    Between(f64, f64),
    /// Numbers above an excluded bound, up to an included one.
    AboveTo(f64, f64),
    /// Numbers from an included bound, below an excluded one.
    FromBelow(f64, f64),
}

impl Range {
    /// Counts of 1 or more that fit into 32 bits.
    pub const COUNT: Self = Self::Whole(1, u32::MAX as i64);

    /// Seeds of random numbers. TOML has whole numbers up to 2^63 - 1.
    pub const SEED: Self = Self::Whole(0, i64::MAX);

    /// Numbers above 0.
    pub const POSITIVE: Self = Self::Above(0.0);

    /// Returns whether `value` lies in the range. A text passes unless it is a whole number outside of
    /// the range: some settings accept a number or a word.
    #[must_use]
    pub fn contains(&self, value: &Value) -> bool {
        match value {
            Value::Integer(whole) => self.has_whole(i128::from(*whole)),
            Value::Float(number) => self.has_number(*number),
            Value::String(text) => text.parse().map_or(true, |whole: i128| self.has_whole(whole)),
            _ => true,
        }
    }

    /// Returns whether the number that `text` states lies in the range; true for text without a number.
    #[must_use]
    pub fn contains_text(&self, text: &str) -> bool {
        match (text.parse(), text.parse()) {
            (Ok(whole), _) => self.has_whole(whole),
            (_, Ok(number)) => self.has_number(number),
            _ => true,
        }
    }

    fn has_whole(&self, whole: i128) -> bool {
        match *self {
            Self::Whole(low, high) => (i128::from(low)..=i128::from(high)).contains(&whole),
            _ => self.has_number(whole as f64),
        }
    }

    fn has_number(&self, x: f64) -> bool {
        let is_inside = match *self {
            Self::Finite => true,
            Self::Whole(low, high) => (low as f64..=high as f64).contains(&x),
            Self::AtLeast(low) => x >= low,
            Self::Above(low) => x > low,
            Self::Between(low, high) => (low..=high).contains(&x),
            Self::AboveTo(low, high) => x > low && x <= high,
            Self::FromBelow(low, high) => (low..high).contains(&x),
        };
        x.is_finite() && is_inside
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Finite => f.write_str("a finite number"),
            Self::Whole(low, i64::MAX) => write!(f, "{low} to 2^63 - 1"),
            Self::Whole(low, high) if high == i64::from(u32::MAX) => write!(f, "{low} to 2^32 - 1"),
            Self::Whole(low, high) => write!(f, "{low} to {high}"),
            Self::AtLeast(low) => write!(f, "{low} or more"),
            Self::Above(low) => write!(f, "above {low}"),
            Self::Between(low, high) => write!(f, "{low} to {high}"),
            Self::AboveTo(low, high) => write!(f, "above {low}, at most {high}"),
            Self::FromBelow(low, high) => write!(f, "from {low} to below {high}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_included_or_excluded_as_the_text_says() {
        for (range, text, inside, outside) in [
            (Range::AtLeast(0.0), "0 or more", 0.0, -1e-9),
            (Range::Above(0.0), "above 0", 1e-300, 0.0),
            (Range::Between(0.0, 1.0), "0 to 1", 1.0, 1.0 + 1e-9),
            (Range::AboveTo(0.0, 1.0), "above 0, at most 1", 1.0, 0.0),
            (Range::FromBelow(0.0, 1.0), "from 0 to below 1", 0.0, 1.0),
            (Range::COUNT, "1 to 2^32 - 1", 4_294_967_295.0, 4_294_967_296.0),
        ] {
            assert_eq!(range.to_string(), text);
            assert!(range.contains(&Value::Float(inside)), "{text}: {inside}");
            for outside in [outside, f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
                assert!(!range.contains(&Value::Float(outside)), "{text}: {outside}");
            }
        }
        assert!(Range::Finite.contains(&Value::Float(-1e300)));
        assert!(!Range::Finite.contains(&Value::Float(f64::NAN)));
    }

    #[test]
    fn whole_numbers_are_compared_exactly() {
        assert_eq!(Range::SEED.to_string(), "0 to 2^63 - 1");
        assert!(Range::SEED.contains(&Value::Integer(i64::MAX)));
        assert!(!Range::SEED.contains(&Value::Integer(-1)));
        let text = |text: &str| Value::String(text.into());
        assert!(!Range::SEED.contains(&text("9223372036854775808")));
        assert!(Range::COUNT.contains(&text("auto")) && Range::COUNT.contains(&text("8")));
        assert!(!Range::COUNT.contains(&text("0")));
        for (text, is_inside) in [("0", false), ("1.5", true), ("nan", false), ("many", true)] {
            assert_eq!(Range::POSITIVE.contains_text(text), is_inside, "{text}");
        }
    }
}
