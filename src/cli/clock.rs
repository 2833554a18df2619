//! `fobd token clock`, `fobd token set-clock` and `fobd product clocks`.

use serde_json::{Map, Value, json};

use super::error::{CliError, Outcome};
use super::output::{self, Column, column};
use super::selector::{self, Product};
use super::session::{Session, put};

const BATCHES: &[Column] = &[
    column("IMPORT", "import"),
    column("FOR EXAMPLE", "example"),
    column("TOKENS", "tokens"),
    column("PPM", "ratePpm"),
    column("FROM OTHERS", "fromOthersPpm"),
    column("LEAVES", "leaves"),
];

const TOKENS: &[Column] = &[column("SERIAL", "serial"), column("PPM", "ratePpm")];

/// `fobd token set-clock`.
#[derive(Clone, Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  fobd token set-clock 10000042 --offset -75 --rate 12.5\n  fobd token set-clock 10000042 --freeze\n  fobd token set-clock 10000042 --forget"
)]
pub struct SetClockArgs {
    /// Its serial.
    serial: String,
    #[command(flatten)]
    change: ClockChange,
}

/// What is to be another way: one of these at least.
#[derive(Clone, Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct ClockChange {
    /// How far it is ahead of the server now, in seconds.
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    offset: Option<f64>,
    /// How much it gains, in parts per million, from -100 to 100.
    #[arg(long, value_name = "PPM", allow_negative_numbers = true)]
    rate: Option<f64>,
    /// Let it learn nothing more.
    #[arg(long, conflicts_with = "thaw")]
    freeze: bool,
    /// Let it learn again.
    #[arg(long)]
    thaw: bool,
    /// Forget all that is known first.
    #[arg(long)]
    forget: bool,
}

impl SetClockArgs {
    pub(super) fn run(&self, session: &mut Session<'_>) -> Result<Outcome, CliError> {
        let ClockChange { offset, rate, freeze, thaw, forget } = self.change;
        let mut attrs = Map::new();
        put(&mut attrs, "reset", forget.then_some(true));
        put(&mut attrs, "offsetSeconds", offset);
        put(&mut attrs, "ratePpm", rate);
        put(&mut attrs, "frozen", (freeze || thaw).then_some(freeze));
        let params = json!({ "token": selector::token(&self.serial), "attrs": attrs });
        let result = session.call("token/setClock", &params)?;
        Ok(session.show(&result, |_| format!("the clock of token {} is set\n", self.serial)))
    }
}

/// `fobd token clock`.
pub(super) fn show(session: &mut Session<'_>, serial: &str) -> Result<Outcome, CliError> {
    let result = session.call("token/clock", &json!({ "token": selector::token(serial) }))?;
    let first = ["offsetSeconds", "ratePpm", "rateUncertaintyPpm", "rateCounts"];
    Ok(session.show(&result, |clock| output::details(clock, &first)))
}

/// `fobd product clocks`.
pub(super) fn survey(session: &mut Session<'_>, product: &Product) -> Result<Outcome, CliError> {
    let result = session.call("product/clocks", &json!({ "product": product.selector() }))?;
    Ok(session.show(&result, |report| {
        let rows = |name: &str| report[name].as_array().cloned().unwrap_or_default();
        let mut text = match report["ratePpm"].as_f64() {
            Some(rate) => {
                format!("{} tokens, {rate} ppm, spread {} ppm\n", report["tokens"], report["spreadPpm"])
            }
            None => "no clock is known yet: a rate takes 5 successes over 30 days\n".to_owned(),
        };
        for (name, columns) in [("batches", BATCHES), ("leaving", TOKENS)] {
            if rows(name) != Vec::<Value>::new() {
                text.push_str(&format!("\n{}", output::table(columns, &rows(name))));
            }
        }
        text
    }))
}
