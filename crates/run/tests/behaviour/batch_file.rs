//! Batches on disk: reading returns what was written, and errors name the tensor that does not fit.

use crate::tiny::{self, learner, rollouts, settings, unet};
use ddpo_checkpoint::write_tensors;
use ddpo_rollout::score::ScoredTrajectory;
use ddpo_rollout::trajectory::Trajectory;
use ddpo_run::batch_file::{BatchFile, write};
use std::collections::BTreeMap;
use std::path::Path;
use tch::{Device, Kind, Tensor};

fn record(path: &Path, batch: &[ScoredTrajectory]) {
    let trajectories: Vec<&Trajectory> = batch.iter().map(|scored| &scored.trajectory).collect();
    let rewards: Vec<f32> = batch.iter().map(|scored| scored.score.reward).collect();
    write(path, &trajectories, &tiny::transitions(), Some(&rewards)).unwrap();
}

#[test]
fn training_on_a_recorded_batch_gives_the_same_weights() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("batch.safetensors");
    let batch = rollouts(&unet(1), 0, 8);
    record(&path, &batch);
    let file = BatchFile::open(&path).unwrap();
    assert_eq!((file.steps(), file.shape(), file.rewards().len()), (tiny::STEPS, tiny::SHAPE, 8));
    let read = file.trajectories(&tiny::transitions(), 11, unet(1).parameters().digest()).unwrap();
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
        file.trajectories(&tiny::transitions(), 0, unet(1).parameters().digest())
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
    ] {
        let mut tensors = whole();
        tensors.insert(name, tensor);
        let message = open(tensors).unwrap_err().to_string();
        assert!(message.contains(expected), "{name}: {message}");
    }
}
