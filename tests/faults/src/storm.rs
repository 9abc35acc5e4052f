//! Injects faults into a deployment, several at a time, and observes the progress of the run.

use crate::deck::{Dice, Fault};
use crate::fleet::{Fleet, GRACE, SAMPLES};
use crate::process::Process;
use crate::proxy::Proxy;
use crate::rogue::{Receipts, Rogue, Twist, is_fair, meaningless, noise};
use ddpo_delivery::destination::Destination;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Time between two checks of the deployment.
const LOOK: Duration = Duration::from_millis(10);

/// A service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    Learner,
    Rewarder(usize),
    Sampler(usize),
}

/// An action due later.
#[derive(Clone, Copy, Debug)]
enum Later {
    Start(Who),
    Resume(Who),
    StartRedis,
}

/// The progress of the run.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    epoch: u32,
    since: Instant,
    /// The longest time without a completed epoch.
    pub longest: Duration,
}

impl Progress {
    fn new(fleet: &Fleet) -> Self {
        Self { epoch: fleet.state().epoch, since: Instant::now(), longest: Duration::ZERO }
    }

    fn look(&mut self, fleet: &Fleet) {
        self.longest = self.longest.max(self.since.elapsed());
        let epoch = fleet.state().epoch;
        if epoch != self.epoch {
            (self.epoch, self.since) = (epoch, Instant::now());
        }
    }
}

/// A client's task, with what it sends and where.
type Stranger = (Twist, Destination, JoinHandle<Result<Receipts, String>>);

/// The injection of faults.
#[derive(Debug)]
pub struct Storm<'a> {
    /// The deployment.
    pub fleet: &'a mut Fleet,
    /// Faults made.
    pub made: BTreeMap<Fault, u32>,
    /// The progress of the run.
    pub progress: Progress,
    /// Receipts of third-party clients by verdict.
    pub strangers: Receipts,
    /// Clients' streams that ended early.
    pub broken_off: Vec<String>,
    /// Unexpected events; empty if the test passes.
    pub wrong: Vec<String>,
    dice: Dice,
    later: Vec<(Instant, Later)>,
    ending: Vec<(Who, Instant)>,
    talks: Vec<Stranger>,
    log: File,
    began: Instant,
}

impl<'a> Storm<'a> {
    /// Prepares the injection of faults, which are logged to `log`.
    ///
    /// # Panics
    /// If the log cannot be written.
    pub fn new(fleet: &'a mut Fleet, seed: u64, log: &Path) -> Self {
        Self {
            progress: Progress::new(fleet),
            fleet,
            made: BTreeMap::new(),
            strangers: Receipts::new(),
            broken_off: Vec::new(),
            wrong: Vec::new(),
            dice: Dice::new(seed),
            later: Vec::new(),
            ending: Vec::new(),
            talks: Vec::new(),
            log: File::create(log).expect("the test's folder is writable"),
            began: Instant::now(),
        }
    }

    /// Injects all faults with pauses of `from` to `to` milliseconds between them, and waits until all stopped
    /// or killed processes run again.
    pub fn blow(&mut self, mut faults: Vec<Fault>, (from, to): (u64, u64)) {
        let mut next = Instant::now();
        loop {
            self.look();
            if Instant::now() >= next
                && let Some(fault) = faults.pop()
            {
                match self.make(fault) {
                    Some(what) => self.note(fault, &what),
                    // The target is down: try again later.
                    None => faults.insert(self.dice.below(faults.len() + 1), fault),
                }
                next = Instant::now() + self.dice.between(from, to);
            }
            let busy = !(self.later.is_empty() && self.ending.is_empty() && self.talks.is_empty());
            if faults.is_empty() && !busy {
                return;
            }
            std::thread::sleep(LOOK);
        }
    }

    /// Waits until `epochs` more epochs are complete, for at most `patience`. Returns whether they are.
    pub fn calm(&mut self, epochs: u32, patience: Duration) -> bool {
        let (goal, deadline) = (self.progress.epoch + epochs, Instant::now() + patience);
        while self.progress.epoch < goal && Instant::now() < deadline {
            self.look();
            std::thread::sleep(LOOK);
        }
        self.progress.epoch >= goal
    }

