//! All metrics: names, labels and meanings. One prefix, base units (seconds, bytes).

use crate::metrics::family::{Counters, Described, Gauges, Histograms};
use opentelemetry::metrics::Meter;

/// Upper bounds for stages that take from a millisecond to ten minutes (seconds).
const SECONDS: &[f64] = &[
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
    120.0, 300.0, 600.0,
];

/// Upper bounds for batch sizes.
const SIZES: &[f64] = &[1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

macro_rules! families {
    (
        counters { $( $(#[doc = $chelp:literal])+ $cfield:ident $cname:literal $clabels:tt; )+ }
        gauges { $( $(#[doc = $ghelp:literal])+ $gfield:ident $gname:literal $glabels:tt; )+ }
        histograms {
            $( $(#[doc = $hhelp:literal])+ $hfield:ident $hname:literal $hlabels:tt $buckets:ident; )+
        }
    ) => {
        /// All families of metrics.
        #[derive(Debug)]
        pub struct Families {
            $( $(#[doc = $chelp])+ pub $cfield: Counters<{ count!($clabels) }>, )+
            $( $(#[doc = $ghelp])+ pub $gfield: Gauges<{ count!($glabels) }>, )+
            $( $(#[doc = $hhelp])+ pub $hfield: Histograms<{ count!($hlabels) }>, )+
        }

        impl Families {
            pub(super) fn new(meter: &Meter) -> Self {
                Self {
                    $( $cfield: Counters::new(
                        meter, described!($cname, $clabels, $($chelp),+),
                    ), )+
                    $( $gfield: Gauges::new(
                        meter, described!($gname, $glabels, $($ghelp),+),
                    ), )+
                    $( $hfield: Histograms::new(
                        meter, described!($hname, $hlabels, $($hhelp),+), $buckets,
                    ), )+
                }
            }

            /// Sets one value in each family.
            #[cfg(test)]
            pub(super) fn touch(&self) {
                $( self.$cfield.inc($clabels); )+
                $( self.$gfield.set($glabels, 1.0); )+
                $( self.$hfield.observe($hlabels, 1.0); )+
            }
        }
    };
}

macro_rules! described {
    ($name:literal, $labels:tt, $($help:literal),+) => {
        Described { name: $name, help: concat!($($help),+).trim_ascii(), labels: $labels }
    };
}

macro_rules! count {
    ([ $($label:literal),* ]) => { <[&str]>::len(&[ $($label),* ]) };
}

families! {
    counters {
        /// Trajectories finished by a stage, by verdict
        trajectories "ddpo_trajectories_total" ["stage", "verdict"];
        /// Bytes of payload, by direction (in or out)
        bytes "ddpo_bytes_total" ["stage", "direction"];
        /// Reconnections to a peer
        reconnects "ddpo_reconnects_total" ["peer"];
        /// Errors, by stage
        errors "ddpo_errors_total" ["stage"];
        /// Work orders, by outcome
        orders "ddpo_orders_total" ["outcome"];
        /// Versions of the weights, published or loaded
        weights "ddpo_weights_total" ["outcome"];
        /// Optimizer steps
        optimizer_steps "ddpo_optimizer_steps_total" [];
        /// Rewards that were rejected because they were not finite
        rewards_not_finite "ddpo_rewards_not_finite_total" [];
    }
    gauges {
        /// Trajectories that may be sent to the next service before it grants more credits
        credits "ddpo_credits" ["stage"];
        /// Trajectories that a stage holds
        in_flight "ddpo_in_flight" ["stage"];
        /// Items waiting in a queue
        queue_depth "ddpo_queue_depth" ["queue"];
        /// Connected peers
        peers "ddpo_peers" ["peer"];
        /// Version of the policy in use
        policy_version "ddpo_policy_version" [];
        /// Versions between the policy that made the newest trajectory and the current one
        staleness "ddpo_staleness_versions" [];
        /// Largest staleness that the run allows: max_staleness
        staleness_bound "ddpo_staleness_bound_versions" [];
        /// Current epoch, from 0
        epoch "ddpo_epoch" [];
        /// Mean reward of the last epoch
        reward_mean "ddpo_reward_mean" [];
        /// Standard deviation of the last epoch's rewards
        reward_std "ddpo_reward_std" [];
        /// Mean reward of the last evaluation
        reward_eval "ddpo_reward_eval_mean" [];
        /// Loss of the last mini-batch
        loss "ddpo_loss" [];
        /// Largest difference of the probability ratio from 1 before an epoch's first update
        ratio_gap "ddpo_ratio_gap" [];
        /// Largest ratio gap at which the learner continues: ratio_tolerance
        ratio_tolerance "ddpo_ratio_tolerance" [];
        /// Share of the ratios that were clipped in the last epoch
        clip_fraction "ddpo_clip_fraction" [];
        /// Mean KL from the pretrained model during the last epoch's updates (nats per transition)
        kl "ddpo_kl_nats" [];
        /// Norm of the gradients of the last mini-batch before clipping
        gradient_norm "ddpo_gradient_norm" [];
        /// 1 if the last epoch taught little or nothing, by cause: constant_reward, zero_gradient,
        /// equal_samples or saturated_samples
        no_signal "ddpo_no_signal" ["cause"];
        /// Share of the pixel levels of the last epoch's samples at 0 or 255
        saturated_fraction "ddpo_saturated_fraction" [];
        /// Learning rate of the last optimizer step
        learning_rate "ddpo_learning_rate" [];
        /// Floating-point operations per second of the last batch or update, by stage (draw or train)
        flops_per_second "ddpo_flops_per_second" ["stage"];
        /// Whether a condition of the service's health is met
        condition "ddpo_condition" ["condition"];
        /// Time of the last checkpoint, or of the run's start (seconds since 1970)
        last_commit "ddpo_last_commit_time_seconds" [];
        /// Memory in use, by kind: resident, a device's tensors (cuda:0), its reserve (cuda:0 reserved)
        memory_bytes "ddpo_memory_bytes" ["kind"];
        /// Start time of the process (seconds since 1970)
        start_time "ddpo_start_time_seconds" [];
        /// Always 1; the label carries the version of the program
        build "ddpo_build_info" ["service", "version"];
    }
    histograms {
        /// Time of a stage for one unit of work (seconds)
        stage_seconds "ddpo_stage_seconds" ["stage"] SECONDS;
        /// Time from an order with new weights until they are loaded (seconds)
        weights_fetch_seconds "ddpo_weights_fetch_seconds" [] SECONDS;
        /// Samples that a stage processes together
        batch_samples "ddpo_batch_samples" ["stage"] SIZES;
    }
}
