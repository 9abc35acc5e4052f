//! The live page: works in a browser during a run, requires the token, and serves fifty viewers without
//! waiting for any of them.

use ddpo_test_tools::{leaves_out, needs};
use ddpo_tests::live::{Event, Viewer, ask, get, get_by_tls, open};
use ddpo_tests::services::certificates::Authority;
use ddpo_tests::services::process::Role;
use ddpo_tests::services::{Fleet, FleetConfig, PATIENCE, toy, until};
use ddpo_tests::{Workshop, report, run, tree};
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

/// Exit status of `browse_live.py` without a browser.
const NO_BROWSER: i32 = 77;

/// What `ddpo train` says before the page's address.
const SAYS: &str = "live page: ";

/// The number of viewers that a page must serve.
const VIEWERS: usize = 50;

/// The largest number of viewers of a page.
const MOST: usize = 64;

const TOKEN: &str = "page-token-0123456789abcdef";

/// Returns the address of a learner's page.
fn page(fleet: &mut Fleet, learner: &str) -> String {
    let line = until("the page", || fleet.service(learner).line("the live page is served"));
    line["address"].as_str().unwrap().to_owned()
}

/// Counts the points of the reward curve in the wide plot.
fn epochs(run: &Value) -> usize {
    let head = run["head"].as_str().unwrap();
    let wide = head.split("<svg class=\"plot narrow\"").next().unwrap();
    wide.matches("training reward").count()
}

#[test]
fn a_browser_shows_the_progress_of_a_run() {
    let workshop = Workshop::new();
    let flags = run::short(&[
        "--ddpm-ckpt=toy-faces-32",
        "--num-epochs=5000",
        "--num-inference-steps=10",
        "--initial-lr=1e-6",
        "--peak-lr=1e-6",
        "--eval-every-each-epoch=10",
        "--checkpoint-every=10",
        "--dashboard=127.0.0.1:0",
    ]);
    let mut running = workshop.start(&flags);
    let address = running.said_after(SAYS);
    let (code, printed) =
        report::script("browse_live.py", &[Path::new(&address), &workshop.path("shots")]);
    match code {
        Some(NO_BROWSER) => leaves_out!("chromium"),
        code => assert_eq!(code, Some(0), "{printed}"),
    }
    let mut viewer = Viewer::watch(&address, "");
    viewer.until("run", |run| epochs(run) > 0);
    running.signal("INT");
    viewer.until("now", |now| now["ended"] == "was interrupted");
    assert_eq!(running.end().code, Some(130));
    assert_eq!(viewer.event(), None, "the stream ends with the process");
}

/// Counts the members of a fleet with this role.
fn count(members: &Value, role: &str) -> usize {
    members.as_array().unwrap().iter().filter(|one| one["role"] == role).count()
}

#[test]
fn fifty_viewers_see_three_samplers_beside_a_viewer_that_never_reads() {
    needs!("redis-server");
    let mut fleet = Fleet::new(FleetConfig {
        learner: "lease_seconds = 2.0\ndashboard_listen = \"127.0.0.1:0\"".into(),
        environment: vec![("DDPO_SERVICE_TOKEN".into(), TOKEN.into())],
        ..FleetConfig::default()
    });
    fleet.learner("learner", &[]);
    let address = page(&mut fleet, "learner");
    let key = format!("authorization: Bearer {TOKEN}\r\n");
    let asleep = open(&address, &key);
    let viewers: Vec<_> = (0..VIEWERS)
        .map(|_| {
            let (address, key) = (address.clone(), key.clone());
            std::thread::spawn(move || {
                let mut viewer = Viewer::watch(&address, &key);
                let (mut samplers, mut mover) = (0, None);
                // Accepts any order, because a short run may end soon after its samplers have reported.
                while let Some(Event { topic, data }) = viewer.event() {
                    match topic.as_str() {
                        "fleet" => samplers = samplers.max(count(&data, "sampler")),
                        "playback-0" if data["done"].as_u64() > Some(0) => {
                            mover = data["worker"].as_str().map(str::to_owned);
                        }
                        "now" if data["ended"] == "is finished" => return (samplers, mover),
                        _ => {}
                    }
                }
                panic!("the stream ended before the run: {samplers} samplers, moved by {mover:?}")
            })
        })
        .collect();
    fleet.rewarder("rewarder");
    ["sampler-1", "sampler-2", "sampler-3"].into_iter().for_each(|name| fleet.sampler(name));
    fleet.finishes("learner");
    for viewer in viewers {
        let (samplers, mover) = viewer.join().unwrap();
        assert_eq!(samplers, 3);
        assert!(mover.is_some_and(|worker| worker.starts_with("sampler-")));
    }
    drop(asleep);
    // Viewers do not change the result.
    tree::assert_same(toy::expected(), &toy::checkpoint(fleet.folder()));
    for (path, text) in fleet.logs() {
        assert!(!text.contains(TOKEN), "the token is in {}", path.display());
    }
}

