//! Lanes: parts of a batch that run in parallel, one thread each. Narrow models on a CPU are faster
//! this way, because their operations are too small to share between threads.
//! [`crate::parameters::Layout::lanes`] returns the number of lanes.

use std::thread::{self, Result};

/// Calls `run` on each of `parts` in a separate thread with one libtorch thread, and returns the results
/// in the order of the parts. If a part panics, as it does when libtorch fails, its result is `Err`.
pub fn side_by_side<P: Send, T: Send>(
    parts: impl Iterator<Item = P>,
    run: impl Fn(P) -> T + Sync,
) -> Vec<Result<T>> {
    let threads = tch::get_num_threads();
    let run = &run;
    let results = thread::scope(|scope| {
        let start = |part| {
            scope.spawn(move || {
                tch::set_num_threads(1);
                run(part)
            })
        };
        let running: Vec<_> = parts.map(start).collect();
        running.into_iter().map(|lane| lane.join()).collect()
    });
    tch::set_num_threads(threads);
    results
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_order_of_parts_and_confines_a_panic_to_its_part() {
        let before = tch::get_num_threads();
        let results = side_by_side(0..3, |part| {
            assert!(part != 1, "part {part}");
            (part, tch::get_num_threads())
        });
        assert_eq!(tch::get_num_threads(), before);
        let texts = results.into_iter().map(|result| result.map_err(|cause| cause.downcast().ok()));
        let expected = [Ok((0, 1)), Err(Some(Box::new("part 1".to_owned()))), Ok((2, 1))];
        assert_eq!(texts.collect::<Vec<_>>(), expected);
    }
}