    /// Returns the faults by kind. A corruption counts when a state was hit.
    pub fn counts(&self) -> BTreeMap<Fault, u32> {
        let mut made = self.made.clone();
        let to_rewarders = self.fleet.to_rewarders.iter().map(Proxy::corrupted).sum();
        made.insert(Fault::CorruptToRewarder, to_rewarders);
        made.insert(Fault::CorruptToLearner, self.fleet.to_learner.corrupted());
        made
    }

    fn note(&mut self, fault: Fault, what: &str) {
        *self.made.entry(fault).or_default() += 1;
        let (at, epoch) = (self.began.elapsed().as_millis(), self.progress.epoch);
        // The log is only for people, so errors are ignored.
        let _ = writeln!(self.log, "{at:7} ms, epoch {epoch:5}: {fault:?} {what}");
    }

    fn look(&mut self) {
        self.fleet.look_after();
        self.progress.look(self.fleet);
        let now = Instant::now();
        let due: Vec<Later> =
            self.later.extract_if(.., |later| later.0 <= now).map(|l| l.1).collect();
        for later in due {
            match later {
                Later::Start(who) => self.process(who).start(),
                Later::Resume(who) => self.process(who).resume(),
                Later::StartRedis => self.fleet.redis.start_again(),
            }
        }
        for (who, since) in std::mem::take(&mut self.ending) {
            self.await_end(who, since);
        }
        self.hear_strangers();
    }

    fn await_end(&mut self, who: Who, since: Instant) {
        let process = self.process(who);
        let (name, words) = (process.name.clone(), process.last_words());
        match process.ended() {
            Some(status) => {
                process.start();
                if !status.success() {
                    self.wrong.push(format!("{name}: exited with {status} after SIGTERM: {words}"));
                }
            }
            None if since.elapsed() > GRACE + Duration::from_secs(3) => {
                process.kill();
                process.start();
                self.wrong.push(format!("{name}: did not exit after SIGTERM: {words}"));
            }
            None => self.ending.push((who, since)),
        }
    }

    fn hear_strangers(&mut self) {
        for (twist, destination, talk) in std::mem::take(&mut self.talks) {
            if !talk.is_finished() {
                self.talks.push((twist, destination, talk));
                continue;
            }
            match self.fleet.runtime.block_on(talk) {
                Ok(Ok(receipts)) => self.judge(twist, destination, &receipts),
                Ok(Err(reason)) => self.broken_off.push(reason),
                Err(panic) => self.wrong.push(format!("a client panicked: {panic}")),
            }
        }
    }

    fn judge(&mut self, twist: Twist, destination: Destination, receipts: &Receipts) {
        let through_rewarder = destination == Destination::Rewarder;
        for (&verdict, &count) in receipts {
            *self.strangers.entry(verdict).or_default() += count;
            let right = match twist {
                // Behind a rewarder, a corruption on the way to the learner may hit it.
                Twist::None => is_fair(verdict) || verdict == "invalid" && through_rewarder,
                _ => verdict != "accepted",
            };
            if !right {
                self.wrong.push(format!("a client's {twist:?} trajectory was {verdict}"));
            }
        }
    }

    /// Injects a fault and describes it. Returns `None` if the fault is impossible at the moment.
    fn make(&mut self, fault: Fault) -> Option<String> {
        use Fault as F;
        let who = match fault {
            F::KillSampler | F::PauseSampler | F::TermSampler => {
                Some(Who::Sampler(self.dice.below(4)))
            }
            F::KillRewarder | F::PauseRewarder | F::TermRewarder => {
                Some(Who::Rewarder(self.dice.below(2)))
            }
            F::KillLearner | F::PauseLearner | F::TermLearner => Some(Who::Learner),
            _ => None,
        };
        if who.is_some_and(|who| !self.process(who).is_up()) {
            return None;
        }
        match (fault, who) {
            (F::KillSampler | F::KillRewarder | F::KillLearner, Some(who)) => self.kill(who),
            (F::PauseSampler | F::PauseRewarder | F::PauseLearner, Some(who)) => self.pause(who),
            (_, Some(who)) => {
                self.process(who).terminate();
                self.ending.push((who, Instant::now()));
                Some(format!("{who:?}"))
            }
            (F::KillRedis, None) => self.kill_redis(),
            (F::FlushRedis, None) => {
                self.fleet.redis.is_up().then(|| self.fleet.redis.flush_all())?;
                Some(String::new())
            }
            (F::CutToRewarder | F::CutToLearner, None) => {
                let proxy = self.proxy(fault == F::CutToRewarder);
                let cut = proxy.cut();
                (cut > 0).then(|| format!("{cut} connections of {}", proxy.uri()))
            }
            (F::CorruptToRewarder | F::CorruptToLearner, None) => {
                let proxy = self.proxy(fault == F::CorruptToRewarder);
                proxy.corrupt(1);
                Some(proxy.uri())
            }
            (F::DuplicateToRewarder, None) => self.stranger(Destination::Rewarder, Twist::None),
            (F::DuplicateToLearner, None) => self.stranger(Destination::Learner, Twist::None),
            (_, None) => self.garbage(),
        }
    }

