//! Tests of the conversion of a run's description: the form of its trajectories.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use ddpo_proto::convert::run::{RunDescription, from_wire, to_wire};
use ddpo_proto::limits::Limits;
use ddpo_proto::malformed::Malformed;
use ddpo_proto::wire;
use ddpo_rollout::chain::{Chain, NeededStates};
use ddpo_rollout::facts::{ChainFacts, TrajectoryFacts, TrajectoryForm};
use ddpo_rollout::reward::RewardSpec;
use ddpo_rollout::trajectory::{Digest, StateDtype, StateShape};

fn chain(window: Option<&str>, needed: NeededStates) -> ChainFacts {
    ChainFacts::Known(Chain {
        timesteps: [9, 6, 3, 0].into(),
        random_steps: [0, 1, 2].into(),
        digest: Digest([1; 32]),
        window: window.map(|text| text.parse().unwrap()),
        needed,
    })
}

fn described(shape: Option<StateShape>, chain: ChainFacts) -> RunDescription {
    let form = TrajectoryForm { dtype: StateDtype::F16, shape, chain };
    let trajectories = TrajectoryFacts { run_id: "run".into(), form: Some(form) };
    RunDescription {
        trajectories,
        reward: RewardSpec::plain("jpeg compressibility".parse().unwrap()),
    }
}

fn read(message: wire::DescribeRunResponse) -> Result<RunDescription, Malformed> {
    from_wire(message, &Limits::default())
}

#[test]
fn forms_survive_a_round_trip() {
    let shape = Some(StateShape { channels: 3, height: 8, width: 4 });
    for form in [
        described(shape, chain(None, NeededStates::Steps)),
        described(shape, chain(Some("2:moving"), NeededStates::Image)),
        described(None, ChainFacts::Digest(Digest([2; 32]))),
    ] {
        assert_eq!(read(to_wire(&form)), Ok(form));
    }
}

#[test]
fn a_description_without_a_form_is_that_of_an_older_learner() {
    let mut message = to_wire(&described(None, chain(None, NeededStates::Steps)));
    message.trajectories = None;
    let found = read(message).unwrap();
    assert_eq!((found.trajectories.run_id.as_str(), found.trajectories.form), ("run", None));
}

#[test]
fn refuses_malformed_forms() {
    let refused = |change: fn(&mut wire::TrajectoryForm)| {
        let mut message = to_wire(&described(None, chain(Some("2"), NeededStates::Steps)));
        change(message.trajectories.as_mut().unwrap());
        read(message).unwrap_err()
    };
    let out_of_range = Malformed::RandomStepOutOfRange { timesteps: 4, found: 30 };
    assert_eq!(refused(|form| form.random_steps = vec![30]), out_of_range);
    assert_eq!(refused(|form| form.timesteps[1] = 10), Malformed::TimestepsRise(1));
    assert!(matches!(refused(|form| form.window = "0".into()), Malformed::Window(_)));
    assert_eq!(refused(|form| form.dtype = 0), Malformed::Unspecified("trajectories.dtype"));
    let digest = refused(|form| form.scheduler_digest = vec![1; 3].into());
    assert!(matches!(digest, Malformed::DigestLength { .. }), "{digest}");
    let many = refused(|form| form.timesteps = vec![0; 1001]);
    assert_eq!(many, Malformed::TooManyTimesteps { limit: 1000, found: 1001 });
    let shape = refused(|form| form.shape = Some(wire::Shape { channels: 0, height: 1, width: 1 }));
    assert_eq!(shape, Malformed::ShapeZero("channels"));
}
