//! Plays a peer that has the run's token: headers, states and scores with right digests and any lies,
//! against a real ledger and a real update of a tiny model.
//!
//! Nothing panics. The ledger accepts each sample once, and only with the run's header, reward and
//! components; honest trajectories are accepted in spite of everything else. An update whose ratios the
//! learner computes itself trains on no log-probability that is far from its own.

#![no_main]

#[allow(dead_code)]
#[path = "../../../crates/algorithm/tests/behaviour/tiny.rs"]
mod tiny;

use bytes::Bytes;
use ddpo_algorithm::config::{LearnerConfig, OldLogProbs};
use ddpo_algorithm::error::LearnError;
use ddpo_delivery::incoming::IncomingTrajectory;
use ddpo_diffusion::unet::UNet;
use ddpo_learner::service::facts::RunFacts;
use ddpo_learner::service::ledger::{Awaited, BatchKey, Decision, Ledger, Offer};
use ddpo_proto::convert::{header, score};
use ddpo_proto::limits::Limits;
use ddpo_proto::stream::{GivenScore, Opening, TrajectoryIdentity};
use ddpo_proto::wire::{self, Shape};
use ddpo_rollout::chain::{Chain, NeededStates};
use ddpo_rollout::facts::{ChainFacts, TrajectoryFacts, TrajectoryForm};
use ddpo_rollout::noise::Purpose;
use ddpo_rollout::order::{Track, WeightsId};
use ddpo_rollout::reward::RewardSpec;
use ddpo_rollout::score::{Component, Score, ScoredTrajectory};
use ddpo_rollout::trajectory::{PolicyVersion, StateDtype};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use tch::Kind;

const RUN: &str = "run";
const COMPONENT: &str = RewardSpec::JPEG_COMPONENT;
const WEIGHTS: WeightsId = WeightsId { version: PolicyVersion(0), track: Track::Policy };
const SAMPLES: usize = 4;
const EPOCH: BatchKey = BatchKey::Epoch(0);

/// The most values of a state that a lie about the shape has memory for.
const VALUES: usize = 1 << 12;

/// A run, and its honest trajectories.
struct Run {
    chain: Chain,
    config: LearnerConfig,
    network: UNet,
    honest: Vec<ScoredTrajectory>,
}

/// A trajectory as a sender has it.
#[derive(Clone)]
struct Sent {
    header: wire::TrajectoryHeader,
    score: wire::TrajectoryScore,
    states: Vec<Vec<u8>>,
    log_probs: Vec<f32>,
}

thread_local! {
    static RUNS: [Run; 2] = [run_of(None), run_of(Some("2:1"))];
}

fuzz_target!(|input: &[u8]| {
    let mut choices = Unstructured::new(input);
    RUNS.with(|runs| {
        let at = usize::from(choices.arbitrary().unwrap_or(false));
        let _ = play(&runs[at], &mut choices);
    });
});

fn run_of(window: Option<&str>) -> Run {
    let window = window.map(|text| text.parse().expect("a window"));
    let chain = tiny::transitions().chain(window, NeededStates::Steps);
    let config = LearnerConfig { window, batch_size: 2, ..tiny::settings() };
    let network = tiny::unet(1);
    let mut honest = tiny::rollouts_along(&network, &chain, WEIGHTS.version, 0, SAMPLES);
    for scored in &mut honest {
        let component = Component { name: COMPONENT.to_owned(), value: -scored.score.reward };
        scored.score.components.push(component);
    }
    Run { chain, config, network, honest }
}

fn reward() -> RewardSpec {
    RewardSpec::plain("jpeg compressibility".parse().expect("a reward"))
}

fn ledger(run: &Run) -> Ledger {
    let form = TrajectoryForm {
        dtype: StateDtype::F32,
        shape: Some(tiny::SHAPE),
        chain: ChainFacts::Known(run.chain.clone()),
    };
    let trajectories = TrajectoryFacts { run_id: RUN.into(), form: Some(form) };
    let ledger = Ledger::new(RunFacts { trajectories, reward: reward() }, 0);
    let header = run.honest[0].trajectory.header();
    ledger.expect(Awaited {
        key: EPOCH,
        run_seed: header.coordinates.run_seed,
        samples: SAMPLES as u32,
        weights: WEIGHTS,
        weights_digest: header.weights_digest,
    });
    ledger
}

fn play(run: &Run, choices: &mut Unstructured<'_>) -> Result<()> {
    let ledger = ledger(run);
    let mut accepted = [false; SAMPLES];
    for _ in 0..choices.int_in_range(0..=8)? {
        let mut sent = honest(run, choices.int_in_range(0..=SAMPLES - 1)?);
        for _ in 0..choices.int_in_range(0..=3)? {
            lie(&mut sent, choices)?;
        }
        offer(run, &ledger, sent, &mut accepted);
    }
    // The run goes on: honest samples take the places that are free.
    for sample in 0..SAMPLES {
        let was_free = !accepted[sample];
        offer(run, &ledger, honest(run, sample), &mut accepted);
        assert!(accepted[sample], "an honest sample was refused; its place was free: {was_free}");
    }
    let batch = ledger.take(EPOCH).expect("a complete batch");
    for (scored, honest) in batch.iter().zip(&run.honest) {
        assert_eq!(scored.trajectory.header(), honest.trajectory.header());
    }
    // An update takes a hundred times as long as the rest.
    if choices.int_in_range(0..=7)? == 7 {
        train(run, &batch, choices.arbitrary()?);
    }
    Ok(())
}

