//! The weight of the KL from the pretrained model, and its adaptation to a target.

/// The KL may be this factor above or below the target before the weight changes.
const TOLERANCE: f64 = 1.5;
/// The weight changes by this factor after an epoch.
const FACTOR: f64 = 2.0;
/// The weight stays within this factor of the setting.
const RANGE: f64 = 100.0;

/// Returns the weight after an epoch whose mean KL was `kl`, nats per transition: doubled if it was more
/// than 1.5 times `target`, halved if it was less than `target` / 1.5 (Schulman et al. 2017, section 4),
/// and within a factor of 100 of `initial`.
pub fn adapted(weight: f64, initial: f64, kl: f64, target: f64) -> f64 {
    let moved = if kl > target * TOLERANCE {
        weight * FACTOR
    } else if kl < target / TOLERANCE {
        weight / FACTOR
    } else {
        weight
    };
    moved.clamp(initial / RANGE, initial * RANGE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_weight_follows_the_divergence() {
        assert_eq!(adapted(0.2, 0.1, 0.31, 0.2), 0.4);
        assert_eq!(adapted(0.2, 0.1, 0.29, 0.2), 0.2);
        assert_eq!(adapted(0.2, 0.1, 0.13, 0.2), 0.1);
        assert_eq!(adapted(9.0, 0.1, 5.0, 0.2), 10.0);
        assert_eq!(adapted(0.0015, 0.1, 0.0, 0.2), 0.001);
    }
}
