//! The parameters of a group norm with SiLU.

use tch::Tensor;

/// Affine parameters and groups of a [`group_norm_silu`](crate::group_norm_silu).
#[derive(Clone, Copy, Debug)]
pub struct GroupNormSilu<'a> {
    /// Number of groups; divides the channels.
    pub groups: i64,
    /// `[C]`, multiplies the normalised values.
    pub weight: &'a Tensor,
    /// `[C]`, added to them.
    pub bias: &'a Tensor,
    /// Added to the variance.
    pub eps: f64,
    /// `[B, C]`, added to `x` first: the time embedding of a residual block.
    pub shift: Option<&'a Tensor>,
}
