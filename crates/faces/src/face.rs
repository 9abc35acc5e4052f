//! The parameters of one face, and their distributions for an age class.

use crate::age::AgeClass;
use crate::colour::{self, Colour};
use crate::random::Draws;

/// The background.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Backdrop {
    /// One colour.
    Plain,
    /// From one colour at the top to another at the bottom.
    Vertical,
    /// From one corner to the opposite one.
    Diagonal,
    /// A light spot behind the head.
    Glow,
    /// Wallpaper of upright or level stripes.
    Stripes,
    /// Wallpaper of dots.
    Dots,
    /// A chequered wall.
    Checks,
    /// A brick wall.
    Bricks,
}

/// Hair style.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HairStyle {
    /// No hair, or a baby's down.
    Bald,
    /// A horseshoe around a bald crown.
    Fringe,
    /// Cropped close.
    Buzz,
    /// Short with a side parting.
    Parted,
    /// Short and brushed up.
    Quiff,
    /// Short curls.
    Curly,
    /// To the chin with a straight fringe over the brow.
    Bob,
    /// Long, falling past the shoulders, parted in the middle.
    Long,
    /// Long and wavy with a side parting.
    Wavy,
    /// Tied up in a bun.
    Bun,
}

/// The mouth's expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mouth {
    /// Closed and straight.
    Calm,
    /// Closed and turned up.
    Smile,
    /// Open, with teeth.
    Grin,
}

/// Frames before the eyes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Glasses {
    /// None.
    None,
    /// Round frames.
    Round,
    /// Rectangular frames.
    Square,
}

/// Clothes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Clothes {
    /// One colour with a round neck.
    Plain,
    /// Horizontal stripes.
    Striped,
    /// A V-shaped neck.
    VNeck,
    /// A jacket over a shirt with a tie.
    Suit,
}

/// Hair on the chin and lip.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Beard {
    /// Shaved.
    None,
    /// A moustache.
    Moustache,
    /// A full beard, kept short.
    Full,
}

/// One face. Lengths are in units of 1/32 of the picture's side.
#[derive(Clone, Debug, PartialEq)]
pub struct Face {
    /// Age in years.
    pub years: f32,
    /// Skin.
    pub skin: Colour,
    /// Hair as it is now, greyed by age.
    pub hair: Colour,
    /// Hair style.
    pub style: HairStyle,
    /// Side of the parting and of the light: -1 left, 1 right.
    pub side: f32,
    /// Hairline's retreat in `[0, 1]`.
    pub recession: f32,
    /// Depth of the wrinkles in `[0, 1]`.
    pub wrinkles: f32,
    /// Softness of the features in `[0, 1]`: fuller lips and lashes.
    pub softness: f32,
    /// Half of the head's width.
    pub half_width: f32,
    /// Height of the head from crown to chin.
    pub height: f32,
    /// Width of the chin relative to the head, about `[0.4, 0.8]`.
    pub jaw: f32,
    /// Radius of the eyes' whites.
    pub eye: f32,
    /// Iris.
    pub iris: Colour,
    /// Expression.
    pub mouth: Mouth,
    /// Frames.
    pub glasses: Glasses,
    /// Hair on chin and lip.
    pub beard: Beard,
    /// Clothes.
    pub clothes: Clothes,
    /// Colours of the clothes: cloth and second cloth.
    pub cloth: [Colour; 2],
    /// Kind of background.
    pub backdrop: Backdrop,
    /// Colours of the background.
    pub backdrop_colours: [Colour; 2],
    /// Shift of the head to the right and down.
    pub shift: [f32; 2],
    /// Size of the head relative to the usual one.
    pub scale: f32,
    /// Tilt of the head in degrees, clockwise.
    pub tilt: f32,
    /// Blur of the picture: a Gaussian's standard deviation; 0 is sharp.
    pub blur: f32,
    /// Size of the person relative to a person who fills the picture.
    pub distance: f32,
}

