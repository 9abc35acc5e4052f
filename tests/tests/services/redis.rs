//! Redis with wrong values while a run goes on: the services name them and heal, and the run ends with the
//! same bytes as an undisturbed run.

use ddpo_test_tools::needs;
use ddpo_tests::services::fleet::RUN_ID;
use ddpo_tests::services::{Fleet, FleetConfig, toy, until};
use ddpo_tests::tree;

fn key(name: &str) -> String {
    format!("ddpo:{{{RUN_ID}}}:{name}")
}

/// Starts learner and rewarder, and waits until the first weights and orders are in Redis.
fn without_a_sampler() -> Fleet {
    let mut fleet = Fleet::new(FleetConfig::default());
    fleet.learner("learner", &[]);
    fleet.rewarder("rewarder");
    let length = || fleet.redis.command(&["XLEN", &key("orders")]);
    until("orders", || (length() != "0").then_some(()));
    fleet
}

#[test]
fn a_chunk_that_was_overwritten_is_published_again() {
    needs!("redis-server");
    let mut fleet = without_a_sampler();
    let upload = fleet.redis.command(&["HGET", &key("current"), "upload"]);
    let chunk = key(&format!("chunk:{upload}:0"));
    assert_eq!(fleet.redis.command(&["EXISTS", &chunk]), "1");
    fleet.redis.command(&["SETRANGE", &chunk, "1000", "overwritten"]);
    fleet.sampler("sampler");
    until("the sampler is not ready", || {
        let answer = fleet.readiness("sampler");
        let is_told = answer.starts_with("HTTP/1.1 503") && answer.contains("corrupt");
        (is_told || answer.contains("weights: ok")).then_some(())
    });
    until("the learner publishes again", || {
        fleet.service("learner").line("publishing damaged weights again")
    });
    fleet.finishes("learner");
    let log = fleet.service("sampler").text();
    let told = |line: &str| line.contains("\"condition not met\"") && line.contains("corrupt");
    assert!(log.lines().any(told), "{log}");
    let failed = log.matches("\"batch failed\"").count();
    assert!((1..=4).contains(&failed), "{failed} in {log}");
    tree::assert_same(toy::expected(), &toy::checkpoint(fleet.folder()));
}

#[test]
fn keys_of_another_type_are_replaced_while_the_run_goes_on() {
    needs!("redis-server");
    let mut fleet = without_a_sampler();
    for name in ["orders", "orders:wake", "workers", "weights"] {
        fleet.redis.command(&["SET", &key(name), "planted"]);
    }
    fleet.redis.command(&["SET", &key("spec"), "{planted"]);
    fleet.redis.command(&["HSET", &key("workers-of-others"), "x", "1"]);
    fleet.sampler("sampler");
    fleet.finishes("learner");
    let log = fleet.service("learner").text();
    assert!(log.contains("removed keys with a value of another type"), "{log}");
    assert!(log.contains("holds a value of another type"), "{log}");
    assert!(log.contains("the run's specification in Redis was changed"), "{log}");
    assert!(!log.contains("redis cannot be reached"), "{log}");
    assert_eq!(fleet.redis.command(&["EXISTS", &key("workers-of-others")]), "1");
    tree::assert_same(toy::expected(), &toy::checkpoint(fleet.folder()));
}

#[test]
fn the_run_waits_for_memory_and_names_it() {
    needs!("redis-server");
    let mut fleet = Fleet::new(FleetConfig::default());
    fleet.redis.command(&["CONFIG", "SET", "maxmemory", "1"]);
    fleet.learner("learner", &[]);
    fleet.rewarder("rewarder");
    fleet.sampler("sampler");
    until("the learner waits", || {
        let log = fleet.service("learner").text();
        log.contains("waiting for redis, which is out of memory").then_some(())
    });
    assert!(!fleet.service("learner").has_ended());
    fleet.redis.command(&["CONFIG", "SET", "maxmemory", "0"]);
    fleet.finishes("learner");
    tree::assert_same(toy::expected(), &toy::checkpoint(fleet.folder()));
}

/// Waits until a service logs that it waits for Redis, with a part of the reason.
fn says_that_it_waits(fleet: &mut Fleet, name: &str, reason: &str) {
    until(&format!("{name} waits"), || {
        let log = fleet.service(name).text();
        let waits = |line: &str| line.contains("waiting for redis") || line.contains("retrying");
        log.lines().any(|line| waits(line) && line.contains(reason)).then_some(())
    });
    assert!(!fleet.service(name).has_ended());
}

#[test]
fn the_services_wait_for_a_redis_that_loads_its_data() {
    needs!("redis-server");
    let mut fleet = without_a_sampler();
    fleet.redis.start_loading();
    // It starts while Redis loads.
    fleet.sampler("sampler");
    says_that_it_waits(&mut fleet, "learner", "which is loading its data");
    says_that_it_waits(&mut fleet, "sampler", "which is loading its data");
    fleet.redis.loads_quickly();
    fleet.finishes("learner");
    tree::assert_same(toy::expected(), &toy::checkpoint(fleet.folder()));
}

#[test]
fn a_password_may_change_during_the_run_and_is_not_logged() {
    needs!("redis-server");
    let service = "redis_password_file = \"redis.password\"".to_owned();
    let mut fleet = Fleet::new(FleetConfig { service, ..FleetConfig::default() });
    std::fs::write(fleet.folder().join("redis.password"), "first-s3cret").unwrap();
    fleet.redis.set_password("first-s3cret");
    fleet.one_of_each();
    toy::saved(fleet.folder(), 1);
    fleet.redis.set_password("second-s3cret");
    says_that_it_waits(&mut fleet, "learner", "refused the user, the password or the permission");
    says_that_it_waits(&mut fleet, "sampler", "refused the user, the password or the permission");
    fleet.redis.set_password("first-s3cret");
    fleet.finishes("learner");
    for (path, log) in fleet.logs() {
        assert!(!log.contains("s3cret"), "{}: {log}", path.display());
    }
    tree::assert_same(toy::expected(), &toy::checkpoint(fleet.folder()));
}
