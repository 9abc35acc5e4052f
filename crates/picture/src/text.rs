//! Text on pictures, in Noto Sans Mono as rasterised by the crate `noto-sans-mono-bitmap` (the font
//! is under the SIL Open Font License 1.1).

use noto_sans_mono_bitmap::{FontWeight, RasterHeight, get_raster, get_raster_width};

/// A size and weight of the font.
#[derive(Clone, Copy, Debug)]
pub struct Type {
    weight: FontWeight,
    height: RasterHeight,
}

/// Label under a cell.
pub const LABEL: Type = Type { weight: FontWeight::Regular, height: RasterHeight::Size16 };
/// Labels on the axes of a plot, which is drawn at twice its size.
pub const AXIS: Type = Type { weight: FontWeight::Regular, height: RasterHeight::Size24 };
/// Title of a grid.
pub const TITLE: Type = Type { weight: FontWeight::Bold, height: RasterHeight::Size24 };

impl Type {
    /// Returns the height of a line in pixels.
    #[must_use]
    pub fn line(self) -> usize {
        self.height.val()
    }

    /// Returns the width in pixels of a text of `characters` characters.
    #[must_use]
    pub fn width(self, characters: usize) -> usize {
        characters * get_raster_width(self.weight, self.height)
    }

    /// Truncates the text to `width` pixels; two dots mark the cut.
    #[must_use]
    pub fn fit(self, text: &str, width: usize) -> String {
        let room = width / self.width(1);
        let length = text.chars().count();
        if length <= room {
            return text.to_owned();
        }
        let kept = room.saturating_sub(2);
        let mut cut: String = text.chars().take(kept).collect();
        cut.extend(std::iter::repeat_n('.', room.min(2)));
        cut
    }

    /// Calls `ink(x, y, opacity)` for every inked pixel of the text, with its top left at the origin and
    /// opacity in `[0, 255]`. Characters missing from the font appear as `?`.
    pub fn draw(self, text: &str, mut ink: impl FnMut(usize, usize, u8)) {
        for (place, character) in text.chars().enumerate() {
            let raster = get_raster(character, self.weight, self.height)
                .or_else(|| get_raster('?', self.weight, self.height));
            let Some(raster) = raster else { continue };
            for (y, row) in raster.rows().enumerate() {
                for (x, opacity) in row.iter().enumerate().filter(|(_, opacity)| **opacity > 0) {
                    ink(self.width(place) + x, y, *opacity);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn truncates_long_text_with_dots() {
        let room = LABEL.width(6);
        assert_eq!(LABEL.fit("kitten", room), "kitten");
        assert_eq!(LABEL.fit("kittens", room), "kitt..");
        assert_eq!(LABEL.fit("kittens", LABEL.width(1)), ".");
        assert_eq!(LABEL.fit("kittens", 0), "");
    }

    #[test]
    fn ink_stays_inside_the_line() {
        let mut count = 0;
        TITLE.draw("Åg\u{4e16}", |x, y, _| {
            assert!(x < TITLE.width(3) && y < TITLE.line());
            count += 1;
        });
        assert!(count > 100);
    }
}
