//! What moves of a row, as numbers: which columns of which table these are, and how they are kept in memory and in the
//! decision log. This is the one place that a new moving part has to be written into.
//!
//! A state is its columns, in this order: each a LEB128 number, 0 for NULL, else one more than the zigzag form. A new
//! column goes to the end, so that a shorter state of an older program still means the same.

use super::super::StoreError;
use super::{TokenRow, UserRow};
use crate::model::id::{TokenId, UserId};
use crate::otp::clock_model::{ClockState, Spread};
use crate::otp::factor::{FactorState, Pending};
use crate::otp::throttle::Throttle;
use crate::otp::time::Timestamp;

/// A state in its compact form.
pub(super) type State = Box<[u8]>;

/// Whose state.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::store) enum Key {
    /// A user.
    User(UserId),
    /// A token.
    Token(TokenId),
    /// A client address.
    Source(String),
}

/// A table of states.
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) key: &'static str,
    pub(super) columns: &'static [&'static str],
}

pub(super) const USERS: Table =
    Table { name: "user_states", key: "user_id", columns: &["failures", "locked_until_ms"] };
pub(super) const TOKENS: Table = Table {
    name: "token_states",
    key: "token_id",
    columns: &[
        "next_factor",
        "needs_sync",
        "drift_steps",
        "clock_offset_ms",
        "clock_rate_ppb",
        "clock_at_ms",
        "clock_since_ms",
        "clock_successes",
        "clock_spread_offset",
        "clock_spread_both",
        "clock_spread_rate",
        "clock_frozen",
        "clock_rate_given",
        "pending_factor",
        "pending_at_ms",
        "failures",
        "locked_until_ms",
    ],
};
pub(super) const SOURCES: Table =
    Table { name: "source_states", key: "source", columns: &["failures", "locked_until_ms"] };

/// How many of those of a token are its factor; the others are its throttle.
pub(super) const FACTOR: usize = TOKENS.columns.len() - USERS.columns.len();

/// The columns of a factor, for statements where `s` is `token_states`.
pub(in crate::store) const FACTOR_COLUMNS: &str = "s.next_factor, s.needs_sync, s.drift_steps, s.clock_offset_ms,
    s.clock_rate_ppb, s.clock_at_ms, s.clock_since_ms, s.clock_successes, s.clock_spread_offset, s.clock_spread_both,
    s.clock_spread_rate, s.clock_frozen, s.clock_rate_given, s.pending_factor, s.pending_at_ms";

/// Columns of a user or a source.
pub(super) type Throttled = [Option<i64>; USERS.columns.len()];
/// Columns of a token.
pub(super) type Moving = [Option<i64>; TOKENS.columns.len()];

impl Key {
    /// The table that holds the state.
    pub(super) const fn table(&self) -> &'static Table {
        match self {
            Self::User(_) => &USERS,
            Self::Token(_) => &TOKENS,
            Self::Source(_) => &SOURCES,
        }
    }
}

pub(super) fn of_throttle(throttle: &Throttle) -> Throttled {
    [Some(throttle.failures.into()), throttle.locked_until.map(Timestamp::as_millis)]
}

pub(super) fn of_user(row: &UserRow) -> Throttled {
    of_throttle(&row.throttle)
}

pub(super) fn of_token(row: &TokenRow) -> Moving {
    let FactorState { next, clock, pending, needs_sync } = row.factor;
    let millis = |time: Option<Timestamp>| time.map(Timestamp::as_millis);
    let [failures, locked] = of_throttle(&row.throttle);
    [
        Some(next as i64),
        Some(needs_sync.into()),
        Some(clock.drift_steps),
        Some(clock.offset_ms),
        Some(clock.rate_ppb.into()),
        millis(clock.at),
        millis(clock.since),
        Some(clock.successes.into()),
        Some(clock.spread.offset),
        Some(clock.spread.both),
        Some(clock.spread.rate),
        Some(clock.frozen.into()),
        Some(clock.rate_given.into()),
        pending.map(|first| first.factor as i64),
        millis(pending.map(|first| first.at)),
        failures,
        locked,
    ]
}

pub(super) fn throttle(columns: &[Option<i64>]) -> Result<Throttle, StoreError> {
    let [Some(failures), locked] = *columns else { return Err(unreadable("failures")) };
    let failures = u32::try_from(failures).map_err(|_| unreadable("failures"))?;
    Ok(Throttle { failures, locked_until: locked.map(Timestamp::from_millis) })
}

pub(super) fn token(columns: &Moving) -> Result<(FactorState, Throttle), StoreError> {
    let (factor, rest) = columns.split_at(FACTOR);
    Ok((self::factor(factor)?, throttle(rest)?))
}

