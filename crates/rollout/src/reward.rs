//! The reward as an expression: a weighted sum of rewards, each named by its source.
//!
//! ```text
//!   jpeg compressibility
//!   0.7*aesthetic score + 0.3*jpeg compressibility
//!   aesthetic score - 0.2*jpeg incompressibility
//!   0.5*torchscript:models/smile.pt + 0.5*grpc://127.0.0.1:50060,127.0.0.1:50061
//! ```
//!
//! Terms are cut at every `+` and `-` with a space on both sides, so a path or an address may hold
//! either, but not surrounded by spaces. A weight stands before a `*`; without one it is 1, or -1
//! after a leading `-`. A `*` behind the first `:` belongs to the source. What sources there are is
//! for whoever scores to say; [`full_name`] knows a few short names.
//!
//! A term's reward, and a reward that is held out for evaluation, travel as components of a score,
//! under names that are made here, so that whoever scores and whoever reads agree on them.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// Bytes of an expression's [label](RewardExpression::label) at most: it travels with every score.
pub const MOST_BYTES: usize = 384;

/// What a source begins with that is a TorchScript file.
pub const TORCHSCRIPT: &str = "torchscript:";

/// Short names and the sources that they stand for.
const SHORT: [(&str, &str); 3] = [
    ("aesthetic", "aesthetic score"),
    ("over50", "over50 years old"),
    ("under30", "under30 years old"),
];

/// The source that a short name stands for; any other source is its own name.
#[must_use]
pub fn full_name(source: &str) -> &str {
    SHORT.into_iter().find(|(short, _)| *short == source).map_or(source, |(_, full)| full)
}

/// One reward of a sum.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// What its reward is multiplied by: finite, not zero.
    pub weight: f32,
    /// Where its reward comes from: a task's name, `torchscript:PATH`, `grpc://HOST:PORT`, ...
    pub source: String,
}

impl Term {
    /// The name of its reward in scores and files: the source, a file by its last name, so that it
    /// is the same wherever the file lies.
    #[must_use]
    pub fn label(&self) -> String {
        let file = self.source.strip_prefix(TORCHSCRIPT).and_then(|path| path.rsplit('/').next());
        file.filter(|file| !file.is_empty())
            .map_or_else(|| self.source.clone(), |file| format!("{TORCHSCRIPT}{file}"))
    }
}

/// A weighted sum of rewards; at least one, each once. Its text parses back to the same.
#[derive(Clone, Debug, PartialEq)]
pub struct RewardExpression {
    terms: Vec<Term>,
}

/// Why a text is no reward. Each message goes on from "expected".
#[derive(Clone, Debug, Error, PartialEq)]
pub enum ExpressionError {
    /// There is nothing where a reward has to be.
    #[error("a reward on both sides of each + and -, found none in \"{text}\"")]
    Empty {
        /// The expression.
        text: String,
    },
    /// What stands before a `*` is no number.
    #[error("a number before the `*` in \"{piece}\", found \"{found}\"")]
    Weight {
        /// The term.
        piece: String,
        /// What stands there.
        found: String,
    },
    /// A weight is infinite, not a number, or zero.
    #[error("a weight that is finite and not zero in \"{piece}\", found {found}")]
    WeightValue {
        /// The term.
        piece: String,
        /// The weight.
        found: f32,
    },
    /// A source is no name.
    #[error("the name of a reward, found \"{found}\" in \"{piece}\"")]
    Source {
        /// The term.
        piece: String,
        /// What stands in the name's place.
        found: String,
    },
    /// A reward comes twice.
    #[error("each reward once, found \"{label}\" twice; hint: add up their weights")]
    Duplicate {
        /// The reward.
        label: String,
    },
    /// The text is too long to travel with every score.
    #[error("at most {MOST_BYTES} bytes, found {found}")]
    TooLong {
        /// Its length in bytes.
        found: usize,
    },
}

