//! Writes an upstream checkpoint.

use crate::upstream_checkpoint::keys::{BEST, MODEL, OPTIMIZERS};
use crate::upstream_checkpoint::order;
use ddpo_algorithm::adamw::AdamWConfig;
use ddpo_checkpoint::{PickleItem, WriteError, write_archive};
use std::collections::BTreeMap;
use std::path::Path;
use tch::Tensor;

/// The contents of an upstream checkpoint.
#[derive(Debug)]
pub struct UpstreamCheckpoint<'a> {
    /// The weights, f32.
    pub parameters: &'a [(String, Tensor)],
    /// AdamW's state, if there is any.
    pub optimizer: Option<TorchAdamW<'a>>,
    /// The best evaluation reward; `None` is written as minus infinity, the upstream program's initial
    /// value.
    pub best_reward: Option<f64>,
}

/// AdamW's state, to be written in torch's format.
#[derive(Debug)]
pub struct TorchAdamW<'a> {
    /// The moments as `first.NAME` and `second.NAME`.
    pub moments: &'a [(String, Tensor)],
    /// Steps taken.
    pub steps: u64,
    /// The optimizer's settings.
    pub config: AdamWConfig,
    /// The learning rate of the last step.
    pub rate: f64,
}

/// Writes the file atomically (temporary file, sync, rename). The same values give the same bytes.
///
/// # Errors
/// [`WriteError`]; `path` is then unchanged.
pub fn write(path: &Path, checkpoint: &UpstreamCheckpoint<'_>) -> Result<(), WriteError> {
    let mut parameters: Vec<&(String, Tensor)> = checkpoint.parameters.iter().collect();
    parameters.sort_by_key(|(name, _)| order::key(name));
    let weights = parameters
        .iter()
        .map(|(name, tensor)| (name.as_str().into(), PickleItem::Tensor(tensor.detach())));
    let mut root = vec![(MODEL.into(), PickleItem::OrderedDictionary(weights.collect()))];
    if let Some(adamw) = &checkpoint.optimizer {
        let names: Vec<&str> = parameters.iter().map(|(name, _)| name.as_str()).collect();
        root.push((OPTIMIZERS[0].into(), optimizer(adamw, &names)));
    }
    let best = checkpoint.best_reward.unwrap_or(f64::NEG_INFINITY);
    root.push((BEST.into(), PickleItem::Float(best)));
    write_archive(path, &PickleItem::Dictionary(root))
}

fn optimizer(adamw: &TorchAdamW<'_>, names: &[&str]) -> PickleItem {
    let moments: BTreeMap<&str, &Tensor> =
        adamw.moments.iter().map(|(name, tensor)| (name.as_str(), tensor)).collect();
    let moment = |kind: &str, name: &str| {
        let found = moments.get(format!("{kind}.{name}").as_str());
        found.map_or(PickleItem::Nothing, |tensor| PickleItem::Tensor(tensor.detach()))
    };
    let state = names.iter().enumerate().map(|(index, name)| {
        let parts = vec![
            ("step".into(), PickleItem::Tensor(Tensor::from(adamw.steps as f32))),
            ("exp_avg".into(), moment("first", name)),
            ("exp_avg_sq".into(), moment("second", name)),
        ];
        (PickleItem::Int(index as i64), PickleItem::Dictionary(parts))
    });
    let group = PickleItem::Dictionary(group(adamw, names.len()));
    PickleItem::Dictionary(vec![
        ("state".into(), PickleItem::Dictionary(state.collect())),
        ("param_groups".into(), PickleItem::List(vec![group])),
    ])
}

/// Returns `param_groups[0]` with the keys of torch 2.11.
fn group(adamw: &TorchAdamW<'_>, parameters: usize) -> Vec<(PickleItem, PickleItem)> {
    let AdamWConfig { beta1, beta2, eps, weight_decay } = adamw.config;
    let betas = [beta1, beta2].map(PickleItem::Float).into();
    let numbers = (0..parameters as i64).map(PickleItem::Int).collect();
    vec![
        ("lr".into(), PickleItem::Float(adamw.rate)),
        ("betas".into(), PickleItem::Tuple(betas)),
        ("eps".into(), PickleItem::Float(eps)),
        ("weight_decay".into(), PickleItem::Float(weight_decay)),
        ("amsgrad".into(), PickleItem::Bool(false)),
        ("maximize".into(), PickleItem::Bool(false)),
        ("foreach".into(), PickleItem::Nothing),
        ("capturable".into(), PickleItem::Bool(false)),
        ("differentiable".into(), PickleItem::Bool(false)),
        ("fused".into(), PickleItem::Nothing),
        ("decoupled_weight_decay".into(), PickleItem::Bool(true)),
        ("params".into(), PickleItem::List(numbers)),
    ]
}
