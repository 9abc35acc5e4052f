//! Positions of the parts of a head, in drawing units, before the pose.

use tiny_skia::{Path, PathBuilder};

use crate::canvas::SIDE;
use crate::face::{Face, ramp};

/// The measures that the painters share. Heights increase downwards.
pub struct Layout {
    /// The middle line.
    pub x: f32,
    /// Crown of the skull.
    pub top: f32,
    /// Tip of the chin.
    pub chin: f32,
    /// Half of the head's width at the cheeks.
    pub half: f32,
    /// Height of the widest part.
    pub cheek: f32,
    /// Height of the pupils.
    pub eye: f32,
    /// Distance of a pupil from the middle line.
    pub apart: f32,
    /// Height of the brows.
    pub brow: f32,
    /// Height of the nose's tip.
    pub nose: f32,
    /// Height of the mouth's corners.
    pub mouth: f32,
    /// Height of the hairline over the middle of the forehead.
    pub hairline: f32,
}

impl Layout {
    /// Computes the layout of a face. A child's features are lower, on a rounder head.
    pub fn of(face: &Face) -> Self {
        let young = ramp(face.years, 14.0, 4.0);
        let chin = 26.6 - 0.4 * young;
        let top = chin - face.height;
        let at = |share: f32| top + share * face.height;
        let eye = at(0.54 + 0.035 * young);
        Self {
            x: SIDE / 2.0,
            top,
            chin,
            half: face.half_width,
            cheek: at(0.5),
            eye,
            apart: 0.455 * face.half_width,
            brow: eye - face.eye - 1.35,
            nose: at(0.71 + 0.01 * young),
            mouth: at(0.835),
            hairline: at(0.23 - 0.13 * face.recession),
        }
    }

    /// Returns the outline of the head, enlarged by `margin`.
    pub fn head(&self, jaw: f32, margin: f32) -> Option<Path> {
        const ROUND: f32 = 0.5523;
        let (x, top, chin) = (self.x, self.top - margin, self.chin + margin);
        let half = self.half + margin;
        let (above, below) = (self.cheek - top, chin - self.cheek);
        let (wide, narrow) = (ROUND * half, jaw * half);
        let mut pen = PathBuilder::new();
        pen.move_to(x, top);
        pen.cubic_to(x + wide, top, x + half, self.cheek - ROUND * above, x + half, self.cheek);
        pen.cubic_to(x + half, self.cheek + 0.56 * below, x + narrow, chin, x, chin);
        pen.cubic_to(x - narrow, chin, x - half, self.cheek + 0.56 * below, x - half, self.cheek);
        pen.cubic_to(x - half, self.cheek - ROUND * above, x - wide, top, x, top);
        pen.close();
        pen.finish()
    }
}
