//! The model card of a finetuned checkpoint.

use crate::card::base::BaseModel;
use crate::card::comparison::Comparison;
use crate::card::front_matter::front_matter;
use crate::card::markdown::{code, shell_word, table, title};
use crate::card::usage::{self, Sampling};
use crate::embedded;
use crate::model_card::{ModelCard, PICTURE};
use crate::settings::Settings;
use ddpo_algorithm::config::{ForwardWeighting, Objective, RewardScale, TrustRegion};
use ddpo_diffusion::scheduler::SchedulerKind;
use ddpo_rollout::classes::ClassList;
use ddpo_rollout::reward::{RewardExpression, RewardSource};
use ddpo_rollout::trajectory::StateShape;
use std::cell::Cell;
use toml::{Table, Value};

/// The contents of a finetuned checkpoint's card.
#[derive(Debug)]
pub struct Finetuning<'a> {
    /// The base model.
    pub base: &'a BaseModel,
    /// The settings, without paths.
    pub settings: &'a Settings,
    /// The reward that was maximised.
    pub reward: &'a RewardExpression,
    /// The held-out rewards of the evaluations.
    pub held_out: &'a [RewardExpression],
    /// Height, width and channels of the images.
    pub shape: StateShape,
    /// Number of classes of a class-conditional model.
    pub classes: Option<i64>,
    /// Epochs of training.
    pub epoch: u32,
    /// The command that trained the checkpoint.
    pub command: Command,
    /// The comparison of two evaluations, if the run has two.
    pub comparison: Option<Comparison<'a>>,
}

/// A command that trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Command {
    /// A whole run.
    Train,
    /// One epoch on a recorded batch.
    Replay,
}

