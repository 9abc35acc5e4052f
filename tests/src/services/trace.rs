//! Connects the spans of a run: from the acceptance of a trajectory back to its order, and to the update that
//! used it.

use crate::services::collector::Span;
use std::collections::HashMap;

/// The spans of a run.
#[derive(Debug)]
pub struct Traces {
    spans: Vec<Span>,
    by_id: HashMap<(Vec<u8>, Vec<u8>), usize>,
    children: HashMap<(Vec<u8>, Vec<u8>), Vec<usize>>,
}

/// The spans of a trajectory in its trace.
#[derive(Clone, Copy, Debug)]
pub struct Way<'a> {
    /// The learner issues the order: the root.
    pub order: &'a Span,
    /// The sampler draws the order.
    pub draw: &'a Span,
    /// The sampler sends the trajectory, until its receipt.
    pub send: &'a Span,
    /// The rewarder holds the trajectory.
    pub relay: &'a Span,
    /// The rewarder scores the trajectory.
    pub score: &'a Span,
    /// The learner decides about the trajectory.
    pub accept: &'a Span,
    /// The learner trains on the trajectory; `None` for an evaluation.
    pub update: Option<&'a Span>,
}

impl Traces {
    /// Sorts the spans by parent.
    pub fn new(spans: Vec<Span>) -> Self {
        let (mut by_id, mut children) = (HashMap::new(), HashMap::<_, Vec<usize>>::new());
        for (index, span) in spans.iter().enumerate() {
            by_id.insert((span.trace.clone(), span.id.clone()), index);
            children.entry((span.trace.clone(), span.parent.clone())).or_default().push(index);
        }
        Self { spans, by_id, children }
    }

    /// Returns the spans of this name.
    pub fn named<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Span> + 'a {
        self.spans.iter().filter(move |span| span.name == name)
    }

    /// Returns the spans of each accepted trajectory, or a description of the missing span.
    pub fn accepted(&self) -> impl Iterator<Item = Result<Way<'_>, String>> {
        let accepted = |span: &&Span| span.attribute("verdict") == "accepted";
        self.named("accept").filter(accepted).map(|accept| self.way(accept))
    }

    fn way<'a>(&'a self, accept: &'a Span) -> Result<Way<'a>, String> {
        let relay = self.parent(accept, "relay")?;
        let send = self.parent(relay, "send")?;
        let draw = self.parent(send, "draw")?;
        let order = self.parent(draw, "order")?;
        if !order.parent.is_empty() {
            return Err(format!("an order with a parent span: {order:?}"));
        }
        let score = self.child(relay, "score").ok_or_else(|| format!("no score: {relay:?}"))?;
        let update = self.child(order, "update");
        Ok(Way { order, draw, send, relay, score, accept, update })
    }

    fn parent(&self, span: &Span, name: &str) -> Result<&Span, String> {
        let index = self.by_id.get(&(span.trace.clone(), span.parent.clone()));
        let parent = index.map(|&index| &self.spans[index]);
        let named = parent.filter(|parent| parent.name == name);
        named.ok_or_else(|| format!("expected {name} around {span:?}, found {parent:?}"))
    }

    fn child(&self, span: &Span, name: &str) -> Option<&Span> {
        let children = self.children.get(&(span.trace.clone(), span.id.clone()))?;
        children.iter().map(|&index| &self.spans[index]).find(|child| child.name == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(name: &str, id: u8, parent: u8, trace: u8) -> Span {
        let parent = if parent == 0 { Vec::new() } else { vec![parent] };
        let attributes = [("verdict".to_owned(), "accepted".to_owned())].into();
        let (name, trace, id) = (name.to_owned(), vec![trace], vec![id]);
        let origin = (String::new(), String::new());
        Span { name, trace, id, parent, attributes, origin, start: 0, end: 0 }
    }

    fn spans() -> Vec<Span> {
        let names = ["order", "draw", "send", "relay", "accept"];
        let chain = names.into_iter().zip(1..).map(|(name, id)| span(name, id, id - 1, 7));
        chain.chain([span("score", 9, 4, 7), span("update", 10, 1, 7)]).collect()
    }

    fn way(spans: Vec<Span>) -> Result<bool, String> {
        let traces = Traces::new(spans);
        let mut ways = traces.accepted().map(|way| way.map(|way| way.update.is_some()));
        ways.next().expect("one acceptance")
    }

    #[test]
    fn a_whole_trace_is_told_from_one_that_breaks_off() {
        assert_eq!(way(spans()), Ok(true));
        for missing in 0..4 {
            let mut spans = spans();
            spans.remove(missing);
            assert!(way(spans).is_err(), "without span {missing}");
        }
        let mut elsewhere = spans();
        elsewhere[3].trace = vec![8];
        assert!(way(elsewhere).is_err(), "a relay in another trace");
        let mut unscored = spans();
        unscored.remove(5);
        assert!(way(unscored).is_err(), "no score");
        let mut unused = spans();
        unused.pop();
        assert_eq!(way(unused), Ok(false));
    }
}
