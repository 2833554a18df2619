//! The clocks of TOTP tokens: what the model knows of one, setting it by hand, and which batches of a product leave
//! the curve of the others.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value as Json, json};

use super::error::{Error, Kind};
use super::inventory::Selector;
use crate::access::Caller;
use crate::model::id::{ProductId, TokenId};
use crate::otp::clock_model::survey::{self, Curve};
use crate::otp::clock_model::{ClockState, MOST_RATE_PPB};
use crate::otp::credential::{Kind as Otp, Parameters};
use crate::otp::time::Timestamp;
use crate::otp::totp::TimeStep;
use crate::store::clocks::ClockRate;
use crate::store::hot::{Decision, Keys, Rows};
use crate::store::{Reader, Store, audit, objects};

/// Furthest that a clock can be set, in seconds: ten years.
const MOST_OFFSET_SECONDS: f64 = 315_360_000.0;
/// Most single tokens that a report names.
const MOST_NAMED: usize = 100;

/// What is known of the clock of a token.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[serde(rename_all = "camelCase")]
pub struct ClockShown {
    /// How far the token is thought to be ahead of the server now, in seconds.
    offset_seconds: f64,
    /// How much it gains, in parts per million.
    rate_ppm: f64,
    /// How far that may be from right, in parts per million (one standard deviation).
    rate_uncertainty_ppm: f64,
    /// Whether the rate is used: after 5 successes over 30 days, or if it was set.
    rate_counts: bool,
    /// Whether the rate was set by hand.
    rate_given: bool,
    /// Successes that it was learned from.
    successes: u32,
    /// The first of them.
    since: Option<String>,
    /// When it was last learned or set.
    last_learned: Option<String>,
    /// Whether it learns nothing.
    frozen: bool,
    /// Time steps either side of the forecast that are accepted now.
    window_steps: u32,
}

/// The clocks of the tokens of a product.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[serde(rename_all = "camelCase")]
pub struct ClocksShown {
    /// Tokens whose rate is known.
    tokens: usize,
    /// The middle one of their rates, in parts per million; null if none is known.
    rate_ppm: Option<f64>,
    /// How far the rates spread around it, in parts per million (as a standard deviation).
    spread_ppm: Option<f64>,
    /// Tokens that came together.
    batches: Vec<BatchShown>,
    /// Single tokens that leave the curve of the product, at most 100.
    leaving: Vec<LeavingShown>,
}

/// Tokens that came in one import.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[serde(rename_all = "camelCase")]
pub struct BatchShown {
    /// Number of the import; null for the tokens that were made one by one.
    import: Option<i64>,
    /// A token of it, by its serial.
    example: String,
    /// Tokens whose rate is known.
    tokens: usize,
    /// The middle one of their rates, in parts per million.
    rate_ppm: f64,
    /// How far that is from the middle of all other batches; null if there is too little to compare.
    from_others_ppm: Option<f64>,
    /// Whether it leaves their curve: look at the battery or the maker of this batch.
    leaves: bool,
}

/// A token whose clock leaves the curve of its product.
#[derive(Serialize, JsonSchema)]
#[schemars(deny_unknown_fields)]
#[serde(rename_all = "camelCase")]
pub struct LeavingShown {
    /// Id of the token.
    id: String,
    /// Its serial number.
    serial: String,
    /// Its rate, in parts per million.
    rate_ppm: f64,
}

/// Shows what is known of the clock of a token.
///
/// # Errors
/// [`Kind::NoSecret`]; [`Kind::Invalid`] for an HOTP token, which has no clock.
pub async fn show(store: &Store, token: Selector, now: Timestamp) -> Result<Json, Error> {
    store
        .read(move |reader| {
            let token = TokenId(token.find(reader, &objects::TOKEN)?);
            let (factor, parameters) = reader.factor_of(token)?.ok_or_else(|| Error::not_found("token"))?;
            let time_step = time_step_of(parameters)?;
            let (clock, policy) = (factor.clock, reader.policy_of(token)?);
            let iso = |time: Option<Timestamp>| time.map(objects::iso);
            Ok(json!(ClockShown {
                offset_seconds: clock.offset_at(now, &policy) as f64 / 1000.0,
                rate_ppm: ppm(i64::from(clock.rate_ppb)),
                rate_uncertainty_ppm: ppm(i64::from(clock.rate_spread_ppb())),
                rate_counts: clock.rate_counts(),
                rate_given: clock.rate_given,
                successes: clock.successes,
                since: iso(clock.since),
                last_learned: iso(clock.at),
                frozen: clock.frozen,
                window_steps: clock.forecast(time_step, now, &policy).reach,
            }))
        })
        .await
}

/// What to set of a clock.
#[derive(Default)]
pub struct ClockChange {
    /// Forget what is known, before all else.
    pub forget: bool,
    /// How far the token is ahead, in seconds.
    pub offset_seconds: Option<f64>,
    /// How much it gains, in parts per million.
    pub rate_ppm: Option<f64>,
    /// Whether it learns nothing.
    pub frozen: Option<bool>,
}

