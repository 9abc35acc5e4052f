//! A counter-based generator: draw `k` depends only on (seed, index, stream, k), so a face does not
//! depend on the faces drawn before it.
//!
//! The mixer is splitmix64's finaliser (Steele, Lea and Flood 2014, "Fast splittable
//! pseudorandom number generators").

/// Draws keyed by a seed, an index and a stream.
#[derive(Clone, Debug)]
pub struct Draws {
    key: u64,
    counter: u64,
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Draws {
    /// Opens the stream `stream` of the item `index` of the data set `seed`.
    pub fn new(seed: u64, index: u64, stream: u64) -> Self {
        let of_seed = mix(seed.wrapping_add(GOLDEN));
        let of_index = mix(of_seed ^ index.wrapping_mul(GOLDEN).wrapping_add(1));
        let key = mix(of_index.wrapping_add(stream.wrapping_add(1).wrapping_mul(GOLDEN)));
        Self { key, counter: 0 }
    }

    /// Returns the next 64 bits.
    pub fn bits(&mut self) -> u64 {
        self.counter = self.counter.wrapping_add(1);
        mix(self.key.wrapping_add(self.counter.wrapping_mul(GOLDEN)))
    }

    /// Draws a uniform number in `[0, 1)`.
    pub fn unit(&mut self) -> f32 {
        (self.bits() >> 40) as f32 / (1_u32 << 24) as f32
    }

    /// Draws a uniform number in `[low, high)`.
    pub fn within(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Returns true with the given probability.
    pub fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// Draws an index by weight; the weights need not sum to one. Returns the last index if all weights
    /// are zero.
    pub fn weighted(&mut self, weights: &[f32]) -> usize {
        let mut left = self.unit() * weights.iter().sum::<f32>();
        for (index, weight) in weights.iter().enumerate() {
            left -= weight;
            if left < 0.0 {
                return index;
            }
        }
        weights.len().saturating_sub(1)
    }

    /// Draws one of the choices with equal probability.
    pub fn pick<T: Copy, const N: usize>(&mut self, choices: &[T; N]) -> T {
        choices[(self.bits() % N as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_repeat_and_differ_from_each_other() {
        let first: Vec<u64> = (0..4).map(|_| Draws::new(1, 2, 3).bits()).collect();
        assert!(first.iter().all(|bits| *bits == first[0]));
        assert_ne!(Draws::new(1, 2, 3).bits(), Draws::new(1, 2, 4).bits());
        assert_ne!(Draws::new(1, 2, 3).bits(), Draws::new(1, 3, 3).bits());
        assert_ne!(Draws::new(1, 2, 3).bits(), Draws::new(2, 2, 3).bits());
    }

    #[test]
    fn mean_of_many_draws_is_one_half() {
        let mut draws = Draws::new(5, 0, 0);
        let mean = (0..10_000).map(|_| draws.unit()).sum::<f32>() / 10_000.0;
        assert!((mean - 0.5).abs() < 0.01, "{mean}");
    }

    #[test]
    fn never_draws_an_index_of_weight_zero() {
        let mut draws = Draws::new(5, 0, 0);
        assert!((0..1000).all(|_| draws.weighted(&[0.0, 1.0, 0.0]) == 1));
    }
}
