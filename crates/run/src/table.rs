//! Tables of scores: a column for each component.

use ddpo_rollout::score::Score;

/// The components that have a column, in order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Columns {
    names: Vec<String>,
}

impl Columns {
    /// Collects all components of `scores`, in the order of first appearance.
    pub fn of<'a>(scores: impl IntoIterator<Item = &'a Score>) -> Self {
        let mut names: Vec<String> = Vec::new();
        for component in scores.into_iter().flat_map(|score| &score.components) {
            if !names.contains(&component.name) {
                names.push(component.name.clone());
            }
        }
        Self { names }
    }

    /// Returns the names of the columns: `first`, `reward`, and the components.
    pub fn heading(&self, first: &str) -> Vec<String> {
        let mut fields = vec![first.to_owned(), "reward".to_owned()];
        fields.extend_from_slice(&self.names);
        fields
    }

    /// Returns the row of one score. Cells of missing components are empty.
    pub fn row(&self, first: &str, score: &Score) -> Vec<String> {
        let value = |name: &String| {
            let found = score.components.iter().find(|component| component.name == *name);
            found.map(|component| component.value.to_string()).unwrap_or_default()
        };
        let mut fields = vec![first.to_owned(), score.reward.to_string()];
        fields.extend(self.names.iter().map(value));
        fields
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ddpo_rollout::score::Component;

    #[test]
    fn leaves_cells_of_missing_components_empty() {
        let score = |reward: f32, components: &[(&str, f32)]| {
            let part =
                |(name, value): &(&str, f32)| Component { name: (*name).to_owned(), value: *value };
            Score { reward, components: components.iter().map(part).collect() }
        };
        let scores =
            [score(1.5, &[("a", 2.0)]), score(-1.0, &[("grpc://x:1,y:2", 0.5), ("a", 3.0)])];
        let columns = Columns::of(&scores);
        assert_eq!(columns.heading("sample"), ["sample", "reward", "a", "grpc://x:1,y:2"]);
        assert_eq!(columns.row("0", &scores[0]), ["0", "1.5", "2", ""]);
        assert_eq!(columns.row("b\"", &scores[1]), ["b\"", "-1", "3", "0.5"]);
        assert_eq!(Columns::of(&[Score::plain(1.0)]).heading("sample"), ["sample", "reward"]);
    }
}