impl Face {
    /// Draws the parameters of face `index` of data set `seed`, of the given class.
    pub fn sample(seed: u64, index: u64, class: AgeClass) -> Self {
        let draws = &mut Draws::new(seed, index, 1);
        let (low, high) = class.years();
        let years = draws.within(low, high);
        let softness: f32 = if draws.chance(0.55) { 1.0 } else { 0.0 };
        let tone = draws.weighted(&[18.0, 26.0, 22.0, 12.0, 9.0, 7.0, 6.0]);
        let skin = colour::SKIN[tone].mix(colour::SKIN[(tone + 1).min(6)], draws.unit());
        let young = ramp(years, 14.0, 4.0);
        let hair = hair_colour(draws, tone, years);
        let (backdrop, backdrop_colours, cloth) = surroundings(draws, skin.mix(hair, 0.5));
        let recession = if softness > 0.5 { 0.15 } else { draws.within(0.3, 1.0) };
        Self {
            years,
            skin: skin.mix(Colour::hex(0xe8dcd2), 0.16 * ramp(years, 50.0, 80.0)),
            hair,
            style: hair_style(draws, softness, years),
            side: if draws.chance(0.5) { 1.0 } else { -1.0 },
            recession: recession * ramp(years, 32.0, 66.0),
            wrinkles: ramp(years, 36.0, 68.0) * draws.within(0.85, 1.0),
            softness,
            half_width: draws.within(7.0, 7.9) + 0.5 * young,
            height: draws.within(19.2, 20.8) - 1.6 * young,
            jaw: draws.within(0.46, 0.62) + 0.12 * (1.0 - softness) + 0.08 * young,
            eye: draws.within(1.75, 2.05) + 0.45 * young - 0.3 * ramp(years, 45.0, 75.0),
            iris: iris_colour(draws, tone),
            mouth: [Mouth::Calm, Mouth::Smile, Mouth::Grin][draws.weighted(&[2.0, 5.0, 3.0])],
            glasses: glasses(draws, years),
            beard: beard(draws, softness, years),
            clothes: clothes(draws, years),
            cloth,
            backdrop,
            backdrop_colours,
            shift: [draws.within(-0.8, 0.8), draws.within(-0.5, 0.5)],
            scale: draws.within(1.07, 1.15) - 0.05 * young,
            tilt: draws.within(-3.5, 3.5),
            blur: draws.within(0.2, 0.7) * share(draws, 0.3),
            distance: 1.0 - 0.4 * draws.unit() * share(draws, 0.6),
        }
    }
}

const BACKDROPS: [Backdrop; 8] = [
    Backdrop::Plain,
    Backdrop::Vertical,
    Backdrop::Diagonal,
    Backdrop::Glow,
    Backdrop::Stripes,
    Backdrop::Dots,
    Backdrop::Checks,
    Backdrop::Bricks,
];

/// Interpolates linearly from 0 at `from` to 1 at `to`; `from` may be larger.
pub fn ramp(value: f32, from: f32, to: f32) -> f32 {
    ((value - from) / (to - from)).clamp(0.0, 1.0)
}

/// Draws the background, its two colours, and the two colours of the clothes. Some pictures are plain
/// and in the tones of the person.
fn surroundings(draws: &mut Draws, tone: Colour) -> (Backdrop, [Colour; 2], [Colour; 2]) {
    if draws.chance(0.3) {
        let tone = tone.mix(draws.pick(&colour::BACKDROP), draws.within(0.0, 0.3));
        let cloth = tone.darker(draws.within(0.06, 0.2));
        let kind = if draws.chance(0.6) { Backdrop::Plain } else { Backdrop::Vertical };
        return (kind, [tone, tone.lighter(draws.within(0.04, 0.15))], [cloth, cloth.darker(0.1)]);
    }
    let kind = BACKDROPS[draws.weighted(&[14.0, 10.0, 6.0, 6.0, 18.0, 12.0, 17.0, 17.0])];
    let first = draws.pick(&colour::BACKDROP);
    let pair = backdrop_pair(draws, first);
    let cloth = draws.pick(&colour::CLOTH);
    (kind, pair, [cloth, second_cloth(draws, cloth)])
}

/// Returns 1 with the given probability, otherwise 0.
fn share(draws: &mut Draws, probability: f32) -> f32 {
    f32::from(u8::from(draws.chance(probability)))
}