impl Finetuning<'_> {
    /// Returns the card.
    pub fn card(&self) -> ModelCard {
        let sampling = Sampling {
            steps: self.settings.num_inference_steps,
            eta: (self.settings.scheduler == SchedulerKind::Ddim).then_some(self.settings.eta),
            averaged: self.settings.ema_decay.is_some(),
            classes: self.settings.class_labels.clone().or_else(|| self.all_classes()),
        };
        let sections = [
            self.opening(),
            self.results(),
            usage::section(&sampling),
            self.making(),
            self.limits(),
        ];
        let text = front_matter(self.base, &[]) + &sections.join("\n");
        let picture = self.comparison.as_ref().and_then(|found| found.picture().cloned());
        ModelCard { text, picture }
    }

    /// Returns the text of the reward, without the addresses of reward servers.
    /// What bounds the change of the policy within an epoch.
    fn bound(&self) -> String {
        let settings = self.settings;
        let has_ratio = settings.objective != Objective::Forward
            || settings.forward_weighting == ForwardWeighting::Advantage;
        match settings.trust_region {
            _ if !has_ratio => format!("the old policy, beta = {}", settings.forward_beta),
            TrustRegion::Clip => format!("a ratio within 1 ± {:e}", settings.clip_ratio()),
            TrustRegion::Kl => format!("a KL of {} nats a step", settings.kl_limit),
        }
    }

    /// Returns all classes of a class-conditional model.
    fn all_classes(&self) -> Option<ClassList> {
        self.classes.and_then(|count| u32::try_from(count).ok()).map(ClassList::all)
    }

    fn reward(&self) -> String {
        shown(self.reward)
    }

    fn opening(&self) -> String {
        let StateShape { channels, height, width } = self.shape;
        let base = match &self.base.repository {
            Some(name) if *name == self.base.name => {
                format!("[{name}](https://huggingface.co/{name})")
            }
            Some(origin) => format!("{} (made from {})", code(&self.base.name), code(origin)),
            None if self.base.name == embedded::NAME => {
                format!(
                    "{}, the small model of drawn faces that is part of ddpo,",
                    code(embedded::NAME)
                )
            }
            None => code(&self.base.name),
        };
        let start = self.settings.resume_from_ckpt.as_ref();
        let start = start.map_or(String::new(), |from| {
            format!(" The run began with the weights of another checkpoint, {}.", code(from))
        });
        let (samples, reward) = (self.settings.num_samples_per_epoch, code(&self.reward()));
        let epochs = match self.epoch {
            1 => "1 epoch".to_owned(),
            epochs => format!("{epochs} epochs"),
        };
        let kind = match self.classes {
            Some(classes) => format!("A class-conditional ({classes} classes)"),
            None => "An unconditional".to_owned(),
        };
        format!(
            "# {} finetuned for {}\n\n\
             {kind} DDPM of {width}x{height} images ({channels} channels): {base} finetuned by \
             reinforcement learning with DDPO ([Black et al. 2023](https://arxiv.org/abs/2305.13301)) so that its samples score higher \
             under the reward {reward}: {epochs} of {samples} samples each.{start}\n",
            title(&self.base.name),
            title(&self.reward()),
        )
    }

    fn results(&self) -> String {
        let heading = "## Before and after\n\n";
        let Some(comparison) = &self.comparison else {
            return format!("{heading}This checkpoint has not been evaluated.\n");
        };
        let Settings { num_eval_samples: n, eval_rnd_seed: seed, .. } = self.settings;
        let held_out: Vec<(String, String)> =
            self.held_out.iter().map(|one| (one.held_out_name(), shown(one))).collect();
        let picture = match comparison.picture() {
            Some(_) => format!("![The same noise before and after]({PICTURE})\n\n"),
            None => String::new(),
        };
        let late = match comparison.epoch() == self.epoch {
            true => String::new(),
            false => format!(
                " The last evaluation was after epoch {}, the checkpoint is from after epoch {}.",
                comparison.epoch(),
                self.epoch
            ),
        };
        let rewards = comparison.rewards(&self.reward(), &held_out);
        format!(
            "{heading}{picture}{rewards}\n\
             Mean ± standard deviation over {n} samples from the same noise before and after (seed \
             {seed}, {}); the interval is a bootstrap of the paired differences.{late}\n",
            self.steps()
        )
    }

    fn steps(&self) -> String {
        let Settings { num_inference_steps: steps, eta, .. } = self.settings;
        match self.settings.scheduler {
            SchedulerKind::Ddim => format!("{steps} steps of DDIM, eta {eta}"),
            SchedulerKind::Ddpm => format!("{steps} steps of DDPM"),
        }
    }

    fn making(&self) -> String {
        let settings = self.settings;
        let rates = match settings.initial_lr == settings.peak_lr {
            true => format!("{:e}, constant", settings.peak_lr),
            false => format!("{:e} to {:e}, then a cosine", settings.initial_lr, settings.peak_lr),
        };
        let scale = match settings.reward_scale {
            RewardScale::Raw => "",
            RewardScale::Normalised => ", each term standardised",
        };
        let own = table_of(settings);
        let named = |key: &str| own.get(key).map_or_else(|| "none".into(), plain);
        let rows: Vec<Vec<String>> = [
            ("reward", format!("{}{scale}", code(&self.reward()))),
            ("denoising", self.steps()),
            ("samples an epoch", settings.num_samples_per_epoch.to_string()),
            ("mini-batch", settings.batch_size.to_string()),
            ("objective", named("objective")),
            ("advantages over", named("advantage")),
            ("change of the policy bounded by", self.bound()),
            ("learning rate", rates),
            ("pull to the base (kl_coef)", settings.kl_coef.to_string()),
            ("averaged weights (ema_decay)", named("ema_decay")),
            ("UNet runs in", named("dtype")),
            ("seed", settings.run_seed.to_string()),
        ]
        .map(|(name, value)| vec![name.to_owned(), value])
        .to_vec();
        format!(
            "## How it was made\n\n{}\nWith ddpo {}:\n\n```sh\n{}\n```\n\n{}\n",
            table(&["setting", "value"], &rows),
            env!("CARGO_PKG_VERSION"),
            self.command_line(),
            self.repeatability()
        )
    }

    fn repeatability(&self) -> &'static str {
        match (self.command, self.settings.max_staleness) {
            (Command::Replay, _) => "One epoch of updates on a recorded batch, the file above.",
            (Command::Train, 0) => {
                "The same command gives bit-identical weights on the same kind of hardware with the \
                 same number of threads."
            }
            (Command::Train, _) => {
                "The samplers ran ahead of the updates, which needs the services (ddpo-learner, \
                 ddpo-rewarder, ddpo-sampler) instead of one process."
            }
        }
    }

    /// Returns the command, with the settings that differ from the defaults.
    fn command_line(&self) -> String {
        let mut words = vec![match (self.command, self.settings.max_staleness) {
            (Command::Replay, _) => "ddpo replay --batch BATCH.safetensors --out FOLDER".to_owned(),
            (Command::Train, 0) => "ddpo train --output-dir FOLDER".to_owned(),
            (Command::Train, _) => "ddpo-learner --output-dir FOLDER".to_owned(),
        }];
        words.extend(flags(self.settings));
        words.join(" \\\n  ")
    }

    fn limits(&self) -> String {
        let licence = match (&self.base.licence, &self.base.repository) {
            (Some(_), _) => "The licence is the base model's.".to_owned(),
            (None, Some(name)) => format!(
                "The licence of the base model is unknown: its card was not available or states none. \
                 Ask the authors of {} before you distribute this model.",
                code(name)
            ),
            (None, None) => {
                "The base model states no licence: ask its authors before you distribute this model."
                    .to_owned()
            }
        };
        let server = match self.reward().contains(SERVER) {
            true => "- The reward came from a private reward server; the command needs one, too.\n",
            false => "",
        };
        format!(
            "## Limits\n\n\
             - The model was optimised for this reward alone. A higher reward does not mean better images: \
             diversity decreases, and qualities that the reward does not measure may have got worse.\n\
             - It has the weaknesses and biases of the base model and of the reward.\n\
             - The numbers hold for {}; with other steps they differ.\n\
             {server}- {licence}\n",
            self.steps()
        )
    }
}

