//! Lanes: parts of a batch that run in parallel, one thread each. Narrow models on a CPU are faster
//! this way, because their operations are too small to share between threads.
//! [`crate::parameters::Layout::lanes`] returns the number of lanes.

use crate::flops;
use std::thread::{self, Result};

/// Runs `run` on each of `parts`, each on its own thread with one libtorch thread, and returns the
/// results in the order of the parts. Operations that [`flops`] counts on these threads are added to this
/// thread's. A part that panics, as libtorch's failures do, gives `Err`.
pub fn side_by_side<P: Send, T: Send>(
    parts: impl Iterator<Item = P>,
    run: impl Fn(P) -> T + Sync,
) -> Vec<Result<T>> {
    let threads = tch::get_num_threads();
    let run = &run;
    let results: Vec<Result<(T, u64)>> = thread::scope(|scope| {
        let start = |part| {
            scope.spawn(move || {
                tch::set_num_threads(1);
                (run(part), flops::counted())
            })
        };
        let running: Vec<_> = parts.map(start).collect();
        running.into_iter().map(|lane| lane.join()).collect()
    });
    tch::set_num_threads(threads);
    let counted = |(result, operations)| {
        flops::add(operations);
        result
    };
    results.into_iter().map(|lane| lane.map(counted)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_of_lanes_count_for_their_caller() {
        let before = flops::counted();
        side_by_side([3, 4].into_iter(), flops::add);
        assert_eq!(flops::counted() - before, 7);
    }

    #[test]
    fn results_come_in_order_and_a_panic_is_one_parts_error() {
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