fn hair_colour(draws: &mut Draws, tone: usize, years: f32) -> Colour {
    let weights = match tone {
        0 | 1 => [6.0, 14.0, 22.0, 20.0, 9.0, 15.0, 14.0],
        2 | 3 => [26.0, 28.0, 24.0, 14.0, 2.0, 4.0, 2.0],
        _ => [60.0, 30.0, 10.0, 0.0, 0.0, 0.0, 0.0],
    };
    let natural = colour::HAIR[draws.weighted(&weights)].lighter(draws.within(0.0, 0.06));
    let wobble = draws.within(-3.0, 3.0);
    let silvered = natural.mix(colour::SILVER, ramp(years + wobble, 38.0, 56.0));
    silvered.mix(colour::SNOW, ramp(years + wobble, 56.0, 74.0))
}

fn hair_style(draws: &mut Draws, softness: f32, years: f32) -> HairStyle {
    use HairStyle::{Bald, Bob, Bun, Buzz, Curly, Fringe, Long, Parted, Quiff, Wavy};
    if years < 3.0 {
        return if draws.chance(0.4) { Bald } else { Buzz };
    }
    let old = ramp(years, 45.0, 70.0);
    let styles = [Bald, Fringe, Buzz, Parted, Quiff, Curly, Bob, Long, Wavy, Bun];
    let weights = if softness > 0.5 {
        let long = 1.0 - 0.7 * old;
        [0.0, 0.0, 0.0, 0.5 + 2.0 * old, 0.0, 1.0 + 3.0 * old, 5.0, 6.0 * long, 5.0 * long, 2.5]
    } else {
        let bald = if years < 24.0 { 0.0 } else { 0.35 + 1.2 * old };
        [bald, 6.0 * old, 2.0, 6.0, 4.5 * (1.0 - old), 3.0 * (1.0 - 0.6 * old), 0.0, 0.0, 0.0, 0.0]
    };
    styles[draws.weighted(&weights)]
}

fn iris_colour(draws: &mut Draws, tone: usize) -> Colour {
    let weights = match tone {
        0 | 1 => [4.0, 18.0, 16.0, 18.0, 32.0, 12.0],
        2 | 3 => [26.0, 38.0, 20.0, 10.0, 4.0, 2.0],
        _ => [60.0, 38.0, 2.0, 0.0, 0.0, 0.0],
    };
    colour::IRIS[draws.weighted(&weights)]
}

fn glasses(draws: &mut Draws, years: f32) -> Glasses {
    let share = if years < 8.0 { 0.03 } else { 0.12 + 0.28 * ramp(years, 38.0, 66.0) };
    match (draws.chance(share), draws.chance(0.5)) {
        (false, _) => Glasses::None,
        (true, false) => Glasses::Round,
        (true, true) => Glasses::Square,
    }
}

fn beard(draws: &mut Draws, softness: f32, years: f32) -> Beard {
    if softness > 0.5 || years < 21.0 {
        return Beard::None;
    }
    [Beard::None, Beard::Moustache, Beard::Full][draws.weighted(&[66.0, 9.0, 25.0])]
}

fn clothes(draws: &mut Draws, years: f32) -> Clothes {
    let suit = if years < 20.0 { 0.0 } else { 2.0 };
    let kinds = [Clothes::Plain, Clothes::Striped, Clothes::VNeck, Clothes::Suit];
    kinds[draws.weighted(&[4.0, 3.0, 2.5, suit])]
}

fn second_cloth(draws: &mut Draws, cloth: Colour) -> Colour {
    let other = draws.pick(&colour::CLOTH);
    if (other.luma() - cloth.luma()).abs() > 60.0 {
        return other;
    }
    if cloth.luma() > 128.0 { cloth.darker(0.45) } else { cloth.lighter(0.65) }
}

fn backdrop_pair(draws: &mut Draws, first: Colour) -> [Colour; 2] {
    let share = draws.within(0.35, 0.6);
    let second = if draws.chance(0.5) { first.lighter(share) } else { first.darker(share * 0.8) };
    if draws.chance(0.5) { [first, second] } else { [second, first] }
}
