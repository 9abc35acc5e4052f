//! Reward expressions: weighted sums of rewards, each with a source.
//!
//! ```text
//!   jpeg compressibility
//!   0.7*aesthetic score + 0.3*jpeg compressibility
//!   aesthetic score - 0.2*jpeg incompressibility
//!   0.5*torchscript:models/smile.pt + 0.5*grpc://127.0.0.1:50060,127.0.0.1:50061
//! ```
//!
//! Terms are separated by `+` and `-` with a space on both sides. Paths and addresses may contain either
//! character if it is not surrounded by spaces. A weight precedes a `*`; the default is 1, or -1 after a
//! leading `-`. A `*` after the first `:` belongs to the source.
//!
//! The reward of each term and each held-out reward are components of a score. This module defines their
//! names, so that the rewarder that writes them and the learner that reads them agree.

use crate::reward::source::{RewardSource, ServerAddress, UnknownSource};
use crate::reward::syntax::{is_source, pieces, weighted};
use crate::reward::task::Task;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;
use thiserror::Error;

/// Maximum length in bytes of an expression's [label](RewardExpression::label), which is part of metric
/// and component names.
pub const MOST_BYTES: usize = 384;

/// One term of a sum.
#[derive(Clone, Debug, PartialEq)]
pub struct Term {
    /// Factor of the reward; finite and not zero.
    pub weight: f32,
    /// Source of the reward.
    pub source: RewardSource,
}

impl Term {
    /// Returns the name of the reward in scores and files.
    pub fn label(&self) -> String {
        self.source.label()
    }
}

/// A weighted sum of one or more different rewards. Its text parses back to the same sum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct RewardExpression {
    terms: Vec<Term>,
}

/// Errors from parsing a reward expression. Each message continues the word "expected".
#[derive(Clone, Debug, Error, PartialEq)]
pub enum ExpressionError {
    /// A reward is missing.
    #[error("a reward on both sides of each + and -, found none in \"{text}\"")]
    Empty {
        /// The expression.
        text: String,
    },
    /// The text before a `*` is not a number.
    #[error("a number before the `*` in \"{piece}\", found \"{found}\"")]
    Weight {
        /// The term.
        piece: String,
        /// The text before the `*`.
        found: String,
    },
    /// A weight is infinite, NaN or zero.
    #[error("a weight that is finite and not zero in \"{piece}\", found {found}")]
    WeightValue {
        /// The term.
        piece: String,
        /// The weight.
        found: f32,
    },
    /// A source is not valid in an expression.
    #[error("the name of a reward, found \"{found}\" in \"{piece}\"")]
    Source {
        /// The term.
        piece: String,
        /// The text in place of the name.
        found: String,
    },
    /// A source is unknown.
    #[error(transparent)]
    Unknown(#[from] UnknownSource),
    /// A reward appears twice.
    #[error("each reward once, found \"{label}\" twice; hint: add up their weights")]
    Duplicate {
        /// The reward.
        label: String,
    },
    /// The label is too long.
    #[error("at most {MOST_BYTES} bytes, found {found}")]
    TooLong {
        /// Length in bytes.
        found: usize,
    },
}

impl RewardExpression {
    /// Creates the sum of `terms`.
    ///
    /// # Errors
    /// [`ExpressionError`] names the first invalid term.
    pub fn new(terms: Vec<Term>) -> Result<Self, ExpressionError> {
        if terms.is_empty() {
            return Err(ExpressionError::Empty { text: String::new() });
        }
        let mut labels = BTreeSet::new();
        for term in &terms {
            check(term)?;
            let label = term.label();
            if !labels.insert(label.clone()) {
                return Err(ExpressionError::Duplicate { label });
            }
        }
        let expression = Self { terms };
        match expression.label().len() {
            found if found > MOST_BYTES => Err(ExpressionError::TooLong { found }),
            _ => Ok(expression),
        }
    }

    /// Returns the terms in the order of the text.
    pub fn terms(&self) -> &[Term] {
        &self.terms
    }

    /// Returns the source if the expression is a single term of weight 1.
    pub fn plain(&self) -> Option<&RewardSource> {
        match &self.terms[..] {
            [Term { weight: 1.0, source }] => Some(source),
            _ => None,
        }
    }

    /// Returns the first built-in reward among the terms that uses a network, if there is one.
    pub fn network_task(&self) -> Option<Task> {
        self.terms.iter().filter_map(|term| term.source.task()).find(|task| task.has_network())
    }

    /// Returns the expression's name in scores and files: its text with [labels](Term::label) in place
    /// of sources.
    pub fn label(&self) -> String {
        self.written_with(RewardSource::label)
    }

    /// Returns the expression's text with each source replaced by `name(source)`.
    pub fn written_with(&self, name: impl Fn(&RewardSource) -> String) -> String {
        written(self.terms.iter().map(|term| (term.weight, name(&term.source))))
    }