/// Sets the clock of a token by hand. The floor stays: nothing that was spent comes back.
///
/// # Errors
/// [`Kind::NoSecret`]; [`Kind::Invalid`] for an HOTP token, or a value out of range.
pub async fn set(store: &Store, caller: &Caller, token: TokenId, change: ClockChange) -> Result<(), Error> {
    let ClockChange { forget, offset_seconds, rate_ppm, frozen } = change;
    let most = MOST_OFFSET_SECONDS;
    if offset_seconds.is_some_and(|seconds| !(-most..=most).contains(&seconds)) {
        return Err(Error::invalid("attrs.offsetSeconds", "must be at most ten years either way"));
    }
    let most = ppm(i64::from(MOST_RATE_PPB));
    if rate_ppm.is_some_and(|rate| !(-most..=most).contains(&rate)) {
        return Err(Error::invalid("attrs.ratePpm", "must be from -100 to 100"));
    }
    if !forget && offset_seconds.is_none() && rate_ppm.is_none() && frozen.is_none() {
        return Err(Error::invalid("attrs", "must say what to set"));
    }
    // Both lie in their range, so they fit.
    let offset_ms = offset_seconds.map(|seconds| (seconds * 1000.0).round() as i64);
    let rate_ppb = rate_ppm.map(|rate| (rate * 1000.0).round() as i32);
    let operator = caller.name.clone();
    store.decide(SetClock { operator, token, forget, offset_ms, rate_ppb, frozen }).await?
}

struct SetClock {
    operator: String,
    token: TokenId,
    forget: bool,
    offset_ms: Option<i64>,
    rate_ppb: Option<i32>,
    frozen: Option<bool>,
}

impl Decision for SetClock {
    type Reply = Result<(), Error>;

    fn keys(&self) -> Keys {
        Keys { token: Some(self.token), ..Keys::default() }
    }

    fn decide(&self, rows: &mut Rows, now: Timestamp) -> (Self::Reply, audit::Entry) {
        let reply = self.set(rows, now);
        let entry = audit::Entry {
            operator: self.operator.clone(),
            action: "token/setClock",
            token: Some(self.token),
            user: None,
            outcome: if reply.is_ok() { "set" } else { "refused" },
            detail: self.described(),
        };
        (reply, entry)
    }
}

impl SetClock {
    fn set(&self, rows: &mut Rows, now: Timestamp) -> Result<(), Error> {
        let token = rows.tokens.get_mut(&self.token).ok_or_else(|| Error::not_found("token"))?;
        time_step_of(token.credential.as_ref().map(|credential| credential.parameters))?;
        let clock = &mut token.factor.clock;
        if self.forget {
            *clock = ClockState::default();
        }
        if let Some(offset_ms) = self.offset_ms {
            clock.set_offset(offset_ms, now);
        }
        if let Some(rate_ppb) = self.rate_ppb {
            clock.set_rate(rate_ppb, now);
        }
        if let Some(frozen) = self.frozen {
            clock.frozen = frozen;
        }
        token.factor.pending = None;
        Ok(())
    }

    fn described(&self) -> String {
        let parts = [
            self.forget.then(|| "forgotten".to_owned()),
            self.offset_ms.map(|offset| format!("offset {offset} ms")),
            self.rate_ppb.map(|rate| format!("rate {rate} ppb")),
            self.frozen.map(|frozen| if frozen { "frozen" } else { "learning" }.to_owned()),
        ];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// Reports how fast the clocks of a product's tokens run, and which batches and tokens leave the curve.
///
/// # Errors
/// [`Kind::ProductNotFound`].
pub async fn survey(store: &Store, product: Selector) -> Result<Json, Error> {
    store
        .read(move |reader| {
            let product = ProductId(product.find(reader, &objects::PRODUCT)?);
            let rates = reader.clock_rates(product)?;
            let mut by_batch: BTreeMap<i64, (TokenId, Vec<i32>)> = BTreeMap::new();
            for rate in &rates {
                let (_, batch) = by_batch.entry(rate.batch).or_insert_with(|| (rate.token, Vec::new()));
                batch.push(rate.rate_ppb);
            }
            let batches: Vec<Vec<i32>> = by_batch.values().map(|(_, rates)| rates.clone()).collect();
            let mut shown = Vec::new();
            for ((import, (token, _)), judged) in by_batch.iter().zip(survey::judge(&batches)) {
                shown.push(BatchShown {
                    import: (*import != 0).then_some(*import),
                    example: reader.serial_of(*token)?,
                    tokens: judged.tokens,
                    rate_ppm: ppm(judged.median_ppb),
                    from_others_ppm: judged.from_others_ppb.map(ppm),
                    leaves: judged.leaves,
                });
            }
            let curve = Curve::of(rates.iter().map(|rate| rate.rate_ppb));
            Ok::<_, Error>(json!(ClocksShown {
                tokens: rates.len(),
                rate_ppm: curve.map(|curve| ppm(curve.median_ppb)),
                spread_ppm: curve.map(|curve| ppm(curve.spread_ppb)),
                batches: shown,
                leaving: leaving(reader, curve, &rates)?,
            }))
        })
        .await
}

fn leaving(
    reader: &Reader<'_>,
    curve: Option<Curve>,
    rates: &[ClockRate],
) -> Result<Vec<LeavingShown>, Error> {
    let left = rates.iter().filter(|rate| curve.is_some_and(|curve| curve.is_left_by(rate.rate_ppb)));
    let mut shown = Vec::new();
    for rate in left.take(MOST_NAMED) {
        shown.push(LeavingShown {
            id: rate.token.to_string(),
            serial: reader.serial_of(rate.token)?,
            rate_ppm: ppm(i64::from(rate.rate_ppb)),
        });
    }
    Ok(shown)
}

fn time_step_of(parameters: Option<Parameters>) -> Result<TimeStep, Error> {
    match parameters.map(|parameters| parameters.kind) {
        Some(Otp::Totp { time_step }) => Ok(time_step),
        Some(Otp::Hotp) => Err(Error::invalid("token", "is HOTP: it counts, and has no clock")),
        None => Err(Error::new(Kind::NoSecret, "the token has no secret yet: program or import it first")),
    }
}

/// From parts per billion.
fn ppm(ppb: i64) -> f64 {
    ppb as f64 / 1000.0
}
