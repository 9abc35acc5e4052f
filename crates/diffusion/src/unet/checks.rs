//! Checks of a UNet's config: each field against its accepted values, and fields against each other.

use crate::accepted;
use crate::fields::FieldError;
use crate::unet::accepted::{FIELDS, MAX_BLOCKS, MAX_PARAMETERS};
use crate::unet::config::UNetConfig;

impl UNetConfig {
    /// Checks every field, and then the relations between fields.
    pub(super) fn check(&self) -> Result<(), FieldError> {
        accepted::check(FIELDS, self)?;
        self.check_blocks()?;
        self.check_heads()?;
        self.check_middle_norm()?;
        self.check_freq_shift()?;
        self.check_sides()?;
        self.check_skip_blocks()?;
        self.check_size()
    }

    fn check_blocks(&self) -> Result<(), FieldError> {
        let blocks = self.block_out_channels.len();
        if blocks == 0 || blocks > MAX_BLOCKS {
            let expected = format!("1 to {MAX_BLOCKS} numbers, one for each block");
            let found = format!("{blocks} numbers");
            return Err(FieldError::unsupported("block_out_channels", expected, found));
        }
        for (field, found) in [
            ("down_block_types", self.down_block_types.len()),
            ("up_block_types", self.up_block_types.len()),
        ] {
            if found != blocks {
                let expected = format!("{blocks} names, one for each of `block_out_channels`");
                return Err(FieldError::unsupported(field, expected, format!("{found} names")));
            }
        }
        for &channels in &self.block_out_channels {
            self.check_divides(channels)?;
        }
        if self.block_out_channels[0] % 2 != 0 {
            let (field, found) = ("block_out_channels", self.block_out_channels[0]);
            return Err(FieldError::unsupported(field, "an even first number", found));
        }
        Ok(())
    }

    /// Checks that every attention has at least one head.
    fn check_heads(&self) -> Result<(), FieldError> {
        let Some(dim) = self.attention_head_dim else { return Ok(()) };
        let channels = &self.block_out_channels;
        let down = self.down_block_types.iter().zip(channels);
        let up = self.up_block_types.iter().zip(channels.iter().rev());
        let with_attention = down.chain(up).filter(|(kind, _)| kind.starts_with("Attn"));
        let middle = (self.mid_block_type.is_some() && self.add_attention)
            .then(|| &channels[channels.len() - 1]);
        match with_attention.map(|(_, channels)| channels).chain(middle).min() {
            Some(&least) if dim > least => {
                let expected =
                    format!("at most {least}, the fewest channels of a block with attention");
                Err(FieldError::unsupported("attention_head_dim", expected, dim))
            }
            _ => Ok(()),
        }
    }

    fn check_middle_norm(&self) -> Result<(), FieldError> {
        let channels = self.block_out_channels[self.block_out_channels.len() - 1];
        match self.attn_norm_num_groups {
            Some(groups) if groups < 1 || channels % groups != 0 => {
                let expected = format!("a divisor of the last block's {channels} channels");
                Err(FieldError::unsupported("attn_norm_num_groups", expected, groups))
            }
            _ => Ok(()),
        }
    }

    /// Checks that the exponent of the sinusoids has a positive denominator.
    fn check_freq_shift(&self) -> Result<(), FieldError> {
        let half = self.block_out_channels[0] / 2;
        if self.freq_shift >= half as f64 {
            let expected = format!("a number below {half}, half the first block's channels");
            return Err(FieldError::unsupported("freq_shift", expected, self.freq_shift));
        }
        Ok(())
    }

    /// Checks that down blocks can halve both sides without remainder, so that up blocks restore them.
    fn check_sides(&self) -> Result<(), FieldError> {
        let Ok((height, width)) = self.image_size() else { return Ok(()) };
        let factor = 1 << (self.block_out_channels.len() - 1).min(16);
        let fits = |side: usize| (1..=8192).contains(&side) && side.is_multiple_of(factor);
        if fits(height) && fits(width) {
            return Ok(());
        }
        let expected = format!("multiples of {factor} up to 8192, for the blocks to halve");
        Err(FieldError::unsupported("sample_size", expected, format!("{height}x{width}")))
    }

    /// Checks the number of parameters before any of them is allocated.
    fn check_size(&self) -> Result<(), FieldError> {
        let found = self.parameter_count();
        if found <= MAX_PARAMETERS {
            return Ok(());
        }
        let expected = format!(
            "a model of at most {MAX_PARAMETERS} parameters, {} GiB as f32",
            MAX_PARAMETERS >> 28
        );
        let found = format!("{:?}, a model of {found} parameters,", self.block_out_channels);
        Err(FieldError::unsupported("block_out_channels", expected, found))
    }

    fn check_divides(&self, channels: i64) -> Result<(), FieldError> {
        if channels % self.norm_num_groups != 0 {
            let expected = format!("multiples of `norm_num_groups` = {}", self.norm_num_groups);
            return Err(FieldError::unsupported("block_out_channels", expected, channels));
        }
        Ok(())
    }
}