/// Sends a trajectory the way that the intake does, and checks the ledger's decision.
fn offer(run: &Run, ledger: &Ledger, sent: Sent, accepted: &mut [bool; SAMPLES]) {
    let limits = Limits::default();
    let Ok(Opening { identity, header }) = header::from_wire(sent.header, &limits) else { return };
    let weights = WeightsId { version: header.policy_version, track: identity.track };
    let admitted = ledger.admit(&identity.run_id, weights, &header);
    let Ok(GivenScore { score, reward: given }) = score::from_wire(sent.score, &limits) else {
        return;
    };
    let values = header.shape.elements();
    if values > VALUES || header.kept_states.len() > 64 {
        assert!(admitted.is_err(), "another shape was admitted");
        return;
    }
    // The assembler takes as many bytes as the header states.
    let size = values * header.dtype.size();
    let mut states = sent.states;
    states.resize(header.kept_states.len(), Vec::new());
    states.iter_mut().for_each(|state| state.resize(size, 0));
    let mut log_probs = sent.log_probs;
    log_probs.resize(header.random_steps.len(), 0.0);
    let run_id = identity.run_id.clone();
    let incoming = IncomingTrajectory {
        identity,
        header: header.clone(),
        states: states.into_iter().map(Bytes::from).collect(),
        log_probs,
        score: Some(score.clone()),
        reward: Some(given.clone()),
    };
    let Ok(scored) = incoming.into_scored() else { return };
    let decision =
        ledger.offer(Offer { run_id: run_id.clone(), weights, reward: given.clone(), scored });
    if decision != Decision::Accepted {
        return;
    }
    assert_eq!(admitted, Ok(()), "the ledger accepts what it did not admit");
    let sample = header.coordinates.sample as usize;
    assert!(!accepted[sample], "sample {sample} was accepted twice");
    accepted[sample] = true;
    assert_eq!(&header, run.honest[sample].trajectory.header());
    assert_eq!((run_id.as_str(), weights, given), (RUN, WEIGHTS, reward().id()));
    assert!(score.check_range().is_ok(), "{score:?}");
    let names: Vec<&str> = score.components.iter().map(|part| part.name.as_str()).collect();
    assert_eq!(names, [COMPONENT]);
}

/// Trains on a batch that the ledger has accepted. Headers are the run's; states, log-probabilities
/// and rewards may be anyone's.
fn train(run: &Run, batch: &[ScoredTrajectory], by_learner: bool) {
    let old_log_probs = if by_learner { OldLogProbs::Learner } else { OldLogProbs::Sampler };
    let config = LearnerConfig { old_log_probs, ..run.config.clone() };
    let limit = 100.0 * config.ratio_tolerance;
    let mut learner = tiny::learner(config);
    let before = learner.policy().master().parameters().digest();
    let result = learner.update(batch, &mut |_, _| {});
    let parameters = learner.policy().master().parameters();
    match result {
        Ok(report) => {
            for (name, tensor) in parameters.entries() {
                assert!(tensor.isfinite().all().int64_value(&[]) == 1, "{name}: {report:?}");
            }
            if by_learner {
                check_log_probs(run, batch, limit);
            }
        }
        Err(LearnError::NotFinite { .. }) => {}
        Err(error) => assert_eq!(parameters.digest(), before, "{error}"),
    }
}

/// Checks that the recorded log-probabilities are those of the policy, up to twice the `limit` of
/// |ratio - 1|: a pass of another shape rounds in another way.
fn check_log_probs(run: &Run, batch: &[ScoredTrajectory], limit: f64) {
    let _guard = tch::no_grad_guard();
    let network = &run.network;
    for scored in batch {
        let header = scored.trajectory.header();
        let epoch = run.chain.of(Purpose::Rollout, header.coordinates.run_seed, 0);
        let transitions = tiny::transitions().of_epoch(&epoch);
        let state = |index: usize| {
            let bytes = scored.trajectory.state(index).expect("a kept state");
            let values = ddpo_rollout::trajectory::decode(bytes, header.dtype);
            tch::Tensor::from_slice(&values).view([1, 3, 8, 8]).to_kind(Kind::Float)
        };
        for (&step, &recorded) in header.random_steps.iter().zip(scored.trajectory.log_probs()) {
            let output = network.forward(&state(step), &transitions.timestep_tensor(&[step]));
            let (mean, sigma) = transitions.mean_and_sigma(&state(step), &output, &[step]);
            let found = ddpo_diffusion::gaussian::log_prob(&state(step + 1), &mean, &sigma);
            let gap = (found.double_value(&[0]) - f64::from(recorded)).exp_m1().abs();
            assert!(gap <= 2.0 * limit, "step {step}: recorded {recorded}, found {found:?}");
        }
    }
}

