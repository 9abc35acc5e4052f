//! The names of the seed implementation (alcazar90/ddpo-celebahq, `scripts/train.py`) for what it
//! logs too, so that its charts show these runs as well.

/// Our name and the seed's. What it logs for each mini-batch is an epoch's mean here.
const SEED: [(&str, &str); 14] = [
    ("reward_mean", "mean_reward"),
    ("reward_std", "std_reward"),
    ("reward_min", "min_reward"),
    ("reward_max", "max_reward"),
    ("loss", "pg_loss"),
    ("loss", "average policy loss"),
    ("clip_fraction", "pct_clipped_ratios"),
    ("approx_kl", "KL (current vs old policy)"),
    ("lr", "learning_rate"),
    ("eval_reward_mean", "eval_mean_reward"),
    ("rewards", "reward_hist"),
    ("ratios", "prob_ratio"),
    ("samples", "img batch"),
    ("evaluation", "eval img batch"),
];

/// All names that `name` is logged under: its own, then the seed's.
pub fn names(name: &str) -> impl Iterator<Item = &str> {
    let seed = SEED.iter().filter(move |(ours, _)| *ours == name);
    std::iter::once(name).chain(seed.map(|(_, seed)| *seed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_seed_logs_has_its_name_too() {
        let all = |name| names(name).collect::<Vec<_>>();
        assert_eq!(all("reward_mean"), ["reward_mean", "mean_reward"]);
        assert_eq!(all("loss"), ["loss", "pg_loss", "average policy loss"]);
        assert_eq!(all("grad_norm"), ["grad_norm"]);
    }
}
