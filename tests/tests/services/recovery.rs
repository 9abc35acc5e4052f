//! Recovery from killed samplers, rewarders, Redis and learners: the run continues within seconds, and the
//! learner restores lost state.

use ddpo_rollout::order::{Track, WeightsId};
use ddpo_rollout::trajectory::PolicyVersion;
use ddpo_test_tools::needs;
use ddpo_tests::services::fleet::RUN_ID;
use ddpo_tests::services::wait::block_on;
use ddpo_tests::services::{Fleet, FleetConfig, Inspector, PATIENCE, toy, until, within};
use ddpo_tests::tree;
use rustix::process::Signal;
use std::time::{Duration, Instant};

/// Longest time without an accepted trajectory after one of several workers is killed.
const MISSED: Duration = Duration::from_secs(5);

/// Longest time from the restart of an empty Redis until it has weights and orders.
const PUT_BACK: Duration = Duration::from_secs(10);

/// Longest time from a learner's restart until it accepts a trajectory.
const RESUMED: Duration = Duration::from_secs(30);

/// Returns the longest time between two acceptances from `since` on, over the next `more` trajectories.
#[expect(clippy::print_stdout, reason = "prints measurements")]
fn longest_silence(learner: &Inspector, since: Instant, more: u64) -> Duration {
    let accepted = || learner.counter("trajectories_accepted");
    let first = until("the learner", accepted);
    let (mut seen, mut at, mut longest) = (first, since, Duration::ZERO);
    while seen < first + more {
        let now = until("the learner", accepted);
        if now > seen {
            longest = longest.max(at.elapsed());
            (seen, at) = (now, Instant::now());
        }
        assert!(at.elapsed() < PATIENCE, "no trajectory is accepted");
    }
    println!("measured: longest silence {:.2} s of {} s", longest.as_secs_f64(), MISSED.as_secs());
    longest
}

/// Starts a fleet of test doubles with two samplers; each batch takes 0.2 s.
fn fake_fleet(rewarders: &[&str]) -> Fleet {
    let mut fleet = Fleet::new(FleetConfig::fake(10_000, 16, 200));
    fleet.learner("learner", &[]);
    rewarders.iter().for_each(|name| fleet.rewarder(name));
    fleet.sampler("sampler-1");
    fleet.sampler("sampler-2");
    fleet.inspector("learner").reaches("trajectories_accepted", 32);
    fleet
}

#[test]
fn a_killed_sampler_delays_the_run_by_at_most_five_seconds() {
    needs!("redis-server");
    let mut fleet = fake_fleet(&["rewarder"]);
    let (learner, other) = (fleet.inspector("learner"), fleet.inspector("sampler-2"));
    let claimed = other.counter("orders_claimed");
    fleet.inspector("sampler-1").watch().growing();
    fleet.service("sampler-1").kill();
    // The epoch waits for the order of the killed sampler, until the other one takes it over.
    let silence = longest_silence(&learner, Instant::now(), 64);
    assert!(silence <= MISSED, "{silence:?}");
    assert!(other.counter("orders_claimed") > claimed, "no order was taken over");
}

#[test]
fn a_killed_rewarder_delays_the_run_by_at_most_five_seconds() {
    needs!("redis-server");
    let names = ["rewarder-1", "rewarder-2"];
    let mut fleet = fake_fleet(&names);
    let learner = fleet.inspector("learner");
    let streams = names.map(|name| fleet.inspector(name).counter("streams").unwrap_or_default());
    let busy = usize::from(streams[1] > streams[0]);
    assert!(streams[busy] > 0, "no rewarder has a stream");
    fleet.inspector(names[busy]).watch().growing();
    fleet.service(names[busy]).kill();
    let silence = longest_silence(&learner, Instant::now(), 64);
    assert!(silence <= MISSED, "{silence:?}");
}

/// Starts the toy run and pauses its sampler while orders are open.
fn with_open_orders() -> Fleet {
    let mut fleet = Fleet::new(FleetConfig::default());
    fleet.one_of_each();
    toy::saved(fleet.folder(), 1);
    fleet.service("sampler").signal(Signal::STOP);
    let store = fleet.store();
    until("an order", || block_on(store.pending()).ok().filter(|orders| !orders.is_empty()));
    fleet
}

/// Returns the weights that Redis names as current.
fn current_weights(fleet: &Fleet) -> Option<WeightsId> {
    let id = fleet.redis.command(&["HGET", &format!("ddpo:{{{RUN_ID}}}:current"), "id"]);
    let version = PolicyVersion(id.strip_prefix('v')?.parse().ok()?);
    Some(WeightsId { version, track: Track::Policy })
}

/// Waits until an empty Redis has all that samplers need, lets the run finish, and compares.
fn put_back_and_finished(mut fleet: Fleet, since: Instant) {
    let store = fleet.store();
    within("run, weights and orders are put back", since, PUT_BACK, || {
        block_on(async {
            store.run_spec().await.ok()??;
            let present = store.is_present(current_weights(&fleet)?).await.ok()?;
            let orders = store.pending().await.ok()?;
            (present && !orders.is_empty()).then_some(())
        })
    });
    fleet.service("sampler").signal(Signal::CONT);
    fleet.finishes("learner");
    tree::assert_same(toy::expected(), &toy::checkpoint(fleet.folder()));
}

#[test]
fn the_learner_restores_an_emptied_redis() {
    needs!("redis-server");
    let fleet = with_open_orders();
    let emptied = Instant::now();
    fleet.redis.flush_all();
    put_back_and_finished(fleet, emptied);
}

#[test]
fn the_learner_restores_a_killed_redis() {
    needs!("redis-server");
    let mut fleet = with_open_orders();
    fleet.redis.kill();
    // The outage lasts until a service has noticed it.
    fleet.service("sampler").signal(Signal::CONT);
    until("the sampler to miss Redis", || {
        fleet.service("sampler").line("could not take an order; retrying")
    });
    fleet.service("sampler").signal(Signal::STOP);
    fleet.redis.start_again();
    put_back_and_finished(fleet, Instant::now());
}

#[test]
fn a_killed_learner_resumes_within_half_a_minute_of_its_restart() {
    needs!("redis-server");
    // The killed learner still holds the lease, which has the default duration.
    let learner = String::new();
    let mut fleet = Fleet::new(FleetConfig { learner, ..FleetConfig::default() });
    fleet.one_of_each();
    toy::saved(fleet.folder(), 1);
    fleet.service("learner").kill();
    let restarted = Instant::now();
    fleet.start_again("learner");
    let learner = fleet.inspector("learner");
    within("a trajectory after the restart", restarted, RESUMED, || {
        learner.counter("trajectories_accepted").filter(|&count| count > 0)
    });
    fleet.finishes("learner");
    tree::assert_same(toy::expected(), &toy::checkpoint(fleet.folder()));
}

#[test]
fn services_that_start_before_redis_wait_for_it() {
    needs!("redis-server");
    let mut fleet = Fleet::new(FleetConfig::fake(2, 16, 1));
    fleet.redis.kill();
    fleet.one_of_each();
    for name in ["learner", "sampler"] {
        until("a line about Redis", || fleet.service(name).line("waiting for redis"));
    }
    fleet.redis.start_again();
    fleet.finishes("learner");
}