/// A factor from its columns.
pub(super) fn factor(columns: &[Option<i64>]) -> Result<FactorState, StoreError> {
    let [
        Some(next),
        Some(needs_sync),
        Some(drift_steps),
        Some(offset_ms),
        Some(rate_ppb),
        at,
        since,
        Some(successes),
        Some(offset),
        Some(both),
        Some(rate),
        Some(frozen),
        Some(rate_given),
        pending,
        pending_at,
    ] = *columns
    else {
        return Err(unreadable("token_states"));
    };
    let time = |millis: Option<i64>| millis.map(Timestamp::from_millis);
    let pending = pending.zip(time(pending_at));
    Ok(FactorState {
        next: next as u64,
        needs_sync: needs_sync != 0,
        clock: ClockState {
            drift_steps,
            offset_ms,
            rate_ppb: i32::try_from(rate_ppb).map_err(|_| unreadable("token_states.clock_rate_ppb"))?,
            at: time(at),
            since: time(since),
            successes: u32::try_from(successes).map_err(|_| unreadable("token_states.clock_successes"))?,
            spread: Spread { offset, both, rate },
            frozen: frozen != 0,
            rate_given: rate_given != 0,
        },
        pending: pending.map(|(factor, at)| Pending { factor: factor as u64, at }),
    })
}

pub(super) const fn unreadable(place: &'static str) -> StoreError {
    StoreError::Unreadable { place }
}

/// The compact form of columns.
pub(super) fn encode(columns: &[Option<i64>]) -> State {
    let mut bytes = Vec::with_capacity(24);
    for column in columns {
        put_number(&mut bytes, column.map_or(0, |value| u128::from(zigzag(value)) + 1));
    }
    bytes.into()
}

/// The columns of a compact form. `None` if it is none.
pub(super) fn decode(mut bytes: &[u8]) -> Option<Vec<Option<i64>>> {
    let mut columns = Vec::with_capacity(8);
    while !bytes.is_empty() {
        columns.push(take_column(&mut bytes)?);
    }
    Some(columns)
}

/// One column of a compact form.
pub(super) fn column(mut bytes: &[u8], number: usize) -> Option<Option<i64>> {
    for _ in 0..number {
        take_column(&mut bytes)?;
    }
    take_column(&mut bytes)
}

fn take_column(bytes: &mut &[u8]) -> Option<Option<i64>> {
    match take_number(bytes)? {
        0 => Some(None),
        number => Some(Some(unzigzag(u64::try_from(number - 1).ok()?))),
    }
}

const fn zigzag(value: i64) -> u64 {
    (value.wrapping_shl(1) ^ (value >> 63)) as u64
}

const fn unzigzag(value: u64) -> i64 {
    (value >> 1) as i64 ^ -((value & 1) as i64)
}

/// Appends a number, seven bits a byte, the low ones first.
pub(super) fn put_number(bytes: &mut Vec<u8>, mut number: u128) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

/// Takes a number off the front. `None` if there is none of at most 70 bits.
pub(super) fn take_number(bytes: &mut &[u8]) -> Option<u128> {
    let mut number = 0;
    for place in 0..10 {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u128::from(first & 0x7f) << (7 * place);
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_comes_back() {
        let numbers = [0, 1, -1, 63, 64, -65, 1_767_225_600_123, i64::MAX, i64::MIN];
        let columns: Vec<Option<i64>> = numbers.into_iter().map(Some).chain([None]).collect();
        let bytes = encode(&columns);
        assert_eq!(decode(&bytes).as_ref(), Some(&columns));
        for (number, value) in columns.iter().enumerate() {
            assert_eq!(column(&bytes, number), Some(*value));
        }
        assert_eq!(column(&bytes, columns.len()), None);
    }

    #[test]
    fn what_is_cut_off_is_no_state() {
        let bytes = encode(&[Some(i64::MIN)]);
        assert!((1..bytes.len()).all(|length| decode(&bytes[..length]).is_none()));
        assert_eq!(decode(&[0xff; 30]), None);
    }

    #[test]
    fn states_come_back() {
        let throttle_of = Throttle { failures: 3, locked_until: Some(Timestamp::from_millis(5)) };
        assert_eq!(throttle(&of_throttle(&throttle_of)).unwrap(), throttle_of);
        let clock = ClockState {
            drift_steps: -7,
            offset_ms: -210_000,
            rate_ppb: i32::MIN,
            at: Some(Timestamp::from_millis(1)),
            since: Some(Timestamp::from_millis(2)),
            successes: u32::MAX,
            spread: Spread { offset: 3, both: i64::MIN, rate: 5 },
            frozen: true,
            rate_given: true,
        };
        let pending = Some(Pending { factor: u64::MAX, at: Timestamp::from_millis(6) });
        let factor = FactorState { next: u64::MAX, clock, pending, needs_sync: true };
        for factor in [factor, FactorState::default()] {
            let row = TokenRow {
                repository: crate::model::id::RepositoryId(1),
                product: crate::model::id::ProductId(1),
                status: crate::model::status::TokenStatus::Active,
                credential: None,
                token_identifier: None,
                factor,
                throttle: throttle_of,
            };
            let bytes = encode(&of_token(&row));
            let columns: Moving = decode(&bytes).unwrap().try_into().unwrap();
            assert_eq!(token(&columns).unwrap(), (factor, throttle_of));
        }
    }

    #[test]
    fn the_columns_of_a_factor_are_the_first_ones_of_a_token() {
        let named: Vec<&str> =
            FACTOR_COLUMNS.split(',').map(|name| name.trim().trim_start_matches("s.")).collect();
        assert_eq!(named, TOKENS.columns[..FACTOR]);
    }
}
