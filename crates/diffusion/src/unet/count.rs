//! Numbers of parameters of layers.

/// Returns the parameters of a convolution with a square kernel and a bias.
pub(super) const fn convolution(input: i64, output: i64, kernel: i64) -> i64 {
    output * input * kernel * kernel + output
}

/// Returns the parameters of a linear layer with a bias.
pub(super) const fn linear(input: i64, output: i64) -> i64 {
    output * input + output
}

/// Returns the parameters of a group norm.
pub(super) const fn norm(channels: i64) -> i64 {
    2 * channels
}

/// Returns the parameters of a residual block without its layer for the time embedding.
pub(super) const fn resnet(input: i64, output: i64) -> i64 {
    let shortcut = if input == output { 0 } else { convolution(input, output, 1) };
    let convolutions = convolution(input, output, 3) + convolution(output, output, 3);
    norm(input) + norm(output) + convolutions + shortcut
}

/// Returns the parameters of attention without its norm.
pub(super) const fn attention(channels: i64, head_dim: i64) -> i64 {
    let inner = channels / head_dim * head_dim;
    3 * linear(channels, inner) + linear(inner, channels)
}
