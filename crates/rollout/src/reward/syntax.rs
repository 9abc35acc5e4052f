//! The syntax of reward expressions: operators between terms, and the `*` between a weight and its source.

/// Splits at operators and returns the pieces, each with the sign of the operator before it.
pub(super) fn pieces(text: &str) -> Vec<(f32, &str)> {
    let (mut pieces, mut sign, mut start) = (Vec::new(), 1.0, 0);
    for (at, symbol) in text.char_indices().filter(|(at, symbol)| is_operator(text, *at, *symbol)) {
        // A leading `-` is the sign of the first term.
        if (at, symbol) != (0, '-') {
            pieces.push((sign, text[start..at].trim()));
        }
        sign = if symbol == '-' { -1.0 } else { 1.0 };
        start = at + 1;
    }
    pieces.push((sign, text[start..].trim()));
    pieces
}

fn is_operator(text: &str, at: usize, symbol: char) -> bool {
    let open = |neighbour: Option<char>| neighbour.is_none_or(char::is_whitespace);
    matches!(symbol, '+' | '-')
        && open(text[..at].chars().next_back())
        && open(text[at + 1..].chars().next())
}

/// Splits a term with a weight at its `*`.
pub(super) fn weighted(piece: &str) -> Option<(&str, &str)> {
    let (number, source) = piece.split_once('*')?;
    (!number.contains(':')).then(|| (number.trim(), source.trim()))
}

/// Returns whether a text is valid as the source of a term and parses back from an expression.
pub(super) fn is_source(source: &str) -> bool {
    let operator = |(at, symbol): (usize, char)| is_operator(source, at, symbol);
    !(source.is_empty()
        || source.trim() != source
        || source.starts_with(['+', '-'])
        || source.chars().any(char::is_control)
        || source.char_indices().any(operator)
        || weighted(source).is_some())
}