    /// Returns the name of the component of a score that holds this reward, if it is held out for
    /// evaluation.
    pub fn held_out_name(&self) -> String {
        format!("eval:{}", self.label())
    }

    /// Returns the same sum with each source replaced by `change(source)`.
    pub fn with_sources(&self, change: impl Fn(&RewardSource) -> RewardSource) -> Self {
        let changed = |term: &Term| Term { weight: term.weight, source: change(&term.source) };
        Self { terms: self.terms.iter().map(changed).collect() }
    }
}

/// A list of different expressions; a list of strings in settings.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(into = "Vec<String>", try_from = "Vec<String>")]
pub struct RewardList(pub Vec<RewardExpression>);

/// An [`ExpressionError`] as a complete sentence, for settings.
#[derive(Debug, Error)]
#[error("expected {0}")]
pub struct Unreadable(ExpressionError);

impl TryFrom<Vec<String>> for RewardList {
    type Error = Unreadable;

    fn try_from(texts: Vec<String>) -> Result<Self, Unreadable> {
        RewardExpression::list(&texts).map(Self).map_err(Unreadable)
    }
}

impl From<RewardList> for Vec<String> {
    fn from(list: RewardList) -> Self {
        list.0.iter().map(ToString::to_string).collect()
    }
}

impl RewardExpression {
    /// Parses a list of different expressions. Settings split lists at commas, and may have split a list
    /// of servers too: a `HOST:PORT` without a scheme is appended to the servers before it.
    ///
    /// # Errors
    /// [`ExpressionError`] of the first invalid expression.
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

/// Returns whether `text` continues the list of servers at the end of `before`.
fn goes_on(before: &str, text: &str) -> bool {
    let Some(first) = text.split_whitespace().next() else { return false };
    let last = before.split_whitespace().last().unwrap_or_default();
    (last.contains("grpc://") || last.contains("grpcs://")) && ServerAddress::parse(first).is_some()
}

impl From<Task> for RewardExpression {
    fn from(task: Task) -> Self {
        Self { terms: vec![Term { weight: 1.0, source: RewardSource::Task(task) }] }
    }
}

impl From<RewardExpression> for String {
    fn from(expression: RewardExpression) -> Self {
        expression.to_string()
    }
}

impl TryFrom<String> for RewardExpression {
    type Error = Unreadable;

    fn try_from(text: String) -> Result<Self, Unreadable> {
        text.parse().map_err(Unreadable)
    }
}

impl fmt::Display for RewardExpression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.written_with(ToString::to_string))
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

/// Returns the shortest decimal that parses back to `weight`, with an exponent if that is shorter.
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
    let weight = sign * weight;
    let written = || written(std::iter::once((weight, source.to_owned())));
    if !weight.is_finite() || weight == 0.0 {
        return Err(ExpressionError::WeightValue { piece: written(), found: weight });
    }
    if !is_source(source) {
        return Err(ExpressionError::Source { piece: written(), found: source.to_owned() });
    }
    Ok(Term { weight, source: source.parse()? })
}

