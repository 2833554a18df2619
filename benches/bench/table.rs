//! The table of figures, printed row by row as they come.

/// What a figure must be.
#[derive(Clone, Copy)]
pub enum Limit {
    /// At most so much of its own unit.
    AtMost(f64),
    /// At least so much of its own unit.
    AtLeast(f64),
    /// At most so many times its reference.
    TimesAtMost(f64),
    /// At least so many times its reference.
    TimesAtLeast(f64),
    /// It is there to be read.
    None,
}

/// Prints rows.
pub struct Table {
    kept: bool,
}

impl Table {
    /// Prints the head.
    pub fn start() -> Self {
        println!(
            "{:<58} | {:>14} | {:>14} | {:>7} | {:>14} | ok?",
            "what", "measured", "reference", "ratio", "must reach"
        );
        println!("{}", "-".repeat(127));
        Self { kept: true }
    }

    /// Prints a row; `reference` is in the same unit.
    pub fn row(&mut self, what: &str, unit: &str, measured: f64, reference: Option<f64>, limit: Limit) {
        let ratio = reference.map(|reference| measured / reference);
        let (must, ok) = match limit {
            Limit::AtMost(most) => (format!("<= {} {unit}", figure(most)), Some(measured <= most)),
            Limit::AtLeast(least) => (format!(">= {} {unit}", figure(least)), Some(measured >= least)),
            Limit::TimesAtMost(most) => (format!("<= {most}x"), ratio.map(|ratio| ratio <= most)),
            Limit::TimesAtLeast(least) => (format!(">= {least}x"), ratio.map(|ratio| ratio >= least)),
            Limit::None => (String::new(), None),
        };
        self.kept &= ok != Some(false);
        println!(
            "{what:<58} | {:>14} | {:>14} | {:>7} | {must:>14} | {}",
            format!("{} {unit}", figure(measured)),
            reference.map_or_else(String::new, |reference| format!("{} {unit}", figure(reference))),
            ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}x")),
            match ok {
                Some(true) => "yes",
                Some(false) => "NO",
                None => "",
            }
        );
    }

    /// Whether every figure so far keeps its limit.
    pub fn all_kept(&self) -> bool {
        self.kept
    }
}

fn figure(number: f64) -> String {
    if number.abs() >= 100.0 { format!("{number:.0}") } else { format!("{number:.3}") }
}

/// The part `0.0..=1.0` of sorted figures.
pub fn quantile(sorted: &[f64], part: f64) -> f64 {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * part).round() as usize).copied().unwrap_or(f64::NAN)
}
