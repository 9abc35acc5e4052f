//! Numbers as text for readers.

/// Formats a number with four significant digits.
pub fn number(value: f64) -> String {
    let size = value.abs();
    minus(match size {
        0.0 => "0".into(),
        _ if !(1e-3..1e6).contains(&size) => format!("{value:.2e}"),
        _ => {
            let digits = (3.0 - size.log10().floor()).clamp(0.0, 6.0) as usize;
            format!("{value:.digits$}")
        }
    })
}

/// Formats a number with four significant digits and its sign.
pub fn signed(value: f64) -> String {
    if value > 0.0 { format!("+{}", number(value)) } else { number(value) }
}

/// Replaces a leading hyphen by a minus sign.
pub fn minus(text: String) -> String {
    text.replacen('-', "\u{2212}", usize::from(text.starts_with('-')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_four_significant_digits() {
        for (value, text) in [
            (0.0, "0"),
            (-1.43219, "\u{2212}1.432"),
            (123.456, "123.5"),
            (1.2e-5, "1.20e-5"),
            (0.07361, "0.07361"),
        ] {
            assert_eq!(number(value), text);
        }
        assert_eq!([signed(1.5), signed(-1.5)], ["+1.500", "\u{2212}1.500"]);
    }
}