    fn kill(&mut self, who: Who) -> Option<String> {
        let pause = self.dice.between(20, 500);
        self.process(who).kill();
        self.later.push((Instant::now() + pause, Later::Start(who)));
        Some(format!("{who:?} for {pause:?}"))
    }

    fn pause(&mut self, who: Who) -> Option<String> {
        // Some pauses exceed the lease (two seconds) and the claims of orders (one second).
        let longest = if who == Who::Learner { 3500 } else { 1800 };
        let pause = self.dice.between(50, longest);
        self.process(who).stop();
        self.later.push((Instant::now() + pause, Later::Resume(who)));
        Some(format!("{who:?} for {pause:?}"))
    }

    fn kill_redis(&mut self) -> Option<String> {
        if !self.fleet.redis.is_up() {
            return None;
        }
        let pause = self.dice.between(20, 1500);
        self.fleet.redis.kill();
        self.later.push((Instant::now() + pause, Later::StartRedis));
        Some(format!("for {pause:?}"))
    }

    /// Starts a client that sends eight valid trajectories twice each, or one invalid trajectory.
    fn stranger(&mut self, destination: Destination, twist: Twist) -> Option<String> {
        let address = self.address(destination)?;
        let first = self.dice.below(SAMPLES as usize - 8) as u32;
        let (count, times) = if twist == Twist::None { (8, 2) } else { (1, 1) };
        let rogue = Rogue {
            destination,
            address,
            epoch: self.progress.epoch,
            samples: (first..first + count).collect(),
            twist,
            times,
        };
        self.talks.push((twist, destination, self.fleet.runtime.spawn(rogue.run())));
        Some(format!("{twist:?} to the {destination}, samples from {first}"))
    }

    fn garbage(&mut self) -> Option<String> {
        let destination = [Destination::Rewarder, Destination::Learner][self.dice.below(2)];
        match self.dice.below(5) {
            0 => self.stranger(Destination::Learner, Twist::Weights),
            1 => self.stranger(Destination::Learner, Twist::Sample),
            2 => {
                let address = self.address(destination)?;
                let talk = async move {
                    meaningless(destination, address).await.map(|()| Receipts::new())
                };
                self.talks.push((Twist::None, destination, self.fleet.runtime.spawn(talk)));
                Some(format!("a frame for an unopened slot to the {destination}"))
            }
            3 => {
                noise(self.address(destination)?);
                Some(format!("random bytes to the {destination}"))
            }
            _ => self.stranger(destination, Twist::Checksum),
        }
    }

    fn address(&mut self, destination: Destination) -> Option<SocketAddr> {
        let who = match destination {
            Destination::Rewarder => Who::Rewarder(self.dice.below(2)),
            Destination::Learner => Who::Learner,
        };
        let process = self.process(who);
        process.is_up().then(|| process.listening()).flatten()
    }

    fn proxy(&mut self, to_rewarder: bool) -> Proxy {
        match to_rewarder {
            true => self.fleet.to_rewarders[self.dice.below(2)].clone(),
            false => self.fleet.to_learner.clone(),
        }
    }

    fn process(&mut self, who: Who) -> &mut Process {
        match who {
            Who::Learner => &mut self.fleet.learner,
            Who::Rewarder(index) => &mut self.fleet.rewarders[index],
            Who::Sampler(index) => &mut self.fleet.samplers[index],
        }
    }
}
