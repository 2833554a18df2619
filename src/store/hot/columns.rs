//! What moves of a row, as numbers: which columns of which table these are, and how they are kept in memory and in the
//! decision log. This is the one place that a new moving part has to be written into.
//!
//! A state is its columns, in this order: each a LEB128 number, 0 for NULL, else one more than the zigzag form. A new
//! column goes to the end, so that a shorter state of an older program still means the same.

use super::super::StoreError;
use super::{TokenRow, UserRow};
use crate::model::id::{TokenId, UserId};
use crate::otp::factor::FactorState;
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
    columns: &["next_factor", "drift_steps", "needs_sync", "failures", "locked_until_ms"],
};
pub(super) const SOURCES: Table =
    Table { name: "source_states", key: "source", columns: &["failures", "locked_until_ms"] };

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
    let factor = &row.factor;
    let [failures, locked] = of_throttle(&row.throttle);
    [
        Some(factor.next as i64),
        Some(factor.drift_steps),
        Some(factor.needs_sync.into()),
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
    let [Some(next), Some(drift_steps), Some(needs_sync), failures, locked] = *columns else {
        return Err(unreadable("token_states"));
    };
    let factor = FactorState { next: next as u64, drift_steps, needs_sync: needs_sync != 0 };
    Ok((factor, throttle(&[failures, locked])?))
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
        let factor = FactorState { next: u64::MAX, drift_steps: -7, needs_sync: true };
        let row = TokenRow {
            repository: crate::model::id::RepositoryId(1),
            status: crate::model::status::TokenStatus::Active,
            credential: None,
            factor,
            throttle: throttle_of,
        };
        let bytes = encode(&of_token(&row));
        let columns: Moving = decode(&bytes).unwrap().try_into().unwrap();
        assert_eq!(token(&columns).unwrap(), (factor, throttle_of));
    }
}
