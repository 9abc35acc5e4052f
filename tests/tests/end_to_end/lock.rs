//! Only one process works in the folder of a run at a time.

use ddpo_tests::{Workshop, run};

const RESUME: [&str; 3] = ["train", "--resume", "--output-dir=run"];

/// A run that is long enough to observe.
const LONG: &str = "--num-epochs=8";

#[test]
fn a_run_folder_is_locked_until_its_process_exits_or_is_killed() {
    let workshop = Workshop::new();
    workshop.ddpo(&run::short(&[LONG, "--output-dir=whole"])).succeeded();
    let mut first = workshop.start(&run::short(&[LONG]));
    assert!(first.says("epoch 1/8"), "the run ended before its first epoch");
    let second = workshop.ddpo(&RESUME);
    let expected = "run: another process works in this run's folder; \
                    hint: wait for it to end, or stop it";
    assert_eq!(second.refused(), expected);
    let fresh = workshop.ddpo(&run::short(&[LONG]));
    assert!(fresh.refused().starts_with("run holds a run already"), "{fresh}");
    // A killed process releases the lock, and the rejected processes have changed nothing.
    let killed = first.kill();
    assert_eq!(killed.code, None, "ended before it was killed: {killed}");
    workshop.ddpo(&RESUME).succeeded();
    run::assert_same(&workshop.path("whole"), &workshop.path("run"));
}

#[test]
fn one_of_two_concurrent_processes_gets_the_folder() {
    let workshop = Workshop::new();
    workshop.ddpo(&run::short(&["--output-dir=whole"])).succeeded();
    for folder in ["first", "second", "third"] {
        let folder = format!("--output-dir={folder}");
        let both = [0, 1].map(|_| workshop.start(&run::short(&[&folder])));
        let mut ended = both.map(ddpo_tests::Running::end);
        ended.sort_by_key(|one| one.code != Some(0));
        let [winner, loser] = ended;
        winner.succeeded();
        let message = loser.refused();
        let known = ["another process works", "holds a run already"];
        assert!(known.iter().any(|part| message.contains(part)), "{message}");
    }
    for folder in ["first", "second", "third"] {
        run::assert_same(&workshop.path("whole"), &workshop.path(folder));
    }
}
