//! Each trajectory has a connected trace from its order to the update that used it, sent to a collector over
//! OTLP. An unreachable collector does not affect the run.

use ddpo_test_tools::needs;
use ddpo_tests::services::collector::{Collector, Span};
use ddpo_tests::services::trace::{Traces, Way};
use ddpo_tests::services::{Fleet, FleetConfig, toy, until};
use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;

/// The share of a run's trajectories that must have a complete trace.
const SHARE: f64 = 0.99;

/// More trajectories than can be in flight: a sampler has two batches of four.
const UNDER_WAY: u64 = 32;

fn traced(config: FleetConfig, endpoint: &str) -> FleetConfig {
    FleetConfig { service: format!("otlp_endpoint = \"{endpoint}\""), ..config }
}

/// Completes a run with two samplers, terminates the services so that they flush their spans, and sorts the
/// spans.
fn traces(config: FleetConfig) -> Traces {
    let collector = Collector::start();
    let mut fleet = Fleet::new(traced(config, &collector.url()));
    fleet.learner("learner", &[]);
    fleet.rewarder("rewarder");
    fleet.sampler("sampler-1");
    fleet.sampler("sampler-2");
    fleet.finishes("learner");
    for name in ["sampler-1", "sampler-2", "rewarder"] {
        assert!(fleet.terminate(name).success(), "{name}");
    }
    for (path, log) in fleet.logs() {
        assert!(!log.contains("export failed"), "{}: {log}", path.display());
    }
    Traces::new(collector.spans())
}

/// Returns the complete traces of a run's trajectories, and checks their share of `expected`.
#[expect(clippy::print_stdout, reason = "prints measurements")]
fn whole<'a>(traces: &'a Traces, what: &str, expected: u64) -> Vec<Way<'a>> {
    let mut broken = Vec::new();
    let whole: Vec<Way<'_>> = traces
        .accepted()
        .filter_map(|way| match way {
            Ok(way) => Some(way),
            Err(why) => {
                broken.push(why);
                None
            }
        })
        .collect();
    let ids: BTreeSet<&str> =
        whole.iter().map(|way| way.accept.attribute("trajectory.id")).collect();
    assert_eq!(ids.len(), whole.len(), "a trajectory was accepted twice");
    let share = whole.len() as f64 / expected as f64;
    println!("measured: {what}: {} of {expected} trajectories have a whole trace", whole.len());
    assert!(share >= SHARE, "{what}: {share}: {broken:#?}");
    whole
}

fn is_of(span: &Span, service: &str) {
    assert_eq!(span.origin.0, service, "{span:?}");
}

/// Checks the attributes and the order of a trajectory's spans.
fn follows(way: &Way<'_>) {
    let Way { order, draw, send, relay, score, accept, .. } = *way;
    for span in [order, accept] {
        is_of(span, "ddpo-learner");
    }
    for span in [draw, send] {
        is_of(span, "ddpo-sampler");
    }
    for span in [relay, score] {
        is_of(span, "ddpo-rewarder");
    }
    let id = accept.attribute("trajectory.id");
    for span in [send, relay, score] {
        assert_eq!(span.attribute("trajectory.id"), id);
    }
    for span in [send, relay] {
        assert_eq!(span.attribute("verdict"), "accepted", "{span:?}");
    }
    assert_eq!(draw.attribute("order.id"), order.attribute("order.id"));
    assert_eq!(draw.attribute("batch.size"), order.attribute("batch.size"));
    assert!(draw.attribute("attempt").parse::<u32>().is_ok_and(|attempt| attempt >= 1));
    assert!(score.attribute("reward").parse::<f64>().is_ok_and(f64::is_finite), "{score:?}");
    // A span ends slightly after its answer, so only starts are compared.
    for pair in [order, draw, send, relay, score, accept].windows(2) {
        assert!(pair[0].start <= pair[1].start, "{pair:?}");
    }
    assert!(score.end <= accept.start, "{way:?}");
}