impl RewardExpression {
    /// The sum of `terms`, whose short names become full ones.
    ///
    /// # Errors
    /// [`ExpressionError`] names the first term that cannot be used.
    pub fn new(terms: Vec<Term>) -> Result<Self, ExpressionError> {
        if terms.is_empty() {
            return Err(ExpressionError::Empty { text: String::new() });
        }
        let mut labels = BTreeSet::new();
        let mut checked = Vec::with_capacity(terms.len());
        for Term { weight, source } in terms {
            let term = Term { weight, source: full_name(&source).to_owned() };
            check(&term)?;
            let label = term.label();
            if !labels.insert(label.clone()) {
                return Err(ExpressionError::Duplicate { label });
            }
            checked.push(term);
        }
        let expression = Self { terms: checked };
        match expression.label().len() {
            found if found > MOST_BYTES => Err(ExpressionError::TooLong { found }),
            _ => Ok(expression),
        }
    }

    /// The terms, in their order.
    #[must_use]
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// The source, where the expression is one reward as it is: a single term of weight 1.
    #[must_use]
    pub fn plain(&self) -> Option<&str> {
        match &self.terms[..] {
            [Term { weight: 1.0, source }] => Some(source),
            _ => None,
        }
    }

    /// The expression's name in scores and files: its text with [labels](Term::label) in place of
    /// sources. What learner and rewarder compare.
    #[must_use]
    pub fn label(&self) -> String {
        written(self.terms.iter().map(|term| (term.weight, term.label())))
    }

    /// The name of its reward among the components of a score, where it is held out for evaluation.
    #[must_use]
    pub fn held_out_name(&self) -> String {
        format!("eval:{}", self.label())
    }

    /// The same sum with every source as `change` gives it.
    ///
    /// # Errors
    /// [`ExpressionError`] if what it gives is no source.
    pub fn with_sources(&self, change: impl Fn(&str) -> String) -> Result<Self, ExpressionError> {
        let changed = |term: &Term| Term { weight: term.weight, source: change(&term.source) };
        Self::new(self.terms.iter().map(changed).collect())
    }

    /// Reads several expressions, each once. A list of servers may have been cut at its commas,
    /// as lists of settings are: `HOST:PORT` alone goes on with the servers before it.
    ///
    /// # Errors
    /// [`ExpressionError`] of the first that cannot be read.
    pub fn list(texts: &[String]) -> Result<Vec<Self>, ExpressionError> {
        let mut whole: Vec<String> = Vec::new();
        for text in texts {
            match whole.last_mut().filter(|last| goes_on(last, text)) {
                Some(last) => *last += &format!(",{}", text.trim()),
                None => whole.push(text.clone()),
            }
        }
        let mut found: Vec<Self> = Vec::with_capacity(whole.len());
        for text in whole {
            let expression: Self = text.parse()?;
            let label = expression.label();
            if found.iter().any(|other| other.label() == label) {
                return Err(ExpressionError::Duplicate { label });
            }
            found.push(expression);
        }
        Ok(found)
    }
}

/// Whether `text` begins with another server of the list that `before` ends with.
fn goes_on(before: &str, text: &str) -> bool {
    let Some(first) = text.split_whitespace().next() else { return false };
    let last = before.split_whitespace().last().unwrap_or_default();
    let address = first.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
    });
    (last.contains("grpc://") || last.contains("grpcs://"))
        && address
        && !first.contains(['*', '/'])
        && !first.starts_with(TORCHSCRIPT)
}

impl fmt::Display for RewardExpression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let terms = self.terms.iter().map(|term| (term.weight, term.source.clone()));
        formatter.write_str(&written(terms))
    }
}

fn written(terms: impl Iterator<Item = (f32, String)>) -> String {
    let mut text = String::new();
    for (index, (weight, source)) in terms.enumerate() {
        let negative = weight.is_sign_negative();
        text += match (index, negative) {
            (0, false) => "",
            (0, true) => "-",
            (_, false) => " + ",
            (_, true) => " - ",
        };
        if weight.abs() != 1.0 {
            text += &format!("{}*", number(weight.abs()));
        }
        text += &source;
    }
    text
}

/// The shortest decimal that reads back to the same; with an exponent where that is shorter.
fn number(weight: f32) -> String {
    let plain = weight.to_string();
    match plain.len() {
        0..=10 => plain,
        _ => format!("{weight:e}"),
    }
}

