//! The same seed gives the same bytes, and a sample does not depend on the other samples of its batch.

use ddpo_picture::read_image;
use ddpo_tests::tree;
use ddpo_tests::workshop::read_tensors;
use ddpo_tests::{Workshop, run};
use tch::Kind;

#[test]
fn two_runs_with_one_thread_have_the_same_bytes() {
    same_twice("--threads=1");
}

#[test]
fn two_runs_with_several_threads_have_the_same_bytes() {
    same_twice("--threads=3");
}

#[track_caller]
fn same_twice(threads: &str) {
    let workshop = Workshop::new();
    let more = [threads, "--ema-decay=0.9", "--kl-coef=0.1", "--timestep-fraction=0.5"];
    for folder in ["--output-dir=one", "--output-dir=two"] {
        workshop.ddpo(&run::short(&[&more[..], &[folder]].concat())).succeeded();
    }
    let [one, two] = ["one/checkpoints", "two/checkpoints"].map(|name| workshop.path(name));
    let checkpoints = tree::read(&one);
    for name in ["epoch-000002/optimizer.safetensors", "best/state.json"] {
        assert!(checkpoints.contains_key(name), "{name}");
    }
    tree::assert_same(&checkpoints, &tree::read(&two));
}

#[test]
fn another_seed_gives_other_weights() {
    let workshop = Workshop::new();
    let weights = |folder: &str, seed: &str| {
        let folder = format!("--output-dir={folder}");
        let flags = run::short(&[&folder, seed, "--num-epochs=1"]);
        workshop.ddpo(&flags).succeeded();
    };
    weights("one", "--run-seed=1");
    weights("two", "--run-seed=2");
    let read = |name: &str| {
        let path = workshop.path(name).join("checkpoints/epoch-000001");
        read_tensors(&path.join(ddpo_tests::workshop::WEIGHTS))
    };
    let (one, two) = (read("one"), read("two"));
    assert!(one.iter().any(|(name, tensor)| *tensor != two[name]));
}

/// Draws samples of the tiny model into `out`.
fn sample(workshop: &Workshop, out: &str, count: usize, batch: usize, threads: usize) {
    let [count, batch, threads] = [count, batch, threads].map(|number| number.to_string());
    let arguments = [
        "sample",
        "--ddpm-ckpt=model",
        "--num-inference-steps=6",
        "--seed=3",
        "--device=cpu",
        "--threads",
        &threads,
        "--save-trajectories",
        "--out",
        out,
        "--num-samples",
        &count,
        "--batch-size",
        &batch,
    ];
    workshop.ddpo(&arguments).succeeded();
}

#[test]
fn a_sample_agrees_across_batch_sizes_and_threads() {
    let workshop = Workshop::new();
    sample(&workshop, "all", 5, 5, 1);
    let all = read_tensors(&workshop.path("all/trajectories.safetensors"));
    let states = &all["states"];
    assert_eq!(states.size(), [5, 7, 3, 8, 8]);
    for (out, batch, threads) in [("singly", 1, 1), ("threes", 3, 1), ("abreast", 5, 2)] {
        sample(&workshop, out, 5, batch, threads);
        let found = read_tensors(&workshop.path(out).join("trajectories.safetensors"));
        for name in ["states", "log_probs"] {
            let gap = (&found[name] - &all[name]).abs().max().double_value(&[]);
            assert!(gap <= 1e-5, "{name}, {out}: {gap}");
        }
        for index in 0..5 {
            let picture = |out: &str| {
                let path = workshop.path(&format!("{out}/{index:06}.png"));
                read_image(&path).unwrap().pixels().to_vec()
            };
            // A value within 1e-5 of a rounding boundary may round either way.
            let (one, other) = (picture("all"), picture(out));
            let gap = one.iter().zip(&other).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(gap <= Some(1), "picture {index}, {out}: {gap:?}");
        }
    }
    // The samples differ from each other, so the comparison above can fail.
    let spread = states.select(0, 0) - states.select(0, 1);
    assert!(spread.abs().mean(Kind::Float).double_value(&[]) > 0.1);
}

#[test]
fn equal_batches_have_equal_bytes() {
    let workshop = Workshop::new();
    sample(&workshop, "one", 6, 3, 2);
    sample(&workshop, "two", 6, 3, 2);
    tree::assert_same(&tree::read(&workshop.path("one")), &tree::read(&workshop.path("two")));
    // A batch is also the same if fewer batches follow.
    sample(&workshop, "fewer", 3, 3, 2);
    let states = |out: &str| {
        read_tensors(&workshop.path(out).join("trajectories.safetensors"))["states"].shallow_clone()
    };
    assert!(states("fewer") == states("one").narrow(0, 0, 3));
}