/// Returns a learner that waits for samplers, and the address of its page.
fn waiting(token: bool) -> (Fleet, String) {
    let token = token.then(|| ("DDPO_SERVICE_TOKEN".to_owned(), TOKEN.to_owned()));
    let config = FleetConfig::fake(3, 16, 5);
    let mut fleet = Fleet::new(FleetConfig {
        learner: format!("{}\ndashboard_listen = \"127.0.0.1:0\"", config.learner),
        environment: token.into_iter().collect(),
        ..config
    });
    fleet.learner("learner", &[]);
    let address = page(&mut fleet, "learner");
    (fleet, address)
}

#[test]
fn only_the_token_opens_the_page() {
    needs!("redis-server");
    let (_fleet, address) = waiting(true);
    for path in ["/", "/events", "/elsewhere"] {
        let refused = get(&address, path);
        assert_eq!(refused.status, 401, "{path}");
        assert!(refused.head.contains("www-authenticate: bearer"), "{}", refused.head);
        assert!(!refused.body.contains("id=\"fleet\"") && !refused.body.contains("event:"));
    }
    assert!(get(&address, "/events").body.starts_with("expected the token: as `authorization"));
    let bearer = |token: &str| format!("authorization: Bearer {token}\r\n");
    assert_eq!(ask(&address, "GET /", &bearer(TOKEN), "").status, 200);
    assert_eq!(ask(&address, "GET /", &bearer(&TOKEN.to_uppercase()), "").status, 401);
    // A browser sends the token once, in the address or in the form, and then has a cookie.
    let wrong = get(&address, "/?token=page-token-0123456789abcdeF");
    assert!(wrong.status == 401 && wrong.body.contains("Wrong token."), "{wrong:?}");
    let form = format!("token={TOKEN}");
    for right in [get(&address, &format!("/?{form}")), ask(&address, "POST /", "", &form)] {
        assert_eq!(right.status, 303);
        assert!(right.head.contains("\r\nlocation: /\r\n"), "{}", right.head);
        let (_, cookie) = right.head.split_once("set-cookie: ").unwrap();
        assert!(!cookie.contains(TOKEN) && cookie.contains("; httponly; samesite=lax"));
        let pass = format!("cookie: {}\r\n", cookie.split(';').next().unwrap());
        assert_eq!(ask(&address, "GET /", &pass, "").status, 200);
        let mut viewer = Viewer::watch(&address, &pass);
        viewer.until("fleet", |members| members[0]["role"] == "learner");
    }
}