/// Returns an honest trajectory as it is sent.
fn honest(run: &Run, sample: usize) -> Sent {
    let limits = Limits::default();
    let scored = &run.honest[sample];
    let identity = TrajectoryIdentity {
        trajectory_id: format!("0-{sample}"),
        run_id: RUN.to_owned(),
        order_id: "order".to_owned(),
        attempt: 1,
        worker_id: "worker".to_owned(),
        incarnation: 1,
        track: WEIGHTS.track,
        traceparent: None,
    };
    let opening = Opening { identity, header: scored.trajectory.header().clone() };
    let given = GivenScore { score: scored.score.clone(), reward: reward().id() };
    Sent {
        header: header::to_wire(&opening, &limits).expect("an honest header"),
        score: score::to_wire(&given, &limits).expect("an honest score"),
        states: scored.trajectory.states().iter().map(|state| state.to_vec()).collect(),
        log_probs: scored.trajectory.log_probs().to_vec(),
    }
}

/// Changes one part of a trajectory.
fn lie(sent: &mut Sent, choices: &mut Unstructured<'_>) -> Result<()> {
    let Sent { header, score, states, log_probs } = sent;
    match choices.int_in_range(0..=23_u8)? {
        0 => header.run_id = choices.arbitrary()?,
        1 => header.policy_version = small_or_any(choices)?,
        2 => header.track = choices.int_in_range(0..=3)?,
        3 => header.weights_digest = changed(&header.weights_digest, choices)?,
        4 => header.purpose = choices.int_in_range(0..=9)?,
        5 => header.run_seed = small_or_any(choices)?,
        6 => header.epoch = small_or_any(choices)? as u32,
        7 => header.sample = small_or_any(choices)? as u32,
        8 => header.scheduler_digest = changed(&header.scheduler_digest, choices)?,
        9 => header.dtype = choices.int_in_range(0..=4)?,
        10 => {
            let mut side = || Ok(small_or_any(choices)? as u32);
            header.shape = Some(Shape { channels: side()?, height: side()?, width: side()? });
        }
        11 => edit(&mut header.timesteps, choices)?,
        12 => edit(&mut header.random_steps, choices)?,
        13 => edit(&mut header.kept_states, choices)?,
        14 => header.trajectory_id = choices.arbitrary()?,
        15 => score.reward_label = choices.arbitrary()?,
        16 => score.reward_digest = changed(&score.reward_digest, choices)?,
        17 => score.reward = choices.arbitrary()?,
        18 => {
            let (name, value) = (choices.arbitrary()?, choices.arbitrary()?);
            edit_with(&mut score.components, wire::ScoreComponent { name, value }, choices)?;
        }
        19 => {
            let value = choices.arbitrary()?;
            score.components.iter_mut().for_each(|component| component.value = value);
        }
        20 => {
            let (state, value) = (choices.choose_index(states.len())?, choices.arbitrary::<f32>()?);
            let at = 4 * choices.int_in_range(0..=tiny::SHAPE.elements() - 1)?;
            if let Some(bytes) = states[state].get_mut(at..at + 4) {
                bytes.copy_from_slice(&value.to_le_bytes());
            }
        }
        21 => {
            let value = choices.arbitrary::<f32>()?;
            let state = choices.choose_index(states.len())?;
            states[state] = value.to_le_bytes().repeat(tiny::SHAPE.elements());
        }
        22 => {
            let at = choices.choose_index(log_probs.len())?;
            log_probs[at] = choices.arbitrary()?;
        }
        _ => {
            let at = choices.choose_index(log_probs.len())?;
            log_probs[at] += f32::from(choices.arbitrary::<i16>()?) / 32_768.0;
        }
    }
    Ok(())
}

fn small_or_any(choices: &mut Unstructured<'_>) -> Result<u64> {
    Ok(match choices.int_in_range(0..=3)? {
        0 => choices.arbitrary()?,
        _ => choices.int_in_range(0..=16)?,
    })
}

fn changed(digest: &Bytes, choices: &mut Unstructured<'_>) -> Result<Bytes> {
    let mut bytes = digest.to_vec();
    let at = choices.choose_index(bytes.len().max(1))?;
    match bytes.get_mut(at) {
        Some(byte) if choices.arbitrary()? => *byte ^= choices.arbitrary::<u8>()?,
        _ => bytes.truncate(at),
    }
    Ok(bytes.into())
}

fn edit<T: Copy + Default + TryFrom<u64>>(
    list: &mut Vec<T>,
    choices: &mut Unstructured<'_>,
) -> Result<()> {
    let value = T::try_from(small_or_any(choices)?).unwrap_or_default();
    edit_with(list, value, choices)
}

/// Inserts, replaces or removes an item, or cuts the list.
fn edit_with<T>(list: &mut Vec<T>, value: T, choices: &mut Unstructured<'_>) -> Result<()> {
    let at = choices.int_in_range(0..=list.len())?;
    match choices.int_in_range(0..=3)? {
        0 => list.insert(at, value),
        1 if at < list.len() => list[at] = value,
        2 if at < list.len() => drop(list.remove(at)),
        _ => list.truncate(at),
    }
    Ok(())
}