impl FromStr for RewardExpression {
    type Err = ExpressionError;

    fn from_str(text: &str) -> Result<Self, ExpressionError> {
        let text = text.trim();
        let read = |(sign, piece): (f32, &str)| match piece {
            "" => Err(ExpressionError::Empty { text: text.to_owned() }),
            piece => term(sign, piece),
        };
        Self::new(pieces(text).into_iter().map(read).collect::<Result<_, _>>()?)
    }
}

/// The pieces between operators, each with the sign of the operator before it.
fn pieces(text: &str) -> Vec<(f32, &str)> {
    let (mut pieces, mut sign, mut start) = (Vec::new(), 1.0, 0);
    for (at, symbol) in text.char_indices().filter(|(at, symbol)| is_operator(text, *at, *symbol)) {
        // The first one may be the first term's sign.
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

fn term(sign: f32, piece: &str) -> Result<Term, ExpressionError> {
    let (weight, source) = match weighted(piece) {
        Some((number, source)) => {
            let weight = number.parse::<f32>().map_err(|_| ExpressionError::Weight {
                piece: piece.to_owned(),
                found: number.to_owned(),
            })?;
            (weight, source)
        }
        None => match piece.strip_prefix('-') {
            Some(source) => (-1.0, source.trim_start()),
            None => (1.0, piece),
        },
    };
    Ok(Term { weight: sign * weight, source: source.to_owned() })
}

/// What stands before and after the `*` of a term that has a weight.
fn weighted(piece: &str) -> Option<(&str, &str)> {
    let (number, source) = piece.split_once('*')?;
    (!number.contains(':')).then(|| (number.trim(), source.trim()))
}

fn check(term: &Term) -> Result<(), ExpressionError> {
    let Term { weight, source } = term;
    let piece = || written(std::iter::once((*weight, source.clone())));
    if !weight.is_finite() || *weight == 0.0 {
        return Err(ExpressionError::WeightValue { piece: piece(), found: *weight });
    }
    let operator = |(at, symbol): (usize, char)| is_operator(source, at, symbol);
    let refused = source.is_empty()
        || source.trim() != source
        || source.starts_with(['+', '-'])
        || source.chars().any(char::is_control)
        || source.char_indices().any(operator)
        || weighted(source).is_some();
    match refused {
        true => Err(ExpressionError::Source { piece: piece(), found: source.clone() }),
        false => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> RewardExpression {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn terms(text: &str) -> Vec<(f32, String)> {
        parsed(text).terms().iter().map(|term| (term.weight, term.source.clone())).collect()
    }

    fn refusal(text: &str) -> String {
        text.parse::<RewardExpression>().map(|found| found.to_string()).unwrap_err().to_string()
    }

    #[test]
    fn weights_and_sources_are_read() {
        let named = |terms: &[(f32, &str)]| {
            terms.iter().map(|(weight, name)| (*weight, (*name).to_owned())).collect::<Vec<_>>()
        };
        for (text, expected) in [
            ("jpeg compressibility", named(&[(1.0, "jpeg compressibility")])),
            (
                "0.7*aesthetic + 0.3*jpeg compressibility",
                named(&[(0.7, "aesthetic score"), (0.3, "jpeg compressibility")]),
            ),
            (
                "  aesthetic score  -  0.2 * jpeg incompressibility ",
                named(&[(1.0, "aesthetic score"), (-0.2, "jpeg incompressibility")]),
            ),
            ("-over50", named(&[(-1.0, "over50 years old")])),
            ("- under30 + -2*x", named(&[(-1.0, "under30 years old"), (-2.0, "x")])),
            ("a - -2e-1*b", named(&[(1.0, "a"), (0.2, "b")])),
            (
                "torchscript:a+b-c*d.pt - 3*torchscript:my model.pt",
                named(&[(1.0, "torchscript:a+b-c*d.pt"), (-3.0, "torchscript:my model.pt")]),
            ),
            (
                "0.5*grpc://my-host:50060,[::1]:50061 + 0.5*over50 years old",
                named(&[(0.5, "grpc://my-host:50060,[::1]:50061"), (0.5, "over50 years old")]),
            ),
        ] {
            assert_eq!(terms(text), expected, "{text}");
        }
    }

    #[test]
    fn the_text_of_a_plain_task_stays() {
        for task in ["aesthetic score", "jpeg incompressibility", "under30 years old"] {
            assert_eq!(parsed(task).to_string(), task);
            assert_eq!(parsed(task).label(), task);
            assert_eq!(parsed(task).plain(), Some(task));
        }
        assert_eq!(parsed("-jpeg compressibility").plain(), None);
        assert_eq!(parsed("2*x - 0.25*y + z").to_string(), "2*x - 0.25*y + z");
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        for (text, part) in [
            ("", "found none in \"\""),
            ("0.7*a +", "found none in \"0.7*a +\""),
            ("+ a", "found none in \"+ a\""),
            ("a + - b", "found none in \"a + - b\""),
            ("0.5*", "found \"\" in \"0.5*\""),
            ("x*aesthetic", "before the `*` in \"x*aesthetic\", found \"x\""),
            ("0.5*3*b", "found \"3*b\" in \"0.5*3*b\""),
            ("0*a + b", "not zero in \"0*a\", found 0"),
            ("a + 1e-60*b", "not zero in \"0*b\", found 0"),
            ("inf*a", "finite and not zero in \"inf*a\", found inf"),
            ("NaN*a", "in \"NaN*a\", found NaN"),
            ("+a", "found \"+a\""),
            ("a\u{7}b", "the name of a reward"),
            ("a + 2*a", "found \"a\" twice"),
            ("aesthetic + aesthetic score", "found \"aesthetic score\" twice"),
            ("torchscript:a/r.pt + torchscript:b/r.pt", "found \"torchscript:r.pt\" twice"),
        ] {
            let found = refusal(text);
            assert!(found.contains(part), "{text}: {found}");
        }
        assert_eq!(refusal(&"a".repeat(385)), "at most 384 bytes, found 385");
    }

    #[test]
    fn a_file_is_named_by_its_last_name() {
        let expression = parsed("0.5*torchscript:/home/me/smile.pt + b");
        assert_eq!(expression.label(), "0.5*torchscript:smile.pt + b");
        assert_eq!(expression.held_out_name(), "eval:0.5*torchscript:smile.pt + b");
        assert_eq!(expression.terms()[0].label(), "torchscript:smile.pt");
    }

    #[test]
    fn servers_that_were_cut_at_their_commas_are_joined_again() {
        let list = |text: &str| {
            let texts: Vec<String> = text.split(',').map(str::to_owned).collect();
            let found = RewardExpression::list(&texts);
            found.map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let found = list("over50, grpc://a:1,b:2 + x,aesthetic");
        let expected = ["over50 years old", "grpc://a:1,b:2 + x", "aesthetic score"];
        assert_eq!(found, Ok(expected.map(str::to_owned).to_vec()));
        assert!(matches!(list("a, b,a"), Err(ExpressionError::Duplicate { .. })));
        assert!(matches!(list("a,,b"), Err(ExpressionError::Empty { .. })));
    }

    fn weight() -> impl Strategy<Value = f32> {
        any::<f32>().prop_filter("finite, not zero", |weight| weight.is_finite() && *weight != 0.0)
    }

    proptest! {
        #[test]
        fn the_text_parses_back_to_the_same(
            terms in prop::collection::vec((weight(), "[a-z:/.,*+_0-9-]{1,20}( [a-z0-9]{1,8})?"), 1..6)
        ) {
            let terms = terms.into_iter().map(|(weight, source)| Term { weight, source });
            if let Ok(expression) = RewardExpression::new(terms.collect()) {
                let text = expression.to_string();
                prop_assert_eq!(text.parse::<RewardExpression>(), Ok(expression));
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[-+*a-z:. 0-9]{0,40}|.{0,40}") {
            if let Ok(expression) = text.parse::<RewardExpression>() {
                let again = expression.to_string().parse::<RewardExpression>();
                prop_assert_eq!(again, Ok(expression));
            }
        }
    }
}
