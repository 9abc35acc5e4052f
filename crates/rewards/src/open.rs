//! Opens the reward models of a specification.

use crate::error::RewardError;
use crate::external::server;
use crate::external::torchscript::ScriptReward;
use crate::jpeg::JpegReward;
use crate::learned::{AestheticReward, AgeRewardModel};
use crate::mapped::Mapped;
use crate::mixture::Mixture;
use crate::model::RewardModel;
use crate::pinned::check_file;
use crate::resolve::resolve;
use crate::runtime::RewardRuntime;
use ddpo_rollout::reward::{
    AestheticSpec, AgeSpec, RewardExpression, RewardSettings, RewardSource, RewardSpec, Script,
    Task,
};

/// Resolves the settings and opens the model of the reward, without held-out rewards.
///
/// # Errors
/// As [`resolve`] and [`open_expression`].
pub fn open(
    settings: &RewardSettings,
    runtime: &RewardRuntime,
    progress: &mut dyn FnMut(&str),
) -> Result<Box<dyn RewardModel>, RewardError> {
    let spec = resolve(settings, progress)?;
    open_expression(&spec, &spec.reward, runtime, progress)
}

/// Opens the model of one of the specification's expressions: the term's model for a single term of
/// weight 1, otherwise a [`Mixture`]. Reports downloads to `progress`, line by line.
///
/// # Errors
/// [`RewardError`] if a model cannot be found, read or reached, or its content differs from the pin.
pub fn open_expression(
    spec: &RewardSpec,
    expression: &RewardExpression,
    runtime: &RewardRuntime,
    progress: &mut dyn FnMut(&str),
) -> Result<Box<dyn RewardModel>, RewardError> {
    let mut opened: Vec<Box<dyn RewardModel>> = Vec::with_capacity(expression.terms().len());
    for term in expression.terms() {
        let model = open_source(spec, &term.source, runtime, progress)?;
        let map = spec.pixel_map.map(&term.source);
        opened.push(Box::new(Mapped { map, model }));
    }
    match (expression.plain(), opened.pop()) {
        (Some(_), Some(model)) => Ok(model),
        (_, last) => {
            opened.extend(last);
            Ok(Box::new(Mixture::new(expression, opened)))
        }
    }
}

fn open_source(
    spec: &RewardSpec,
    source: &RewardSource,
    runtime: &RewardRuntime,
    progress: &mut dyn FnMut(&str),
) -> Result<Box<dyn RewardModel>, RewardError> {
    Ok(match source {
        RewardSource::Task(task @ (Task::JpegCompressibility | Task::JpegIncompressibility)) => {
            Box::new(JpegReward::new(*task, runtime.threads)?)
        }
        RewardSource::Task(Task::AestheticScore) => {
            let networks = aesthetic(spec)?;
            Box::new(AestheticReward::open(networks, spec.dtype, runtime, progress)?)
        }
        RewardSource::Task(task @ (Task::Under30 | Task::Over50)) => {
            Box::new(AgeRewardModel::open(*task, age(spec)?, spec.dtype, runtime, progress)?)
        }
        RewardSource::Script(script) => Box::new(open_script(spec, script, runtime)?),
        RewardSource::Servers(servers) => server::open(servers, runtime)?,
    })
}

/// Returns the networks of the aesthetic score.
pub(crate) fn aesthetic(spec: &RewardSpec) -> Result<&AestheticSpec, RewardError> {
    spec.aesthetic.as_ref().ok_or(RewardError::Incomplete { missing: "aesthetic" })
}

/// Returns the classifier of the age rewards.
pub(crate) fn age(spec: &RewardSpec) -> Result<&AgeSpec, RewardError> {
    spec.age.as_ref().ok_or(RewardError::Incomplete { missing: "age" })
}

fn open_script(
    spec: &RewardSpec,
    script: &Script,
    runtime: &RewardRuntime,
) -> Result<ScriptReward, RewardError> {
    let pinned = spec.scripts.iter().find(|file| file.name == script.path);
    let pinned = pinned.ok_or(RewardError::Incomplete { missing: "scripts" })?;
    let reward = ScriptReward::open(script, runtime.device)?;
    check_file(pinned)?;
    Ok(reward)
}
