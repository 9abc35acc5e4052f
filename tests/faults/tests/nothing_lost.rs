//! Every sample is used exactly once under faults of all services.
//!
//! A test double of the learner orders epochs of 64 samples from four samplers through two rewarders. The
//! first part injects five hundred faults, several at a time: services are killed, stopped and restarted,
//! Redis loses all data, connections are cut, bits of states flip, and third-party clients send duplicates,
//! forgeries and random bytes. Then the test checks:
//!
//! - `fake.json` counts exactly `epochs * samples` trajectories, and its digest over (epoch, sample, reward),
//!   in order, equals that of a run without faults: no sample is missing, counted twice, or has a wrong score
//!   or a flipped bit.
//! - An epoch completes at least once a minute.
//! - No service exits by itself, and each exits within its grace period after SIGTERM.
//!
//! A killed process loses its counters, so a second part compares the counters; its faults kill only Redis.
//! At its end Redis is stopped, so no new orders are issued. When the counters no longer change, they must
//! agree exactly:
//!
//! - sampler: `drawn = accepted + duplicate + stale + invalid` receipts;
//! - rewarder: `received = scored + refused`, `scored = ` receipts from the learner `= answered`;
//! - learner: `received + not admitted = accepted + duplicate + stale + invalid`,
//!   `opened = received + not admitted + malformed + lost`, and `accepted = trained + held`, with at
//!   most an epoch held;
//! - across services: an accepted trajectory whose receipt was lost is sent again and becomes a duplicate,
//!   so with `cut off = accepted by the learner - accepted receipts at the senders`,
//!   `produced = trained + held + duplicate + stale + invalid - cut off`, where `cut off` is between zero
//!   and the number of duplicates.
//!
//! Finally the learner runs five more epochs and exits by itself.
//!
//! `make test-slow` runs this test in about five minutes; `FAULTS_SEED=N` changes the order of the faults.
//! If it fails, the logs of the services and of the faults remain in the folder that it prints.

use ddpo_faults::deck::{Dice, SQUALL, STORM, shuffled};
use ddpo_faults::expected::Undisturbed;
use ddpo_faults::fleet::{Fleet, GRACE, SAMPLES};
use ddpo_faults::inspect::Counters;
use ddpo_faults::rogue::Receipts;
use ddpo_faults::storm::Storm;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const SEED: u64 = 20_261_123;
const RECOVERY: Duration = Duration::from_secs(60);
const FINAL: [&str; 4] = ["accepted", "duplicate", "stale", "invalid"];

#[test]
fn every_sample_is_used_exactly_once_under_faults() {
    let seed = std::env::var("FAULTS_SEED").map_or(SEED, |text| text.parse().unwrap());
    // Remains if the test fails.
    let folder = tempfile::Builder::new().prefix("ddpo-faults-").tempdir().unwrap().keep();
    println!("seed {seed}, logs in {}", folder.display());
    let mut fleet = Fleet::new(&folder);
    storm(&mut fleet, seed, &folder);
    accounts(&mut fleet, seed, &folder);
    last_epochs(&mut fleet);
    assert_eq!(fleet.deaths, Vec::<String>::new(), "services exited by themselves");
    std::fs::remove_dir_all(&folder).unwrap();
}

fn storm(fleet: &mut Fleet, seed: u64, folder: &PathBuf) {
    let began = Instant::now();
    fleet.start();
    let mut storm = Storm::new(fleet, seed, &folder.join("storm.log"));
    let mut dice = Dice::new(seed ^ 1);
    storm.blow(shuffled(STORM, &mut dice), (200, 560));
    let recovered = storm.calm(3, RECOVERY);
    let (made, longest) = (storm.counts(), storm.progress.longest);
    let (strangers, broken_off) = (storm.strangers.clone(), storm.broken_off.len());
    let wrong = std::mem::take(&mut storm.wrong);
    let words: Vec<String> = fleet.processes().map(|one| one.last_words()).collect();
    let ended = fleet.stop();
    let state = fleet.state();
    let faults: u32 = made.values().sum();
    println!(
        "storm: {} trajectories in {} epochs, {faults} faults in {:?}, longest time without an epoch \
         {longest:?}\nfaults: {made:?}\nstrangers: {strangers:?}, {broken_off} broken off",
        state.trained,
        state.epoch,
        began.elapsed(),
    );
    assert_eq!(fleet.deaths, Vec::<String>::new(), "services exited by themselves");
    assert_eq!(wrong, Vec::<String>::new());
    assert!(recovered, "the run does not continue after the faults; last lines: {words:#?}");
    assert_eq!(ended, Ok(()));
    assert!(faults >= 500, "{faults} faults");
    assert!(state.trained >= 10_000, "{} trajectories", state.trained);
    assert!(longest < RECOVERY, "{longest:?} without an epoch");
    assert_eq!(state, Undisturbed::default().run(state.epoch, SAMPLES));
}

