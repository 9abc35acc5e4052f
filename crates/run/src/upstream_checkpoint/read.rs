//! Reads an upstream checkpoint strictly: every tensor must fit the model.

use crate::upstream_checkpoint::keys::{BEST, MODEL, OPTIMIZERS};
use ddpo_checkpoint::{
    LoadError, PickleScalar, TensorFile, TensorFileError, load_part_into, modern_attention_name,
};
use std::path::{Path, PathBuf};
use tch::{Kind, Tensor};
use thiserror::Error;

/// Errors from reading a `.pth` file.
#[derive(Debug, Error)]
pub enum UpstreamError {
    /// The file cannot be read.
    #[error(transparent)]
    Read(#[from] TensorFileError),
    /// The weights or the optimizer's tensors do not fit the model.
    #[error(transparent)]
    Load(#[from] LoadError),
    /// The file has no `model_state_dict`.
    #[error("`{}`: expected a `model_state_dict`, found none", .0.display())]
    NoModel(PathBuf),
    /// The optimizer's tensors have different numbers of steps.
    #[error(
        "`{}`: {optimizer}: expected one number of steps for all tensors, found {found}",
        path.display()
    )]
    Steps {
        /// The file.
        path: PathBuf,
        /// The optimizer's key.
        optimizer: &'static str,
        /// What was found.
        found: String,
    },
}

/// The contents of the file besides weights.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Taken {
    /// Steps that the optimizer has taken; `None` if the file has no optimizer or the optimizer has not
    /// taken a step.
    pub optimizer_steps: Option<u64>,
    /// The best evaluation reward, if the file has one and it is finite.
    pub best_reward: Option<f64>,
    /// The number of epochs that the file records.
    pub epoch: Option<u32>,
}

/// Copies the weights of the file into `parameters`, and AdamW's moments, if the file has them, into
/// `moments`, whose names are `first.NAME` and `second.NAME`.
///
/// Maps old names of attention blocks to the present ones. Ignores a value network's optimizer.
///
/// # Errors
/// [`UpstreamError`]; lists every tensor that does not fit.
pub fn load(
    path: &Path,
    parameters: &[(String, Tensor)],
    moments: &[(String, Tensor)],
) -> Result<Taken, UpstreamError> {
    let file = TensorFile::open(path)?;
    let names = model_names(&file);
    if names.is_empty() {
        return Err(UpstreamError::NoModel(path.into()));
    }
    let in_model = |name: &str| {
        let own = name.strip_prefix(MODEL)?.strip_prefix('.')?;
        Some(modern_attention_name(own))
    };
    load_part_into(&file, parameters, &in_model)?;
    let optimizer = OPTIMIZERS.into_iter().find(|name| has_state(&file, name));
    let optimizer_steps = optimizer.map(|optimizer| {
        let steps = steps(&file, optimizer, names.len())?;
        load_part_into(&file, moments, &|name| moment_name(name, optimizer, &names))?;
        Ok::<u64, UpstreamError>(steps)
    });
    Ok(Taken {
        optimizer_steps: optimizer_steps.transpose()?,
        best_reward: number(&file, BEST).filter(|best| best.is_finite()),
        epoch: number(&file, "epoch").filter(|epoch| *epoch >= 0.0).map(|epoch| epoch as u32),
    })
}

/// Returns the present names of the model's parameters, in the order of the optimizer's numbers.
fn model_names(file: &TensorFile) -> Vec<String> {
    let own = file.order().iter().filter_map(|name| name.strip_prefix(MODEL)?.strip_prefix('.'));
    own.map(modern_attention_name).collect()
}

fn has_state(file: &TensorFile, optimizer: &str) -> bool {
    let prefix = format!("{optimizer}.state.");
    file.order().iter().any(|name| name.starts_with(&prefix))
}

/// Returns the moment's name for a tensor of the optimizer. A number beyond the last parameter keeps
/// its own name, so that loading reports it as unexpected.
fn moment_name(name: &str, optimizer: &str, names: &[String]) -> Option<String> {
    let inner = name.strip_prefix(optimizer)?.strip_prefix(".state.")?;
    let (index, part) = inner.split_once('.')?;
    let moment = match part {
        "exp_avg" => "first",
        "exp_avg_sq" => "second",
        _ => return None,
    };
    let parameter = index.parse().ok().and_then(|index: usize| names.get(index));
    Some(parameter.map_or_else(|| name.to_owned(), |parameter| format!("{moment}.{parameter}")))
}

/// Reads the number of steps, which torch stores for each parameter as a tensor, or in old files as
/// a number.
fn steps(
    file: &TensorFile,
    optimizer: &'static str,
    parameters: usize,
) -> Result<u64, UpstreamError> {
    let refused = |found: String| {
        let path = file.path().to_owned();
        UpstreamError::Steps { path, optimizer, found }
    };
    let mut common = None;
    for index in 0..parameters {
        let name = format!("{optimizer}.state.{index}.step");
        let step = match number(file, &name) {
            Some(step) => step,
            None => {
                let tensor = file.read(&name)?;
                if tensor.numel() != 1 {
                    return Err(refused(format!("`{name}` with {} values", tensor.numel())));
                }
                tensor.to_kind(Kind::Double).sum(Kind::Double).double_value(&[])
            }
        };
        if step < 0.0 || step.fract() != 0.0 || !step.is_finite() {
            return Err(refused(format!("`{name}` = {step}")));
        }
        match common {
            Some(first) if first != step => return Err(refused(format!("{first} and {step}"))),
            _ => common = Some(step),
        }
    }
    Ok(common.unwrap_or_default() as u64)
}

fn number(file: &TensorFile, name: &str) -> Option<f64> {
    match file.scalars().get(name)? {
        PickleScalar::Int(whole) => Some(*whole as f64),
        PickleScalar::Float(number) => Some(*number),
        _ => None,
    }
}
