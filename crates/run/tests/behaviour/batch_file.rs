//! Batches on disk: reading returns what was written, and errors name the tensor that does not fit.

use crate::tiny::{self, learner, rollouts, rollouts_along, settings, unet};
use ddpo_checkpoint::write_tensors;
use ddpo_rollout::chain::{Chain, NeededStates};
use ddpo_rollout::score::ScoredTrajectory;
use ddpo_rollout::trajectory::{PolicyVersion, Trajectory};
use ddpo_run::batch_file::{BatchFile, SampleValues, write};
use std::collections::BTreeMap;
use std::path::Path;
use tch::{Device, Kind, Tensor};

fn record(path: &Path, batch: &[ScoredTrajectory]) {
    let trajectories: Vec<&Trajectory> = batch.iter().map(|scored| &scored.trajectory).collect();
    let rewards: Vec<f32> = batch.iter().map(|scored| scored.score.reward).collect();
    let values = SampleValues { rewards: Some(&rewards), ..SampleValues::default() };
    write(path, &trajectories, &tiny::transitions(), values).unwrap();
}

fn whole_chain() -> Chain {
    tiny::transitions().chain(None, NeededStates::Steps)
}

/// The states and steps that an objective needs are read back, and the epoch keys the window.
#[test]
fn a_part_of_the_chain_reads_back_as_it_was() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("batch.safetensors");
    let window =
        |text: &str| tiny::transitions().chain(Some(text.parse().unwrap()), NeededStates::Steps);
    let image = tiny::transitions().chain(None, NeededStates::Image);
    let digest = unet(1).parameters().digest();
    for (chain, states) in [(window("2:moving"), 4), (window("2:last"), 4), (image, 1)] {
        let batch = rollouts_along(&unet(1), &chain, PolicyVersion(0), 3, 4);
        assert_eq!(batch[0].trajectory.states().len(), states);
        record(&path, &batch);
        let file = BatchFile::open(&path).unwrap();
        assert_eq!(file.trajectories(&tiny::transitions(), &chain, 0, digest).unwrap(), batch);
    }
    // The image of a whole trajectory is enough for an objective that needs no other state.
    record(&path, &rollouts(&unet(1), 0, 4));
    let image = tiny::transitions().chain(None, NeededStates::Image);
    let read =
        BatchFile::open(&path).unwrap().trajectories(&tiny::transitions(), &image, 0, digest);
    assert_eq!(read.unwrap(), rollouts_along(&unet(1), &image, PolicyVersion(0), 0, 4));
}

#[test]
fn names_the_steps_or_the_state_that_a_chain_lacks() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("batch.safetensors");
    let window =
        |text: &str| tiny::transitions().chain(Some(text.parse().unwrap()), NeededStates::Steps);
    let image = tiny::transitions().chain(None, NeededStates::Image);
    let message = |drawn: &Chain, asked: &Chain| {
        record(&path, &rollouts_along(&unet(1), drawn, PolicyVersion(0), 0, 2));
        let file = BatchFile::open(&path).unwrap();
        let read = file.trajectories(&tiny::transitions(), asked, 0, unet(1).parameters().digest());
        read.unwrap_err().to_string()
    };
    let found = message(&window("2:0"), &window("2:last"));
    assert!(found.contains("expected [2, 3] for epoch 0 of seed 11, found [0, 1]"), "{found}");
    let found = message(&image, &whole_chain());
    assert!(found.contains("no state 0 of [5], which the objective needs"), "{found}");
}

#[test]
fn training_on_a_recorded_batch_gives_the_same_weights() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("batch.safetensors");
    let batch = rollouts(&unet(1), 0, 8);
    record(&path, &batch);
    let file = BatchFile::open(&path).unwrap();
    assert_eq!((file.steps(), file.shape(), file.rewards().len()), (tiny::STEPS, tiny::SHAPE, 8));
    let digest = unet(1).parameters().digest();
    let read = file.trajectories(&tiny::transitions(), &whole_chain(), 0, digest).unwrap();
    assert_eq!(read, batch);
    let train = |batch: &[ScoredTrajectory]| {
        let mut learner = learner(settings());
        learner.update(batch, &mut |_, _| {}).unwrap();
        learner.policy().master().parameters().digest()
    };
    assert_eq!(train(&read), train(&batch));
}

#[test]
fn names_the_tensor_that_does_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("batch.safetensors");
    let zeros = |size: &[i64]| Tensor::zeros(size, (Kind::Float, Device::Cpu));
    let whole = || -> BTreeMap<&str, Tensor> {
        BTreeMap::from([
            ("states", zeros(&[2, 6, 3, 8, 8])),
            ("log_probs", zeros(&[2, 4])),
            ("timesteps", Tensor::from_slice(tiny::transitions().timesteps())),
            ("rewards", zeros(&[2])),
        ])
    };
    let open = |tensors: BTreeMap<&str, Tensor>| {
        let entries: Vec<(String, Tensor)> =
            tensors.into_iter().map(|(name, tensor)| (name.to_owned(), tensor)).collect();
        write_tensors(&path, &entries, &BTreeMap::new()).unwrap();
        let file = BatchFile::open(&path)?;
        file.trajectories(&tiny::transitions(), &whole_chain(), 0, unet(1).parameters().digest())
    };
    assert_eq!(open(whole()).unwrap().len(), 2);
    for name in ["states", "log_probs", "timesteps", "rewards"] {
        let mut tensors = whole();
        tensors.remove(name);
        let message = open(tensors).unwrap_err().to_string();
        assert!(message.contains(&format!("no tensor `{name}`")), "{message}");
    }
    for (name, tensor, expected) in [
        (
            "states",
            zeros(&[2, 5, 3, 8, 8]),
            "`states` has shape [2, 5, 3, 8, 8], expected [2, 6, C, H, W]",
        ),
        ("states", zeros(&[3, 6, 3, 8, 8]), "expected [2, 6, C, H, W]"),
        ("log_probs", zeros(&[2]), "`log_probs` has shape [2], expected [2, K]"),
        ("log_probs", zeros(&[2, 5]), "`log_probs` has shape [2, 5], expected [2, 4]"),
        ("timesteps", Tensor::from_slice(&[4_i64, 3, 2, 1, 0]), "found [4, 3, 2, 1, 0]"),
        ("log_probs", zeros(&[2, 4]) / 0.0, "sample 0"),
        ("classes", Tensor::from_slice(&[1_i64]), "`classes` has shape [1], expected [2]"),
        (
            "kept_states",
            Tensor::from_slice(&[4_i64, 6]),
            "`kept_states`: expected rising positions below 6",
        ),
        ("kept_states", Tensor::from_slice(&[4_i64, 5]), "expected [2, 2, C, H, W]"),
        (
            "random_steps",
            Tensor::from_slice(&[1_i64, 0]),
            "`random_steps`: expected rising positions",
        ),
        (
            "coordinates",
            Tensor::from_slice(&[7_i64]),
            "`coordinates`: expected a seed and an epoch, found [7]",
        ),
    ] {
        let mut tensors = whole();
        tensors.insert(name, tensor);
        let message = open(tensors).unwrap_err().to_string();
        assert!(message.contains(expected), "{name}: {message}");
    }
}