/// The name of a reward server in a card.
const SERVER: &str = "grpc://HOST:PORT";

/// Returns the text of a reward for readers. Addresses of reward servers are left out, because
/// cards are published.
fn shown(reward: &RewardExpression) -> String {
    let servers = Cell::new(0);
    reward.written_with(|source| match source {
        // Terms must differ, so the servers after the first are numbered.
        RewardSource::Servers(_) => match servers.replace(servers.get() + 1) {
            0 => SERVER.to_owned(),
            number => format!("{SERVER}{}", number + 1),
        },
        other => other.label(),
    })
}

fn table_of(settings: &Settings) -> Table {
    Table::try_from(settings).unwrap_or_default()
}

/// Formats a value for a flag.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Returns a flag for every setting that differs from its default.
fn flags(settings: &Settings) -> Vec<String> {
    let (defaults, mut given) = (table_of(&Settings::default()), table_of(settings));
    given.remove("output_dir");
    let changed = given.into_iter().filter(|(key, value)| defaults.get(key) != Some(value));
    changed.filter_map(|(key, value)| flag(settings, &key, &value)).collect()
}

fn flag(settings: &Settings, key: &str, value: &Value) -> Option<String> {
    let name = key.replace('_', "-");
    let text = match (key, value) {
        (_, Value::Boolean(false)) => return None,
        (_, Value::Boolean(true)) => return Some(format!("--{name}")),
        ("reward", _) => shown(settings.reward.as_ref()?),
        ("eval_reward", _) => {
            settings.eval_reward.as_ref()?.0.iter().map(shown).collect::<Vec<_>>().join(",")
        }
        ("class_labels", _) => settings.class_labels.as_ref()?.to_string(),
        (_, value) => plain(value),
    };
    Some(format!("--{name} {}", shell_word(&text)))
}
