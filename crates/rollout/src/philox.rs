//! Philox4x32-10, the counter-based generator of Salmon et al., "Parallel random numbers: as easy
//! as 1, 2, 3" (SC 2011). A draw is a pure function of a 64-bit key and a 128-bit counter, so any
//! worker can reproduce any draw without the draws before it.

const MULTIPLIER_0: u32 = 0xD251_1F53;
const MULTIPLIER_1: u32 = 0xCD9E_8D57;
const WEYL_0: u32 = 0x9E37_79B9;
const WEYL_1: u32 = 0xBB67_AE85;
const ROUNDS: usize = 10;

/// Number of counters per call of [`blocks`], so that the compiler can vectorise.
pub const LANES: usize = 16;

/// The same output word of [`LANES`] consecutive counters.
pub type Words = [u32; LANES];

/// Returns the outputs for [`LANES`] counters whose lowest words are `first..first + LANES` and whose
/// upper three words are `upper`. Element `[w][lane]` is output word `w` of counter `first + lane`.
pub fn blocks(key: u64, first: u32, upper: [u32; 3]) -> [Words; 4] {
    let mut c0: Words = std::array::from_fn(|lane| first.wrapping_add(lane as u32));
    let mut c1: Words = [upper[0]; LANES];
    let mut c2: Words = [upper[1]; LANES];
    let mut c3: Words = [upper[2]; LANES];
    let (mut k0, mut k1) = (key as u32, (key >> 32) as u32);
    for _ in 0..ROUNDS {
        for lane in 0..LANES {
            let product0 = u64::from(MULTIPLIER_0) * u64::from(c0[lane]);
            let product1 = u64::from(MULTIPLIER_1) * u64::from(c2[lane]);
            let (high0, low0) = ((product0 >> 32) as u32, product0 as u32);
            let (high1, low1) = ((product1 >> 32) as u32, product1 as u32);
            c0[lane] = high1 ^ c1[lane] ^ k0;
            c1[lane] = low1;
            c2[lane] = high0 ^ c3[lane] ^ k1;
            c3[lane] = low0;
        }
        k0 = k0.wrapping_add(WEYL_0);
        k1 = k1.wrapping_add(WEYL_1);
    }
    [c0, c1, c2, c3]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(key: [u32; 2], counter: [u32; 4]) -> [u32; 4] {
        let key = u64::from(key[0]) | u64::from(key[1]) << 32;
        let words = blocks(key, counter[0], [counter[1], counter[2], counter[3]]);
        std::array::from_fn(|word| words[word][0])
    }

    /// The three published known-answer vectors for `philox4x32 10`.
    #[test]
    fn agrees_with_known_answers_of_random123() {
        assert_eq!(one([0; 2], [0; 4]), [0x6627_e8d5, 0xe169_c58d, 0xbc57_ac4c, 0x9b00_dbd8]);
        assert_eq!(
            one([u32::MAX; 2], [u32::MAX; 4]),
            [0x408f_276d, 0x41c8_3b0e, 0xa20b_c7c6, 0x6d54_51fd]
        );
        assert_eq!(
            one([0xa409_3822, 0x299f_31d0], [0x243f_6a88, 0x85a3_08d3, 0x1319_8a2e, 0x0370_7344]),
            [0xd16c_fe09, 0x94fd_cceb, 0x5001_e420, 0x2412_6ea1]
        );
    }

    #[test]
    fn each_lane_uses_its_own_counter() {
        let together = blocks(7, 100, [1, 2, 3]);
        let alone = blocks(7, 105, [1, 2, 3]);
        assert_eq!(together[2][5], alone[2][0]);
    }
}
