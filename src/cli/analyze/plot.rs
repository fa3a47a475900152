//! The chart of `svc analyze plot`: a row for each unit that came up on the way to the target, in the order they began.
//! It is one SVG with nothing to fetch; sizes are in pixels.

use std::collections::HashSet;
use std::fmt::Write;

use super::{chain, headline, span, took};
use crate::control::returns::Timings;
use crate::control::view::UnitTiming;

const ROW: f64 = 20.0;
const TOP: f64 = 64.0;
const CHART_WIDTH: f64 = 900.0;
/// What a letter of 12 pixels takes at most, in the fonts that `sans-serif` is.
const LETTER_WIDTH: f64 = 7.5;
const MARGIN: f64 = 16.0;
/// So much is kept free to the right of the last bar, for its figure.
const FIGURE_WIDTH: f64 = 70.0;

const STYLE: &str = "\
text { font: 12px sans-serif; fill: #222 } .head { font-size: 15px; font-weight: bold } .dim { fill: #777 } \
.grid { stroke: #ddd } .band { fill: #f6f6f6 } .up { fill: #d5e1ee } .begin { fill: #4c78a8 } .critical { fill: #e4702e } \
.never { fill: #c22 }";

/// The whole chart.
pub fn svg(timings: &Timings) -> String {
    let chart = Chart::of(timings);
    let mut out = String::new();
    // Writing to a String does not fail.
    let _ = chart.write(&mut out, timings);
    out
}

struct Chart<'a> {
    rows: Vec<&'a UnitTiming>,
    critical: HashSet<&'a str>,
    /// Microseconds at the right edge.
    end: u64,
    /// Where the bars begin.
    left: f64,
    /// Units that began after the end.
    later: usize,
}

impl<'a> Chart<'a> {
    fn of(timings: &'a Timings) -> Self {
        let target = timings.units.iter().find(|unit| unit.unit == timings.target);
        let last_move = |unit: &UnitTiming| unit.ready_usec.unwrap_or(unit.starting_usec);
        let end = target.and_then(|target| target.ready_usec);
        let end = end
            .or_else(|| timings.units.iter().map(last_move).max())
            .unwrap_or(0)
            .max(1);
        let mut rows: Vec<&UnitTiming> = timings.units.iter().filter(|unit| unit.starting_usec <= end).collect();
        rows.sort_by_key(|unit| (unit.starting_usec, last_move(unit), &unit.unit));
        let longest = rows.iter().map(|unit| unit.unit.chars().count()).max().unwrap_or(0);
        Self {
            critical: chain(timings, &timings.target).iter().map(|unit| &*unit.unit).collect(),
            end,
            left: 2.0 * MARGIN + longest as f64 * LETTER_WIDTH,
            later: timings.units.len() - rows.len(),
            rows,
        }
    }

    fn x(&self, microseconds: u64) -> f64 {
        self.left + microseconds.min(self.end) as f64 / self.end as f64 * CHART_WIDTH
    }