/// Checks the update in a trace.
fn is_used(way: &Way<'_>) {
    let update = way.update.unwrap_or_else(|| panic!("no update: {:?}", way.accept));
    is_of(update, "ddpo-learner");
    assert_eq!(way.order.attribute("purpose"), "Rollout");
    assert_eq!(update.attribute("policy.version"), way.order.attribute("policy.version"));
    assert!(way.accept.start <= update.start && update.end <= way.order.end, "{way:?}");
}

#[test]
fn every_trajectory_has_one_trace_from_order_to_update() {
    needs!("redis-server");
    let traces = traces(FleetConfig::default());
    let ways = whole(&traces, "the toy run", toy::ALL);
    ways.iter().for_each(follows);
    let (used, evaluated): (Vec<Way<'_>>, Vec<Way<'_>>) =
        ways.iter().partition(|way| way.order.attribute("purpose") == "Rollout");
    used.iter().for_each(is_used);
    assert!(evaluated.iter().all(|way| way.update.is_none()));
    let epochs: BTreeSet<&str> = used.iter().map(|way| way.order.attribute("epoch")).collect();
    assert_eq!(epochs, BTreeSet::from(["0", "1", "2"]));
    let orders = toy::ALL / 4;
    let found = traces.named("order").count() as u64;
    assert_eq!(found, orders, "each order has one span");
}

#[test]
fn traces_of_many_trajectories_and_two_samplers_are_complete() {
    needs!("redis-server");
    let (epochs, samples) = (60, 32);
    let traces = traces(FleetConfig::fake(epochs, samples, 5));
    let ways = whole(&traces, "a fast run", u64::from(epochs * samples));
    ways.iter().for_each(follows);
    ways.iter().for_each(is_used);
    let samplers: BTreeSet<&str> = ways.iter().map(|way| way.draw.origin.1.as_str()).collect();
    assert_eq!(samplers, BTreeSet::from(["sampler-1", "sampler-2"]));
}

/// Checks that each service has logged exactly once that its exports fail.
fn told_once(fleet: &mut Fleet) {
    for name in ["learner", "rewarder", "sampler"] {
        let log = fleet.service(name).text();
        assert_eq!(log.matches("export failed; later").count(), 1, "{name}: {log}");
    }
}

#[test]
fn an_unreachable_collector_is_logged_once() {
    needs!("redis-server");
    let free = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let nowhere = format!("http://{}", free.expect("a port on loopback"));
    let mut fleet = Fleet::new(traced(FleetConfig::fake(20, 16, 20), &nowhere));
    fleet.one_of_each();
    fleet.finishes("learner");
    for name in ["sampler", "rewarder"] {
        assert!(fleet.terminate(name).success(), "{name}");
    }
    told_once(&mut fleet);
}

#[test]
fn a_run_continues_while_exports_hang() {
    needs!("redis-server");
    let collector = Collector::mute();
    let mut fleet = Fleet::new(traced(FleetConfig::fake(100_000, 16, 5), &collector.url()));
    fleet.one_of_each();
    let learner = fleet.inspector("learner");
    // The progress of the run when each export arrived.
    let mut since: BTreeMap<u64, u64> = BTreeMap::new();
    let mut unmoved = BTreeSet::new();
    until("the run to continue while each service waits for the collector", || {
        let before = collector.held();
        let accepted = learner.counter("trajectories_accepted")?;
        // An export that is held before and after is held in between.
        for (number, service) in collector.held() {
            let came = *since.entry(number).or_insert(accepted);
            if before.contains_key(&number) && accepted >= came + UNDER_WAY {
                unmoved.insert(service);
            }
        }
        (unmoved.len() == 3).then_some(())
    });
    assert_eq!(
        unmoved,
        BTreeSet::from(["ddpo-learner", "ddpo-rewarder", "ddpo-sampler"].map(String::from))
    );
    for name in ["learner", "sampler", "rewarder"] {
        // The first export fails at its deadline, after some seconds.
        until(&format!("{name} to tell"), || {
            fleet.service(name).text().contains("export failed").then_some(())
        });
    }
    for name in ["learner", "sampler", "rewarder"] {
        assert!(fleet.terminate(name).success(), "{name}");
    }
    told_once(&mut fleet);
}
