//! A drawing as SVG: inside the page, where the page's variables colour it, or as a file, which
//! brings its colours for light and dark along.

use crate::page::html::escape;
use crate::plot::{Anchor, Drawing, Ink, Place, Shape};

/// The drawing for a page; `class` tells for which width it is.
#[must_use]
pub fn inline(drawing: &Drawing, class: &str) -> String {
    let (width, height) = (drawing.width, drawing.height);
    format!(
        "<svg class=\"plot {class}\" viewBox=\"0 0 {width} {height}\" role=\"img\" \
         aria-label=\"{}\">{}</svg>",
        escape(&drawing.title),
        shapes(drawing, true)
    )
}

/// The drawing as a file.
#[must_use]
pub fn file(drawing: &Drawing) -> String {
    let (width, height) = (drawing.width, drawing.height);
    let rules = |theme: usize| -> String {
        let colour = |ink: Ink| format!("--{}:{};", ink.name(), ink.colours()[theme]);
        let paper = ["#ffffff", "#14181e"][theme];
        format!("svg{{background:{paper};{}}}", Ink::ALL.map(colour).concat())
    };
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"-12 -12 {} {}\" role=\"img\" aria-label=\"{}\">\n<style>{}\n\
         @media (prefers-color-scheme: dark) {{{}}}\n\
         text{{font:12px system-ui,sans-serif}}</style>\n<title>{}</title>\n{}</svg>\n",
        width + 24.0,
        height + 24.0,
        escape(&drawing.title),
        rules(0),
        rules(1),
        escape(&drawing.title),
        shapes(drawing, false)
    )
}

fn shapes(drawing: &Drawing, with_hints: bool) -> String {
    drawing.shapes.iter().map(|shape| one(shape, with_hints)).collect()
}

fn one(shape: &Shape, with_hints: bool) -> String {
    let variable = |ink: &Ink| format!("var(--{})", ink.name());
    match shape {
        Shape::Path { points, ink, width } => format!(
            "<polyline points=\"{}\" style=\"stroke:{}\" fill=\"none\" stroke-width=\"{width}\" \
             stroke-linejoin=\"round\"/>",
            listed(points),
            variable(ink)
        ),
        Shape::Area { points, ink, opacity } => format!(
            "<polygon points=\"{}\" style=\"fill:{}\" fill-opacity=\"{opacity}\"/>",
            listed(points),
            variable(ink)
        ),
        Shape::Dot { centre, radius, ink, filled } => {
            let (x, y) = (short(centre.0), short(centre.1));
            let style = match filled {
                true => format!("fill:{};fill-opacity:.85", variable(ink)),
                false => format!("fill:none;stroke:{};stroke-width:1.5", variable(ink)),
            };
            format!("<circle cx=\"{x}\" cy=\"{y}\" r=\"{radius}\" style=\"{style}\"/>")
        }
        Shape::Text { at, text, ink, anchor } => format!(
            "<text x=\"{}\" y=\"{}\" style=\"fill:{}\" text-anchor=\"{}\">{}</text>",
            short(at.0),
            short(at.1),
            variable(ink),
            match anchor {
                Anchor::Start => "start",
                Anchor::Middle => "middle",
                Anchor::End => "end",
            },
            escape(text)
        ),
        Shape::Hint { .. } if !with_hints => String::new(),
        Shape::Hint { corner, size, text, picture } => {
            let picture = picture.map(|at| format!(" data-picture=\"{at}\"")).unwrap_or_default();
            format!(
                "<rect class=\"hint\" x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" \
                 data-hint=\"{}\"{picture}/>",
                short(corner.0),
                short(corner.1),
                short(size.0),
                short(size.1),
                escape(text)
            )
        }
    }
}

fn listed(points: &[Place]) -> String {
    let pair = |(x, y): &Place| format!("{},{}", short(*x), short(*y));
    points.iter().map(pair).collect::<Vec<_>>().join(" ")
}

/// A tenth of a pixel is as fine as anybody sees.
fn short(value: f64) -> String {
    let text = format!("{value:.1}");
    text.strip_suffix(".0").map_or(text.clone(), str::to_owned)
}
