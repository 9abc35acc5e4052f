//! The services follow OpenTelemetry's environment variables.

use ddpo_test_tools::needs;
use ddpo_tests::services::collector::Collector;
use ddpo_tests::services::{Fleet, FleetConfig};
use std::collections::BTreeSet;

const NAMES: [&str; 3] = ["learner", "rewarder", "sampler"];

/// Completes a short run with these variables, and stops its services so that they export what is pending.
fn run_with(variables: &[(&str, &str)], collector: &Collector) -> Fleet {
    let environment = variables.iter().map(|(key, value)| ((*key).into(), (*value).into()));
    let config = FleetConfig {
        service: format!("otlp_endpoint = \"{}\"", collector.url()),
        environment: environment.collect(),
        ..FleetConfig::fake(2, 8, 1)
    };
    let mut fleet = Fleet::new(config);
    fleet.one_of_each();
    fleet.finishes("learner");
    for name in ["sampler", "rewarder"] {
        assert!(fleet.terminate(name).success(), "{name}");
    }
    fleet
}

#[test]
fn headers_and_resource_reach_traces_and_metrics() {
    needs!("redis-server");
    let collector = Collector::start();
    let variables = [
        ("OTEL_EXPORTER_OTLP_HEADERS", "x-tenant=faces%20lab,authorization=Bearer%20hush"),
        ("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test,team=a%2Cb"),
        ("OTEL_SERVICE_NAME", "lab"),
    ];
    let mut fleet = run_with(&variables, &collector);
    let mut seen = BTreeSet::new();
    for export in collector.exports() {
        let header = |name: &str| export.headers.get(name).map(String::as_str);
        assert_eq!(header("x-tenant"), Some("faces lab"), "{export:?}");
        assert_eq!(header("authorization"), Some("Bearer hush"), "{export:?}");
        for (key, value) in
            [("service.name", "lab"), ("team", "a,b"), ("deployment.environment.name", "test")]
        {
            assert_eq!(export.resource.get(key).map(String::as_str), Some(value), "{export:?}");
        }
        seen.insert((export.signal, export.resource["service.instance.id"].clone()));
    }
    let expected = ["metrics", "traces"].map(|signal| NAMES.map(|name| (signal, name.to_owned())));
    assert_eq!(seen, expected.into_iter().flatten().collect());
    for name in NAMES {
        let log = fleet.service(name).text();
        assert!(!log.contains("hush"), "{name}: {log}");
    }
}

#[test]
fn a_disabled_sdk_exports_nothing() {
    needs!("redis-server");
    let collector = Collector::start();
    run_with(&[("OTEL_SDK_DISABLED", "true")], &collector);
    assert!(collector.exports().is_empty(), "{:?}", collector.exports());
}
