//! The parameters of a group norm with SiLU.

use tch::Tensor;

/// The parameters of [`group_norm_silu`](crate::group_norm_silu).
#[derive(Clone, Copy, Debug)]
pub struct GroupNormSilu<'a> {
    /// Number of groups, a divisor of C.
    pub groups: i64,
    /// Scale of the normalised values, `[C]`.
    pub weight: &'a Tensor,
    /// Offset of the scaled values, `[C]`.
    pub bias: &'a Tensor,
    /// Constant added to the variance.
    pub eps: f64,
    /// Offset of `x` before the norm, `[B, C]`: the time embedding of a residual block.
    pub shift: Option<&'a Tensor>,
}