#[test]
fn with_a_certificate_the_page_is_served_only_over_tls() {
    needs!("redis-server");
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let pair = authority.sign(folder.path(), "services");
    let stranger = Authority::new(folder.path(), "stranger").file;
    let config = FleetConfig::fake(3, 16, 5);
    let ca = authority.file.clone();
    let mut fleet = Fleet::in_folder(
        FleetConfig {
            // An address that is not loopback requires token and TLS.
            learner: format!("{}\ndashboard_listen = \"0.0.0.0:0\"", config.learner),
            service: format!(
                "tls_cert = {:?}\ntls_key = {:?}\ntls_ca = {ca:?}",
                pair.certificate, pair.key
            ),
            environment: vec![("DDPO_SERVICE_TOKEN".into(), TOKEN.into())],
            ..config
        },
        folder,
    );
    fleet.learner("learner", &[]);
    let address = page(&mut fleet, "learner");
    assert!(address.starts_with("https://127.0.0.1:"), "{address}");
    let bearer = format!("authorization: Bearer {TOKEN}\r\n");
    assert!(get_by_tls(&address, &ca, "").unwrap().starts_with("HTTP/1.1 401"));
    assert!(get_by_tls(&address, &ca, &bearer).unwrap().starts_with("HTTP/1.1 200"));
    assert!(get_by_tls(&address, &stranger, &bearer).is_err());
    let place = address.trim_start_matches("https://").trim_end_matches('/');
    let mut plain = TcpStream::connect(place).unwrap();
    plain.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(plain, "GET / HTTP/1.1\r\nhost: {place}\r\n{bearer}\r\n").unwrap();
    let mut answer = Vec::new();
    // The answer is a TLS alert or the end of the stream.
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn rejects_unknown_paths_methods_hosts_and_too_many_viewers() {
    needs!("redis-server");
    let (mut fleet, address) = waiting(false);
    let page = get(&address, "/");
    assert_eq!(page.status, 200);
    let policy = "content-security-policy: default-src 'none'; img-src data:";
    assert!(page.head.contains(policy), "{}", page.head);
    let missing = get(&address, "/run");
    assert_eq!((missing.status, missing.body.as_str()), (404, "expected / or /events\n"));
    for method in ["POST", "PUT", "DELETE"] {
        let refused = ask(&address, &format!("{method} /"), "", "");
        assert_eq!(refused.status, 405);
        assert!(refused.head.contains("\r\nallow: get,head\r\n"), "{}", refused.head);
        assert_eq!(refused.body, "GET only: the page is read-only\n");
    }
    assert_eq!(other_host(&address, "rebound.example"), 421);

    let viewers: Vec<Viewer> = (0..MOST).map(|_| Viewer::watch(&address, "")).collect();
    let refused = get(&address, "/events");
    let line =
        "too many viewers: expected at most 64 at one time; hint: close a page, and try again\n";
    assert_eq!((refused.status, refused.body.as_str()), (503, line));
    assert_eq!(get(&address, "/").status, 200, "the page itself does not count as a viewer");
    drop(viewers);
    until("a place", || Some(()).filter(|()| viewer_fits(&address)));

    // If the port is taken, service and `ddpo train` print the same error.
    let taken = address.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let dashboard = format!("--dashboard-listen={taken}");
    fleet.start(Role::Learner, "second", &["--standby", &dashboard]);
    assert!(!fleet.service("second").ends().success());
    let said = fleet.service("second").text();
    let line = format!("error: dashboard_listen = {taken}: Address already in use");
    assert!(said.lines().any(|said| said.starts_with(&line)), "{said}");
    let workshop = Workshop::new();
    let flag = format!("--dashboard={taken}");
    let refused = workshop.ddpo(&run::short(&[&flag]));
    assert!(
        refused.refused().starts_with(&format!("--dashboard = {taken}: Address already in use"))
    );
    let refused = workshop.ddpo(&run::short(&["--dashboard=0.0.0.0:0"]));
    assert!(refused.refused().contains("needs a token, and tls_cert and tls_key"), "{refused}");
    assert!(!workshop.path("run/run.toml").exists(), "the run started");
}

/// Returns the status of a request with another `Host`.
fn other_host(address: &str, host: &str) -> u16 {
    let place = address.trim_start_matches("http://").trim_end_matches('/');
    let mut stream = TcpStream::connect(place).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    write!(stream, "GET / HTTP/1.1\r\nhost: {host}\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    text.split(' ').nth(1).unwrap().parse().unwrap()
}

/// Returns whether the page accepts another viewer.
fn viewer_fits(address: &str) -> bool {
    let mut stream = open(address, "");
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    head == *b"HTTP/1.1 200"
}

#[test]
fn a_restarted_learner_shows_the_history_and_closes_its_streams_on_sigterm() {
    needs!("redis-server");
    // The port is the same after the restart.
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut fleet = Fleet::new(FleetConfig {
        run: toy::RUN.replace("num_epochs = 3", "num_epochs = 500"),
        ..FleetConfig::default()
    });
    fleet.learner("learner", &[&format!("--dashboard-listen={port}")]);
    fleet.rewarder("rewarder");
    fleet.sampler("sampler");
    let address = page(&mut fleet, "learner");
    let mut viewer = Viewer::watch(&address, "");
    let shown = viewer.until("run", |run| epochs(run) >= 2);
    assert!(shown["images"].as_str().unwrap().contains("Same noise, before and after"));
    assert!(shown["training"].as_str().unwrap().contains("id=\"figure-clip-fraction\""));
    viewer.until("samples", |last| last["samples"].as_array().is_some_and(|all| !all.is_empty()));

    // A second viewer never reads. Neither viewer delays the exit.
    let asleep = open(&address, "");
    let asked = Instant::now();
    assert_eq!(fleet.terminate("learner").code(), Some(0));
    println!("measured: the learner ended {:.2} s after SIGTERM", asked.elapsed().as_secs_f64());
    assert!(asked.elapsed() < Duration::from_secs(20));
    while viewer.event().is_some() {}
    drop(asleep);

    fleet.start_again("learner");
    let mut viewer = Viewer::watch(&page(&mut fleet, "learner"), "");
    let first = viewer.until("run", |_| true);
    assert!(epochs(&first) >= 2, "the history is there before the next epoch");
    viewer.until("run", |run| epochs(run) > epochs(&first));
}

#[test]
fn the_page_shows_trajectories_of_watched_services() {
    needs!("redis-server");
    let mut fleet = Fleet::new(FleetConfig {
        run: toy::RUN.replace("num_epochs = 3", "num_epochs = 500"),
        ..FleetConfig::default()
    });
    fleet.one_of_each();
    let watched = ["sampler", "rewarder"].map(|name| fleet.address(name));
    let watch = format!("--dashboard-watch=http://{},http://{}", watched[0], watched[1]);
    // The standby shows the run while it waits for the lease.
    fleet.learner("second", &["--standby", "--dashboard-listen=127.0.0.1:0", &watch]);
    let mut viewer = Viewer::watch(&page(&mut fleet, "second"), "");
    let members = viewer.until("fleet", |members| {
        let all = members.as_array().unwrap();
        all.iter().filter(|one| one["well"] == true).count() >= 2
    });
    let shown: Vec<_> =
        members.as_array().unwrap().iter().map(|one| (&one["role"], &one["name"])).collect();
    assert!(
        shown.iter().any(|(role, name)| *role == "rewarder" && *name == "rewarder"),
        "{shown:?}"
    );
    let shot = viewer.until("playback-1", |shot| shot["done"].as_u64() > Some(0));
    assert_eq!(shot["worker"], "sampler");
    viewer.until("run", |run| epochs(run) > 0);
}