fn check(term: &Term) -> Result<(), ExpressionError> {
    let (weight, source) = (term.weight, term.source.to_string());
    let piece = || written(std::iter::once((weight, source.clone())));
    if !weight.is_finite() || weight == 0.0 {
        return Err(ExpressionError::WeightValue { piece: piece(), found: weight });
    }
    if is_source(&source) {
        Ok(())
    } else {
        Err(ExpressionError::Source { piece: piece(), found: source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reward::Script;
    use proptest::prelude::*;

    fn parsed(text: &str) -> RewardExpression {
        text.parse().unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    fn terms(text: &str) -> Vec<(f32, String)> {
        parsed(text).terms().iter().map(|term| (term.weight, term.source.to_string())).collect()
    }

    fn refusal(text: &str) -> String {
        text.parse::<RewardExpression>().map(|found| found.to_string()).unwrap_err().to_string()
    }

    #[test]
    fn finds_the_first_term_with_a_network() {
        let network = |text: &str| parsed(text).network_task();
        assert_eq!(network("jpeg compressibility + over50 + aesthetic"), Some(Task::Over50));
        assert_eq!(network("0.5*aesthetic"), Some(Task::AestheticScore));
        assert_eq!(network("jpeg compressibility + grpc://a:1"), None);
    }

    #[test]
    fn parses_weights_and_sources() {
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
            (
                "- under30 + -2*grpc://x:1",
                named(&[(-1.0, "under30 years old"), (-2.0, "grpc://x:1")]),
            ),
            (
                "over50 - -2e-1*aesthetic",
                named(&[(1.0, "over50 years old"), (0.2, "aesthetic score")]),
            ),
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
    fn preserves_the_text_of_tasks_and_sums() {
        for task in ["aesthetic score", "jpeg incompressibility", "under30 years old"] {
            assert_eq!(parsed(task).to_string(), task);
            assert_eq!(parsed(task).label(), task);
            assert_eq!(parsed(task).plain().map(ToString::to_string).as_deref(), Some(task));
        }
        assert_eq!(parsed("-jpeg compressibility").plain(), None);
        let sum = "2*aesthetic score - 0.25*grpc://y:1 + torchscript:z";
        assert_eq!(parsed(sum).to_string(), sum);
    }

    #[test]
    fn errors_name_the_invalid_part() {
        for (text, part) in [
            ("", "found none in \"\""),
            ("0.7*over50 +", "found none in \"0.7*over50 +\""),
            ("+ over50", "found none in \"+ over50\""),
            ("over50 + - under30", "found none in \"over50 + - under30\""),
            ("0.5*", "found \"\" in \"0.5*\""),
            ("x*aesthetic", "before the `*` in \"x*aesthetic\", found \"x\""),
            ("0.5*3*over50", "found \"3*over50\" in \"0.5*3*over50\""),
            ("0*aesthetic + over50", "not zero in \"0*aesthetic\", found 0"),
            ("aesthetic + 1e-60*over50", "not zero in \"0*over50\", found 0"),
            ("inf*over50", "finite and not zero in \"inf*over50\", found inf"),
            ("NaN*over50", "in \"NaN*over50\", found NaN"),
            ("+over50", "found \"+over50\""),
            ("over\u{7}50", "the name of a reward"),
            ("over50 + beauty", "one of \"aesthetic score\""),
            ("over50 + 2*over50", "found \"over50 years old\" twice"),
            ("aesthetic + aesthetic score", "found \"aesthetic score\" twice"),
            ("torchscript:a/r.pt + torchscript:b/r.pt", "found \"torchscript:r.pt\" twice"),
        ] {
            let found = refusal(text);
            assert!(found.contains(part), "{text}: {found}");
        }
        let long = format!("torchscript:{}", "a".repeat(373));
        assert_eq!(refusal(&long), "at most 384 bytes, found 385");
    }

    #[test]
    fn labels_contain_only_the_name_of_a_file() {
        let expression = parsed("0.5*torchscript:/home/me/smile.pt + over50");
        let label = "0.5*torchscript:smile.pt + over50 years old";
        assert_eq!(expression.label(), label);
        assert_eq!(expression.held_out_name(), format!("eval:{label}"));
        assert_eq!(expression.terms()[0].label(), "torchscript:smile.pt");
    }

    #[test]
    fn rejoins_lists_of_servers_split_at_commas() {
        let list = |text: &str| {
            let texts: Vec<String> = text.split(',').map(str::to_owned).collect();
            let found = RewardExpression::list(&texts);
            found.map(|all| all.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let found = list("over50, grpc://a:1,b:2 + under30,aesthetic");
        let expected =
            ["over50 years old", "grpc://a:1,b:2 + under30 years old", "aesthetic score"];
        assert_eq!(found, Ok(expected.map(str::to_owned).to_vec()));
        assert!(matches!(list("over50, under30,over50"), Err(ExpressionError::Duplicate { .. })));
        assert!(matches!(list("over50,,under30"), Err(ExpressionError::Empty { .. })));
    }

    fn weight() -> impl Strategy<Value = f32> {
        any::<f32>().prop_filter("finite, not zero", |weight| weight.is_finite() && *weight != 0.0)
    }

    fn source() -> impl Strategy<Value = RewardSource> {
        let path = "[a-z:/.,*+_0-9-]{1,20}( [a-z0-9]{1,8})?";
        let script = path.prop_map(|path| RewardSource::Script(Script { path, input: None }));
        let task = prop::sample::select(Task::ALL.to_vec()).prop_map(RewardSource::Task);
        prop_oneof![script, task]
    }

    proptest! {
        #[test]
        fn text_parses_back_to_the_same_expression(
            terms in prop::collection::vec((weight(), source()), 1..6)
        ) {
            let terms = terms.into_iter().map(|(weight, source)| Term { weight, source });
            if let Ok(expression) = RewardExpression::new(terms.collect()) {
                let text = expression.to_string();
                prop_assert_eq!(text.parse::<RewardExpression>(), Ok(expression));
            }
        }

        #[test]
        fn any_text_is_accepted_or_rejected_without_panic(text in "[-+*a-z:. 0-9]{0,40}|.{0,40}") {
            if let Ok(expression) = text.parse::<RewardExpression>() {
                let again = expression.to_string().parse::<RewardExpression>();
                prop_assert_eq!(again, Ok(expression));
            }
        }
    }
}