    fn write(&self, out: &mut String, timings: &Timings) -> std::fmt::Result {
        let bottom = TOP + self.rows.len() as f64 * ROW;
        let (width, height) = (self.left + CHART_WIDTH + FIGURE_WIDTH, bottom + 2.0 * ROW);
        writeln!(
            out,
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0}" height="{height:.0}" viewBox="0 0 {width:.0} {height:.0}">"#
        )?;
        writeln!(out, "<style>{STYLE}</style>")?;
        writeln!(out, r##"<rect width="100%" height="100%" fill="#fff"/>"##)?;
        writeln!(
            out,
            r#"<text class="head" x="{MARGIN}" y="24">{}</text>"#,
            escaped(&headline(timings))
        )?;
        let y = |nth: usize| TOP + nth as f64 * ROW;
        for nth in (0..self.rows.len()).step_by(2) {
            let y = y(nth);
            writeln!(out, r#"<rect class="band" x="0" y="{y}" width="100%" height="{ROW}"/>"#)?;
        }
        self.ticks(out, bottom)?;
        for (nth, unit) in self.rows.iter().enumerate() {
            self.row(out, y(nth), unit)?;
        }
        self.legend(out, bottom + 1.5 * ROW)?;
        writeln!(out, "</svg>")
    }

    fn row(&self, out: &mut String, y: f64, unit: &UnitTiming) -> std::fmt::Result {
        let name = escaped(&unit.unit);
        let (begin, end) = (self.x(unit.starting_usec), self.left + CHART_WIDTH);
        let figure = took(unit).map_or_else(|| unit.state.word().to_owned(), span);
        writeln!(
            out,
            "<g><title>{name}: began after {}, {figure}</title>",
            span(unit.starting_usec)
        )?;
        let text_y = y + 14.0;
        let name_x = self.left - MARGIN / 2.0;
        writeln!(
            out,
            r#"<text x="{name_x:.1}" y="{text_y}" text-anchor="end">{name}</text>"#
        )?;
        let mut bar = |class: &str, from: f64, to: f64, inset: f64| {
            let (width, y, height) = ((to - from).max(1.5), y + inset, ROW - 2.0 * inset);
            writeln!(
                out,
                r#"<rect class="{class}" x="{from:.1}" y="{y}" width="{width:.1}" height="{height}"/>"#
            )
        };
        let ready = unit.ready_usec.map(|ready| self.x(ready));
        match ready {
            Some(ready) => {
                bar("up", ready, end, 7.0)?;
                let is_critical = self.critical.contains(&*unit.unit);
                bar(if is_critical { "critical" } else { "begin" }, begin, ready, 4.0)?;
            }
            None => bar("never", begin, begin, 4.0)?,
        }
        let figure_x = ready.unwrap_or(begin) + 5.0;
        writeln!(out, r#"<text x="{figure_x:.1}" y="{text_y}">{figure}</text></g>"#)
    }

    fn ticks(&self, out: &mut String, bottom: f64) -> std::fmt::Result {
        let step = tick(self.end);
        for time in (0..=self.end / step).map(|nth| nth * step) {
            let (x, top) = (self.x(time), TOP - 6.0);
            writeln!(
                out,
                r#"<line class="grid" x1="{x:.1}" x2="{x:.1}" y1="{top}" y2="{bottom}"/>"#
            )?;
            let (text, y) = (span(time), top - 6.0);
            writeln!(
                out,
                r#"<text class="dim" x="{x:.1}" y="{y}" text-anchor="middle">{text}</text>"#
            )?;
        }
        Ok(())
    }

    fn legend(&self, out: &mut String, y: f64) -> std::fmt::Result {
        let mut x = self.left;
        for (class, text) in [
            ("critical", "until ready, and the target waited for it"),
            ("begin", "until ready"),
            ("up", "ready"),
            ("never", "never ready"),
        ] {
            let (top, text_x) = (y - 9.0, x + 16.0);
            writeln!(
                out,
                r#"<rect class="{class}" x="{x:.1}" y="{top}" width="10" height="10"/>"#
            )?;
            writeln!(out, r#"<text class="dim" x="{text_x:.1}" y="{y}">{text}</text>"#)?;
            x = text_x + text.len() as f64 * LETTER_WIDTH * 0.85 + MARGIN;
        }
        if self.later > 0 {
            let text = format!("{} began later", self.later);
            writeln!(out, r#"<text class="dim" x="{x:.1}" y="{y}">{text}</text>"#)?;
        }
        Ok(())
    }
}

/// 1, 2 or 5 times a power of ten, so that there are 4 to 10 of them.
fn tick(end: u64) -> u64 {
    let steps = (0..19).flat_map(|power| [1, 2, 5].map(|times: u64| times.saturating_mul(10_u64.pow(power))));
    steps.into_iter().find(|step| end / step < 10).unwrap_or(end)
}

/// Text as XML has it.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
