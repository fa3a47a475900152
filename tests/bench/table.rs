//! Samples to a table that a person reads: medians, the best, the ratio to the limit, and whether the goal is met.

/// What a line is to reach.
#[derive(Clone, Copy)]
pub enum Goal {
    /// At most so many times its limit.
    Times(f64),
    /// At most this.
    Most(f64),
    /// At least this.
    Least(f64),
}

/// One contestant's samples.
struct Line {
    name: String,
    samples: Vec<f64>,
    limit: Option<usize>,
    goal: Option<Goal>,
    note: String,
}

/// One table.
pub struct Table {
    title: String,
    unit: &'static str,
    more_is_better: bool,
    lines: Vec<Line>,
}

impl Table {
    /// An empty one; `unit` is that of all samples.
    pub fn new(title: impl Into<String>, unit: &'static str) -> Self {
        Self {
            title: title.into(),
            unit,
            more_is_better: false,
            lines: Vec::new(),
        }
    }

    /// For rates.
    pub fn more_is_better(mut self) -> Self {
        self.more_is_better = true;
        self
    }

    /// A line with its limit, if it has one: what an earlier `add` returned.
    pub fn add(&mut self, name: impl Into<String>, samples: Vec<f64>, limit: Option<usize>) -> usize {
        self.lines.push(Line {
            name: name.into(),
            samples,
            limit,
            goal: None,
            note: String::new(),
        });
        self.lines.len() - 1
    }

    /// What the line is to reach.
    pub fn goal(&mut self, line: usize, goal: Goal) {
        self.lines[line].goal = Some(goal);
    }

    /// What else is to be said of the line.
    pub fn note(&mut self, line: usize, note: impl Into<String>) {
        self.lines[line].note = note.into();
    }

    pub fn print(&self) {
        let width = self
            .lines
            .iter()
            .map(|line| line.name.chars().count())
            .max()
            .unwrap_or(0)
            .max(20);
        println!("\n{}", self.title);
        println!(
            "{:width$}  {:>10}  {:>10}  {:>7}  {:<16}",
            "", "median", "best", "× limit", "goal"
        );
        for line in &self.lines {
            if line.samples.is_empty() {
                println!("{:width$}  {:>10}  {}", line.name, "–", line.note);
                continue;
            }
            let value = |number: f64| format!("{} {}", figure(number), self.unit);
            let best = line
                .samples
                .iter()
                .copied()
                .reduce(|a, b| if self.more_is_better { a.max(b) } else { a.min(b) });
            let ratio = self.ratio(line).map_or(String::new(), |ratio| format!("{ratio:.2}"));
            let text = format!(
                "{:width$}  {:>10}  {:>10}  {ratio:>7}  {:<16}  {}",
                line.name,
                value(median(&line.samples)),
                value(best.unwrap_or(f64::NAN)),
                self.verdict(line),
                line.note
            );
            println!("{}", text.trim_end());
        }
    }

    fn ratio(&self, line: &Line) -> Option<f64> {
        let limit = &self.lines.get(line.limit?)?.samples;
        let ratio = median(&line.samples) / median(limit);
        Some(if self.more_is_better { 1.0 / ratio } else { ratio })
    }

    fn verdict(&self, line: &Line) -> String {
        let Some(goal) = line.goal else { return String::new() };
        let (met, text) = match goal {
            Goal::Times(most) => (
                self.ratio(line).is_some_and(|ratio| ratio <= most),
                format!("≤ {most}×"),
            ),
            Goal::Most(most) => (
                median(&line.samples) <= most,
                format!("≤ {} {}", figure(most), self.unit),
            ),
            Goal::Least(least) => (
                median(&line.samples) >= least,
                format!("≥ {} {}", figure(least), self.unit),
            ),
        };
        format!("{} {text}", if met { "met" } else { "MISSED" })
    }
}

/// Three digits that count.
pub fn figure(number: f64) -> String {
    match number.abs() {
        n if n >= 100.0 => format!("{number:.0}"),
        n if n >= 10.0 => format!("{number:.1}"),
        n if n >= 1.0 => format!("{number:.2}"),
        n if n >= 0.001 => format!("{number:.3}"),
        _ => format!("{number:.0}"),
    }
}

/// The middle one.
pub fn median(samples: &[f64]) -> f64 {
    quantile(samples, 0.5)
}

/// The sample below which this share of all is.
pub fn quantile(samples: &[f64], share: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = (share * sorted.len().saturating_sub(1) as f64).round() as usize;
    sorted.get(place).copied().unwrap_or(f64::NAN)
}
