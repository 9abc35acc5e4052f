//! Colours: sRGB levels, blended without linearising.

use tiny_skia::Color;

/// An opaque sRGB colour, levels in `[0, 255]`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Colour(pub [f32; 3]);

impl Colour {
    /// Returns the colour of a hexadecimal code, `0xrrggbb`.
    pub const fn hex(code: u32) -> Self {
        Self([(code >> 16 & 255) as f32, (code >> 8 & 255) as f32, (code & 255) as f32])
    }

    /// Blends `self` (share 0) with `other` (share 1).
    #[must_use]
    pub fn mix(self, other: Self, share: f32) -> Self {
        let share = share.clamp(0.0, 1.0);
        let blend = |channel: usize| self.0[channel] + (other.0[channel] - self.0[channel]) * share;
        Self([blend(0), blend(1), blend(2)])
    }

    /// Blends with black.
    #[must_use]
    pub fn darker(self, share: f32) -> Self {
        self.mix(Self([0.0; 3]), share)
    }

    /// Blends with white.
    #[must_use]
    pub fn lighter(self, share: f32) -> Self {
        self.mix(Self([255.0; 3]), share)
    }

    /// Returns the perceived brightness in `[0, 255]` (Rec. 601 luma, as in JPEG).
    #[must_use]
    pub fn luma(self) -> f32 {
        0.299 * self.0[0] + 0.587 * self.0[1] + 0.114 * self.0[2]
    }

    /// Returns the colour with the given opacity in `[0, 1]`.
    #[must_use]
    pub fn paint(self, opacity: f32) -> Color {
        let level = |channel: usize| self.0[channel].round().clamp(0.0, 255.0) as u8;
        let opacity = (opacity.clamp(0.0, 1.0) * 255.0).round() as u8;
        Color::from_rgba8(level(0), level(1), level(2), opacity)
    }
}

/// Skin tones, fair to deep.
pub const SKIN: [Colour; 7] = [
    Colour::hex(0xffe0c8),
    Colour::hex(0xf8cfae),
    Colour::hex(0xedb98f),
    Colour::hex(0xd99f72),
    Colour::hex(0xbc7f54),
    Colour::hex(0x965f3c),
    Colour::hex(0x70452c),
];

/// Hair colours before they turn grey: black, dark, brown, chestnut, red, dark blond, blond.
pub const HAIR: [Colour; 7] = [
    Colour::hex(0x1e1a1c),
    Colour::hex(0x38261c),
    Colour::hex(0x54341f),
    Colour::hex(0x74451f),
    Colour::hex(0xa8491d),
    Colour::hex(0xb98a45),
    Colour::hex(0xe3bf6a),
];

/// Silver: hair half way to white.
pub const SILVER: Colour = Colour::hex(0xa4a6ac);
/// White hair.
pub const SNOW: Colour = Colour::hex(0xf0f0ee);

/// Irises: dark brown, brown, hazel, green, blue, grey.
pub const IRIS: [Colour; 6] = [
    Colour::hex(0x3a2214),
    Colour::hex(0x5c3517),
    Colour::hex(0x72581f),
    Colour::hex(0x3f7a45),
    Colour::hex(0x2f6fb0),
    Colour::hex(0x5d7383),
];

/// Backgrounds.
pub const BACKDROP: [Colour; 9] = [
    Colour::hex(0x86b9dc),
    Colour::hex(0x4f7fb5),
    Colour::hex(0x7fc0a2),
    Colour::hex(0x4c8a78),
    Colour::hex(0xe9c46f),
    Colour::hex(0xe59a7c),
    Colour::hex(0xb48cc4),
    Colour::hex(0xd8dade),
    Colour::hex(0x6c7482),
];

/// Clothes.
pub const CLOTH: [Colour; 9] = [
    Colour::hex(0x2d3f66),
    Colour::hex(0x3f6fa8),
    Colour::hex(0xb23a48),
    Colour::hex(0x3b7d5a),
    Colour::hex(0xe8e6e1),
    Colour::hex(0x2b2b30),
    Colour::hex(0xd99a3a),
    Colour::hex(0x7b4f8e),
    Colour::hex(0x4aa3a0),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mix_interpolates_between_two_colours() {
        let (one, other) = (Colour::hex(0x102030), Colour::hex(0xffeedd));
        assert_eq!(one.mix(other, 0.0), one);
        assert_eq!(one.mix(other, 1.0), other);
        assert_eq!(one.mix(other, 9.0), other);
    }
}
