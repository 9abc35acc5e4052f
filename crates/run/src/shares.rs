//! Shares of images: the components that are 1 or 0 for each, and what to say of them.

use crate::metrics::Components;

/// What the name of such a component begins with; the rest says what is true of an image.
const CLASSIFIED: &str = "classified_";

/// A line for each of them, such as "classified 50 or older: 6.2 % -> 63.1 %", each after a break.
pub fn lines(before: &Components, after: &Components) -> String {
    let both = before.iter().filter_map(|(name, before)| Some((name, before, after.get(name)?)));
    // In a sum of rewards the term's name stands before it.
    let own = |name: &str| name.rsplit('/').next().is_some_and(|own| own.starts_with(CLASSIFIED));
    let shares = both.filter(|(name, ..)| own(name));
    shares
        .map(|(name, before, after)| {
            let what = name.replace('_', " ").replace('/', ": ");
            format!("\n{what}: {:.1} % -> {:.1} %", before.mean * 100.0, after.mean * 100.0)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::ComponentSummary;

    #[test]
    fn only_components_that_are_shares_are_told() {
        let of = |mean| {
            let named = |name: &str| (name.to_owned(), ComponentSummary { mean, std: 0.1 });
            Components::from(["classified_50_or_older", "predicted_class"].map(named))
        };
        assert_eq!(lines(&of(0.0625), &of(0.5)), "\nclassified 50 or older: 6.2 % -> 50.0 %");
        assert_eq!(lines(&Components::new(), &of(0.5)), "");
        let summary = ComponentSummary { mean: 0.25, std: 0.1 };
        let sum = Components::from([("over50/classified_50_or_older".to_owned(), summary)]);
        assert_eq!(lines(&sum, &sum), "\nover50: classified 50 or older: 25.0 % -> 25.0 %");
    }
}
