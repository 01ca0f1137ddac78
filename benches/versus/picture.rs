//! Draws the picture of the README.

use std::error::Error;
use std::path::Path;

use plotters::prelude::*;

use crate::contenders::{AFTER_FORK, OF_THREAD, ONE, Series, UNBUFFERED, V1, V7, V7_THOUSAND};
use crate::quantile;

/// The parts of the picture, and the groups in each.
const PICTURE: [(&str, &[&str]); 5] = [
    ("One by one", &[ONE, UNBUFFERED]),
    (
        "In bulk",
        &["v4, 16 at once", "v4, 1000 at once", V7_THOUSAND],
    ),
    ("Version 7", &[V7]),
    ("Version 1", &[V1]),
    ("Beginnings", &[AFTER_FORK, OF_THREAD]),
];

/// Draws a bar on a logarithmic scale for each contender, with the ratio of its time to that of
/// fork-safe-uuid.
pub(crate) fn draw(all: &[Series], machine: &str) -> Result<(), Box<dyn Error>> {
    let of = |group: &'static str| all.iter().filter(move |series| series.group == group);
    let bars =
        |groups: &[&'static str]| groups.iter().map(|group| of(group).count()).sum::<usize>();
    let lines: usize = PICTURE.iter().map(|(_, groups)| 1 + bars(groups)).sum();
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/benchmarks.svg");
    std::fs::create_dir_all(path.parent().expect("docs"))?;
    let (left, top, step, width) = (290, 60, 24, 800);
    let height = top + step * lines as i32 + 10;
    let root = SVGBackend::new(&path, (width as u32, height as u32)).into_drawing_area();
    root.fill(&WHITE)?;
    let text = |size: i32| ("sans-serif", size).into_font();
    let title = "Time for each UUID (logarithmic), and its ratio to that of fork-safe-uuid";
    root.draw(&Text::new(title, (20, 14), text(18)))?;
    root.draw(&Text::new(machine.to_owned(), (20, 38), text(12)))?;
    let shown = PICTURE.iter().flat_map(|(_, groups)| groups.iter());
    let longest = shown
        .flat_map(|group| of(group))
        .map(|series| quantile(&series.times, 0.5))
        .fold(10.0, f64::max);
    // The width of a power of ten.
    let decade = f64::from(width - left - 130) / longest.log10();
    let mut y = top;
    for (part, groups) in PICTURE {
        root.draw(&Text::new(
            part,
            (20, y + 4),
            text(14).style(FontStyle::Bold),
        ))?;
        y += step;
        for group in groups {
            let ours = of(group).next().expect("measured");
            for series in of(group) {
                let is_ours = std::ptr::eq(series, ours);
                let time = quantile(&series.times, 0.5);
                let end = left + (time.log10() * decade).max(2.0) as i32;
                let (name, color) = match is_ours {
                    true => ("fork-safe-uuid", RGBColor(0, 114, 178)),
                    false => (series.name, RGBColor(170, 170, 170)),
                };
                let name = format!("{group}: {name}");
                root.draw(&Text::new(name, (32, y + 3), text(13)))?;
                let bar = [(left, y), (end, y + step - 8)];
                root.draw(&Rectangle::new(bar, color.filled()))?;
                let time = match time {
                    1000.0.. => format!("{:.1} µs", time / 1000.0),
                    _ => format!("{time:.1} ns"),
                };
                let ratios: Vec<f64> = (series.times.iter().zip(&ours.times))
                    .map(|(peer, ours)| peer / ours)
                    .collect();
                let ratio = quantile(&ratios, 0.5);
                let label = match is_ours {
                    true => time,
                    false => format!("{time}, × {ratio:.1}"),
                };
                root.draw(&Text::new(label, (end + 6, y + 3), text(13)))?;
                y += step;
            }
        }
    }
    root.present()?;
    Ok(())
}