fn accounts(fleet: &mut Fleet, seed: u64, folder: &PathBuf) {
    let before = fleet.state().trained;
    fleet.start();
    let mut squall = Storm::new(fleet, seed, &folder.join("squall.log"));
    assert!(squall.calm(3, RECOVERY), "the run does not continue after a restart of all services");
    let mut dice = Dice::new(seed ^ 2);
    squall.blow(shuffled(SQUALL, &mut dice), (200, 700));
    assert!(squall.calm(3, RECOVERY), "the run does not continue after the second part");
    let (wrong, broken_off) = (squall.wrong.clone(), squall.broken_off.clone());
    let (strangers, longest) = (squall.strangers.clone(), squall.progress.longest);
    assert_eq!((wrong, broken_off), (Vec::new(), Vec::new()));
    assert!(longest < RECOVERY, "{longest:?} without an epoch");
    fleet.redis.kill();
    let books = Books::when_quiet(fleet);
    let trained = fleet.state().trained - before;
    fleet.redis.start_again();
    println!("accounts: {trained} trained, longest time without an epoch {longest:?}");
    books.audit(trained, &strangers);
    let mut squall = Storm::new(fleet, seed, &folder.join("calm.log"));
    assert!(squall.calm(3, RECOVERY), "the run does not continue after the outage of Redis");
    assert_eq!(fleet.stop(), Ok(()));
}

fn last_epochs(fleet: &mut Fleet) {
    let epochs = fleet.state().epoch + 5;
    fleet.end_after(epochs);
    fleet.start();
    fleet.learner.end_by(Instant::now() + RECOVERY).unwrap();
    let deadline = Instant::now() + GRACE + Duration::from_secs(3);
    for process in fleet.samplers.iter_mut().chain(&mut fleet.rewarders) {
        process.terminate();
    }
    for process in fleet.samplers.iter_mut().chain(&mut fleet.rewarders) {
        process.end_by(deadline).unwrap();
    }
    assert_eq!(fleet.state(), Undisturbed::default().run(epochs, SAMPLES));
}

/// The counters of all services at one time.
#[derive(Debug, PartialEq)]
struct Books {
    learner: Counters,
    rewarders: Vec<Counters>,
    samplers: Vec<Counters>,
}

impl Books {
    fn of(fleet: &mut Fleet) -> Self {
        let runtime = &fleet.runtime;
        let learner = std::slice::from_mut(&mut fleet.learner);
        Self {
            learner: Fleet::counters(runtime, learner).remove(0),
            rewarders: Fleet::counters(runtime, &mut fleet.rewarders),
            samplers: Fleet::counters(runtime, &mut fleet.samplers),
        }
    }

    /// Waits until the counters no longer change, apart from attempts to connect, and returns them.
    fn when_quiet(fleet: &mut Fleet) -> Self {
        const QUIET: Duration = Duration::from_secs(2);
        let deadline = Instant::now() + RECOVERY;
        let (mut books, mut since) = (Self::of(fleet), Instant::now());
        while since.elapsed() < QUIET {
            assert!(Instant::now() < deadline, "the counters still change: {books:#?}");
            std::thread::sleep(Duration::from_millis(100));
            let now = Self::of(fleet);
            if now != books {
                (books, since) = (now, Instant::now());
            }
        }
        books
    }

    fn audit(&self, trained: u64, strangers: &Receipts) {
        let receipts = |one: &Counters, of: &str| one[&format!("receipts_{of}")];
        let settled = |one: &Counters| FINAL.iter().map(|of| receipts(one, of)).sum::<u64>();
        for sampler in &self.samplers {
            assert_eq!(sampler["trajectories_drawn"], settled(sampler), "{sampler:#?}");
        }
        for rewarder in &self.rewarders {
            let scored = rewarder["trajectories_scored"];
            let received = rewarder["trajectories_received"];
            assert_eq!(received, scored + rewarder["trajectories_refused"], "{rewarder:#?}");
            assert_eq!(scored, settled(rewarder), "{rewarder:#?}");
            assert_eq!(scored, rewarder["receipts_passed_back"], "{rewarder:#?}");
        }
        let learner = &self.learner;
        let decided = |of: &str| learner[&format!("trajectories_{of}")];
        let settled = FINAL.iter().map(|of| decided(of)).sum::<u64>();
        let answered = decided("received") + decided("not_admitted");
        assert_eq!(answered, settled, "{learner:#?}");
        let lost = decided("malformed") + decided("lost");
        assert_eq!(decided("opened"), settled + lost, "{learner:#?}");
        let held = learner["trajectories_accepted"].checked_sub(trained);
        let held = held.filter(|&held| held <= u64::from(SAMPLES));
        let held = held.unwrap_or_else(|| panic!("{trained} trained: {learner:#?}"));

        let drawn: u64 = self.samplers.iter().map(|one| one["trajectories_drawn"]).sum();
        let produced = drawn + strangers.values().sum::<u64>();
        let heard = |of: &str| {
            let samplers: u64 = self.samplers.iter().map(|one| receipts(one, of)).sum();
            samplers + strangers.get(of).copied().unwrap_or(0)
        };
        let [accepted, duplicate, stale, invalid] = FINAL.map(heard);
        let cut_off = decided("accepted").checked_sub(accepted).unwrap();
        assert!(cut_off <= duplicate, "{cut_off} receipts cut off, {duplicate} duplicates");
        let retried = strangers.get("retry_later").copied().unwrap_or(0);
        println!(
            "accounts: {produced} produced = {trained} trained + {held} held + {duplicate} duplicate + \
             {stale} stale + {invalid} invalid + {retried} refused strangers - {cut_off} receipts cut off"
        );
        let used = trained + held + duplicate + stale + invalid + retried;
        assert_eq!(produced + cut_off, used);
    }
}
