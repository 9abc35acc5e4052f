//! Conditions on the configs of models with skip blocks.

use crate::fields::FieldError;
use crate::unet::config::UNetConfig;
use crate::unet::skip::{ATTENTION_GROUPS, IMAGE_CHANNELS, groups_of, up_groups};

/// Returns whether the blocks of this name pass an image on.
pub(crate) fn is_skip_block(kind: &str) -> bool {
    kind.contains("Skip")
}

impl UNetConfig {
    /// Checks the order, the channels and the norms of skip blocks.
    pub(super) fn check_skip_blocks(&self) -> Result<(), FieldError> {
        self.check_skip_order()?;
        self.check_image_channels()?;
        for (index, kind) in self.down_block_types.iter().enumerate() {
            if is_skip_block(kind) {
                let channels = &self.block_out_channels;
                let (input, output) = (channels[index.saturating_sub(1)], channels[index]);
                let norms = [(groups_of(input), input), (groups_of(output), output)];
                check_norms("down_block_types", kind, output, &norms)?;
            }
        }
        for (index, kind) in self.up_block_types.iter().enumerate() {
            if is_skip_block(kind) {
                let output = self.block_out_channels[self.block_out_channels.len() - 1 - index];
                let layers = self.up_layers(index).into_iter();
                let mut norms: Vec<(i64, i64)> = layers
                    .map(|(hidden, skip)| (up_groups(kind, hidden, skip), hidden + skip))
                    .collect();
                norms.push((groups_of(output), output));
                check_norms("up_block_types", kind, output, &norms)?;
            }
        }
        Ok(())
    }

    /// Returns the channels of hidden states and skip connection of each layer of up block `index`.
    pub(crate) fn up_layers(&self, index: usize) -> Vec<(i64, i64)> {
        let reversed: Vec<i64> = self.block_out_channels.iter().rev().copied().collect();
        let output = reversed[index];
        let previous = reversed[index.saturating_sub(1)];
        let lowest_skip = reversed[(index + 1).min(reversed.len() - 1)];
        let last = self.layers_per_block;
        let hidden = |layer| if layer == 0 { previous } else { output };
        let skip = |layer| if layer == last { lowest_skip } else { output };
        (0..=last).map(|layer| (hidden(layer), skip(layer))).collect()
    }

    /// Checks that the image is resampled along with the hidden states: blocks that halve it come first,
    /// and blocks that double it come last. The block of the lowest or of the full resolution is free.
    fn check_skip_order(&self) -> Result<(), FieldError> {
        let last = self.block_out_channels.len() - 1;
        let halving = &self.down_block_types[..last];
        let plain = halving.iter().position(|kind| !is_skip_block(kind));
        let late = plain.and_then(|plain| halving[plain..].iter().find(|kind| is_skip_block(kind)));
        if let Some(kind) = late {
            let expected = "skip blocks before the other blocks, which do not halve the image";
            return Err(FieldError::unsupported("down_block_types", expected, kind));
        }
        let first = self.up_block_types[..last].iter().position(|kind| is_skip_block(kind));
        let plain = first.and_then(|first| {
            self.up_block_types[first..].iter().find(|kind| !is_skip_block(kind))
        });
        match plain {
            None => Ok(()),
            Some(kind) => {
                let expected =
                    "skip blocks after a skip block, as other blocks do not double the image";
                Err(FieldError::unsupported("up_block_types", expected, kind))
            }
        }
    }

    fn check_image_channels(&self) -> Result<(), FieldError> {
        let last = self.block_out_channels.len() - 1;
        let expected = format!("{IMAGE_CHANNELS}, the channels of skip blocks");
        for (field, kinds, found) in [
            ("in_channels", &self.down_block_types, self.in_channels),
            ("out_channels", &self.up_block_types, self.out_channels),
        ] {
            let has_skip = kinds[..last].iter().any(|kind| is_skip_block(kind));
            if has_skip && found != IMAGE_CHANNELS {
                return Err(FieldError::unsupported(field, expected, found));
            }
        }
        Ok(())
    }
}

/// Checks that the groups of each norm, given as groups and channels, divide the channels.
fn check_norms(
    field: &'static str,
    kind: &str,
    output: i64,
    norms: &[(i64, i64)],
) -> Result<(), FieldError> {
    let attention = kind.starts_with("Attn").then_some((ATTENTION_GROUPS, output));
    let misfit = norms
        .iter()
        .copied()
        .chain(attention)
        .find(|(groups, channels)| *groups < 1 || channels % groups != 0);
    match misfit {
        None => Ok(()),
        Some((groups, channels)) => {
            let expected = format!("channels that the {groups} groups of its norms divide");
            Err(FieldError::unsupported(
                field,
                expected,
                format!("{kind} with {channels} channels"),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(down: [&str; 3], up: [&str; 3], channels: [i64; 3]) -> Result<(), String> {
        let names = |names: [&str; 3]| names.map(str::to_owned).to_vec();
        let config = UNetConfig {
            block_out_channels: channels.to_vec(),
            down_block_types: names(down),
            up_block_types: names(up),
            norm_num_groups: 4,
            ..UNetConfig::default()
        };
        config.check_skip_blocks().map_err(|error| error.to_string())
    }

    const DOWN: &str = "DownBlock2D";
    const UP: &str = "UpBlock2D";
    const SKIP_DOWN: &str = "SkipDownBlock2D";
    const SKIP_UP: &str = "SkipUpBlock2D";

    #[test]
    fn skip_blocks_must_be_next_to_the_image() {
        let fits = |down, up| check(down, up, [8, 16, 16]);
        assert_eq!(fits([SKIP_DOWN; 3], [SKIP_UP; 3]), Ok(()));
        assert_eq!(fits([SKIP_DOWN, DOWN, DOWN], [UP, UP, SKIP_UP]), Ok(()));
        assert_eq!(fits([DOWN, DOWN, SKIP_DOWN], [UP, SKIP_UP, SKIP_UP]), Ok(()));
        let message = fits([DOWN, SKIP_DOWN, DOWN], [UP; 3]).unwrap_err();
        assert!(message.starts_with("`down_block_types` = SkipDownBlock2D"), "{message}");
        for up in [[SKIP_UP, UP, SKIP_UP], [UP, SKIP_UP, UP], [SKIP_UP, SKIP_UP, UP]] {
            let message = fits([SKIP_DOWN; 3], up).unwrap_err();
            assert!(message.starts_with("`up_block_types` = UpBlock2D"), "{message}");
        }
    }

    #[test]
    fn norms_of_skip_blocks_have_groups_of_their_own() {
        let message = check([SKIP_DOWN; 3], [UP; 3], [132, 132, 132]).unwrap_err();
        assert!(message.contains("with 132 channels is not supported"), "{message}");
        let attention = ["AttnSkipDownBlock2D", SKIP_DOWN, SKIP_DOWN];
        let message = check(attention, [UP; 3], [16, 16, 16]).unwrap_err();
        assert!(message.contains("the 32 groups of its norms divide"), "{message}");
        assert_eq!(check(attention, [UP; 3], [32, 32, 32]), Ok(()));
    }
}
