//! Groups of samples whose rewards are compared with each other: the samples of an epoch or of a
//! mini-batch and, for a class-conditional model, of one class among them.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The samples of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The class of the samples; `None` for a model without classes.
    pub class: Option<u32>,
    /// Positions of the samples in the epoch, ascending.
    pub samples: Vec<usize>,
}

impl Group {
    /// Returns the values of the group's samples, of all `values` of the epoch.
    pub(crate) fn of<T: Copy>(&self, values: &[T]) -> Vec<T> {
        self.samples.iter().map(|&sample| values[sample]).collect()
    }

    /// Writes one value for each of the group's samples into `all` values of the epoch.
    pub(crate) fn put<T>(&self, values: impl IntoIterator<Item = T>, all: &mut [T]) {
        for (&sample, value) in self.samples.iter().zip(values) {
            all[sample] = value;
        }
    }
}

/// Returns the groups of `count` samples: by class among each `size` neighbours. `classes` has the class of
/// each sample; it is empty for a model without classes.
pub fn groups(count: usize, size: usize, classes: &[u32]) -> Vec<Group> {
    let positions: Vec<usize> = (0..count).collect();
    let by_class = |neighbours: &[usize]| {
        let mut found: BTreeMap<Option<u32>, Vec<usize>> = BTreeMap::new();
        for &sample in neighbours {
            found.entry(classes.get(sample).copied()).or_default().push(sample);
        }
        found.into_iter().map(|(class, samples)| Group { class, samples })
    };
    positions.chunks(size.max(1)).flat_map(by_class).collect()
}

/// Statistics of all samples so far: of a model without classes, or of each class.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Seen<T> {
    /// Of a model without classes.
    pub all: T,
    /// Of each class.
    pub classes: BTreeMap<u32, T>,
}

impl<T: Default> Seen<T> {
    /// Returns the statistics of a class, or those of a model without classes.
    pub(crate) fn of(&mut self, class: Option<u32>) -> &mut T {
        match class {
            Some(class) => self.classes.entry(class).or_default(),
            None => &mut self.all,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(class: Option<u32>, samples: &[usize]) -> Group {
        Group { class, samples: samples.to_vec() }
    }

    #[test]
    fn neighbours_of_one_class_form_a_group() {
        let classes = [7, 3, 7, 7, 3, 5];
        let whole = [group(Some(3), &[1, 4]), group(Some(5), &[5]), group(Some(7), &[0, 2, 3])];
        assert_eq!(groups(6, 6, &classes), whole);
        let halves = [
            group(Some(3), &[1]),
            group(Some(7), &[0, 2]),
            group(Some(3), &[4]),
            group(Some(5), &[5]),
            group(Some(7), &[3]),
        ];
        assert_eq!(groups(6, 3, &classes), halves);
    }

    #[test]
    fn without_classes_all_neighbours_form_a_group() {
        assert_eq!(groups(5, 5, &[]), [group(None, &[0, 1, 2, 3, 4])]);
        assert_eq!(groups(5, 3, &[]), [group(None, &[0, 1, 2]), group(None, &[3, 4])]);
        assert!(groups(0, 0, &[]).is_empty());
    }
}
