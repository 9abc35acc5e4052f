//! Shares of images: components that are 1 or 0 for each image, shown as percentages.

use crate::metrics::Components;

/// Prefix of such a component's name; the rest states the property of the image.
const CLASSIFIED: &str = "classified_";

/// Returns a line for each share, such as "classified 50 or older: 6.2 % -> 63.1 %". Every line
/// starts with a line break.
pub fn lines(before: &Components, after: &Components) -> String {
    let both = before.iter().filter_map(|(name, before)| Some((name, before, after.get(name)?)));
    // In a sum of rewards, the name of the term precedes it.
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
    fn formats_only_classified_components() {
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
