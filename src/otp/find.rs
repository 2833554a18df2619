//! Which token shows this passcode? One secret is held against one typed passcode, or two consecutive ones.
//!
//! It decides nothing and spends nothing, so it looks below the floor too: what is on the display of a fob that lies
//! on the floor may have been used to log in a minute ago. HOTP is searched from the passcode before the counter to so
//! many presses ahead of it, TOTP so many steps either side of the forecast.
//!
//! A passcode of six digits is one in a million, and a hundred thousand tokens show as many at eleven counters each:
//! so whoever asks is told how many would fit by chance, and that a second passcode settles it.

use super::credential::{Credential, Kind};
use super::factor::FactorState;
use super::passcode::{Digits, Passcode};
use super::policy::Policy;
use super::time::Timestamp;
use super::window::Window;

/// Most passcodes that a truncated HMAC of 31 bits makes, however many digits it is written with.
const MOST_PASSCODES: f64 = 2_147_483_648.0;

/// Why something typed cannot be searched for. Never quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SoughtError {
    /// Not one and not two.
    #[error("must be one passcode, or two consecutive ones separated by a comma")]
    Count,
    /// Not digits, or too few or too many.
    #[error("must be a passcode of 6 to 10 digits, without a PIN")]
    NoPasscode,
    /// One is longer than the other.
    #[error("must be two passcodes of the same length")]
    Lengths,
    /// The same twice.
    #[error("must be two different passcodes: wait until the token shows another one")]
    Same,
}

/// One typed passcode, or two that followed each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sought {
    passcodes: Vec<Passcode>,
    digits: Digits,
}

/// Where a credential shows what is sought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// The moving factor of the first passcode.
    pub factor: u64,
    /// That of the last one.
    pub last: u64,
    /// How far the first one is ahead of what is expected next: presses of HOTP, steps of TOTP. Negative is behind.
    pub ahead: i64,
}

/// What came of one credential.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// The nearest sighting.
    pub sighting: Option<Sighting>,
    /// How many moving factors were tried.
    pub tried: u64,
}

impl Sought {
    /// Reads what was typed. Spaces within a passcode, as some displays group it, are skipped.
    ///
    /// # Errors
    /// [`SoughtError`] says what it must be.
    pub fn parse(typed: &[&str]) -> Result<Self, SoughtError> {
        if !matches!(typed.len(), 1 | 2) {
            return Err(SoughtError::Count);
        }
        let mut passcodes: Vec<Passcode> = Vec::with_capacity(typed.len());
        let mut length = None;
        for text in typed {
            let text: zeroize::Zeroizing<String> =
                zeroize::Zeroizing::new(text.chars().filter(|c| *c != ' ').take(16).collect());
            let digits = u8::try_from(text.len()).ok().and_then(|digits| Digits::new(digits).ok());
            let digits = digits.ok_or(SoughtError::NoPasscode)?;
            if *length.get_or_insert(digits) != digits {
                return Err(SoughtError::Lengths);
            }
            let passcode = Passcode::parse(&text, digits).ok_or(SoughtError::NoPasscode)?;
            if passcodes.contains(&passcode) {
                return Err(SoughtError::Same);
            }
            passcodes.push(passcode);
        }
        Ok(Self { passcodes, digits: length.unwrap_or_default() })
    }

    /// Length of the passcodes: tokens with others need not be asked.
    #[must_use]
    pub const fn digits(&self) -> Digits {
        self.digits
    }

    /// Whether there are two.
    #[must_use]
    pub fn is_pair(&self) -> bool {
        self.passcodes.len() > 1
    }

    /// How likely one moving factor of some other secret shows the same.
    #[must_use]
    pub fn chance(&self) -> f64 {
        let one = 10_f64.powi(i32::from(self.digits.get())).min(MOST_PASSCODES).recip();
        self.passcodes.iter().map(|_| one).product()
    }

    /// Looks whether a credential shows it: `reach` presses ahead of the counter, or steps either side of the forecast.
    #[must_use]
    pub fn look(
        &self,
        credential: &Credential,
        state: &FactorState,
        now: Timestamp,
        policy: &Policy,
        reach: u32,
    ) -> Look {
        if credential.parameters.digits != self.digits {
            return Look::default();
        }
        let (centre, behind) = match credential.parameters.kind {
            Kind::Hotp => (state.next, 1),
            Kind::Totp { time_step } => (state.clock.step_at(time_step, now, policy), u64::from(reach)),
        };
        self.look_around(credential, centre, behind, u64::from(reach))
    }

    /// The same around a factor that the caller knows.
    pub(super) fn look_around(&self, credential: &Credential, centre: u64, behind: u64, ahead: u64) -> Look {
        let more = self.passcodes.len().saturating_sub(1) as u64;
        let window = Window::open(centre, behind, ahead.saturating_add(more));
        let found = window.search(&credential.generator(), &self.passcodes);
        let sighting = found.map(|last| {
            let factor = last.saturating_sub(more);
            let ahead = i128::from(factor) - i128::from(centre);
            Sighting { factor, last, ahead: i64::try_from(ahead).unwrap_or(i64::MAX) }
        });
        Look { sighting, tried: window.count().saturating_sub(more) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otp::credential::Parameters;
    use crate::otp::secret::Secret;

    const NOW: Timestamp = Timestamp::from_secs(30_000);

    fn credential(parameters: Parameters) -> Credential {
        Credential { secret: Secret::new(b"12345678901234567890".to_vec()).unwrap(), parameters }
    }

    fn shown(parameters: Parameters, factor: u64) -> String {
        credential(parameters).generator().at(factor).as_str().to_owned()
    }

    fn ahead(parameters: Parameters, state: &FactorState, factors: &[u64]) -> Option<i64> {
        let typed: Vec<String> = factors.iter().map(|factor| shown(parameters, *factor)).collect();
        let typed: Vec<&str> = typed.iter().map(String::as_str).collect();
        let look =
            Sought::parse(&typed).unwrap().look(&credential(parameters), state, NOW, &Policy::default(), 10);
        look.sighting.map(|sighting| sighting.ahead)
    }

    #[test]
    fn a_button_token_is_found_from_the_passcode_just_used_to_ten_presses_ahead() {
        let state = FactorState::starting_at(100);
        let found: Vec<_> = (97..=112).map(|factor| ahead(Parameters::HOTP, &state, &[factor])).collect();
        let mut expected = vec![None, None];
        expected.extend((-1..=10).map(Some));
        expected.extend([None, None]);
        assert_eq!(found, expected);
        assert_eq!(ahead(Parameters::HOTP, &FactorState::default(), &[0]), Some(0));
    }

    #[test]
    fn a_clock_token_is_found_on_both_sides_of_the_forecast_spent_or_not() {
        let spent = FactorState::starting_at(2000);
        assert_eq!(ahead(Parameters::TOTP, &spent, &[990]), Some(-10));
        assert_eq!(ahead(Parameters::TOTP, &spent, &[1010]), Some(10));
        assert_eq!(ahead(Parameters::TOTP, &spent, &[989]), None);
    }

    #[test]
    fn a_pair_must_follow_each_other_and_begin_within_reach() {
        let state = FactorState::starting_at(100);
        assert_eq!(ahead(Parameters::HOTP, &state, &[110, 111]), Some(10));
        assert_eq!(ahead(Parameters::HOTP, &state, &[99, 100]), Some(-1));
        assert_eq!(ahead(Parameters::HOTP, &state, &[111, 112]), None);
        assert_eq!(ahead(Parameters::HOTP, &state, &[101, 103]), None);
        assert_eq!(ahead(Parameters::HOTP, &state, &[102, 101]), None);
    }

    #[test]
    fn nothing_overflows_at_the_last_counter() {
        let state = FactorState::starting_at(u64::MAX);
        assert_eq!(ahead(Parameters::HOTP, &state, &[u64::MAX - 1]), Some(-1));
        assert_eq!(ahead(Parameters::HOTP, &state, &[3]), None);
    }

    #[test]
    fn tokens_with_passcodes_of_another_length_are_not_asked() {
        let sought = Sought::parse(&["00755224"]).unwrap();
        let look =
            sought.look(&credential(Parameters::HOTP), &FactorState::default(), NOW, &Policy::default(), 10);
        assert_eq!(look, Look::default());
    }

    #[test]
    fn what_was_tried_and_the_chance_of_one_make_the_expectation() {
        let state = FactorState::starting_at(100);
        let one = Sought::parse(&["755 224"]).unwrap();
        assert_eq!(one.look(&credential(Parameters::HOTP), &state, NOW, &Policy::default(), 10).tried, 12);
        assert_eq!(
            one.look(&credential(Parameters::HOTP), &FactorState::default(), NOW, &Policy::default(), 10)
                .tried,
            11
        );
        assert_eq!(one.look(&credential(Parameters::TOTP), &state, NOW, &Policy::default(), 10).tried, 21);
        let pair = Sought::parse(&["755224", "287082"]).unwrap();
        assert_eq!(pair.look(&credential(Parameters::HOTP), &state, NOW, &Policy::default(), 10).tried, 12);
        assert!((one.chance() - 1e-6).abs() < 1e-18 && (pair.chance() - 1e-12).abs() < 1e-24);
        let ten = Sought::parse(&["0123456789"]).unwrap();
        assert!((ten.chance() - 1.0 / 2_147_483_648.0).abs() < 1e-20);
    }

    #[test]
    fn what_cannot_be_passcodes_is_refused_without_being_quoted() {
        for (typed, error) in [
            (&[][..], SoughtError::Count),
            (&["755224", "287082", "359152"], SoughtError::Count),
            (&["75522"], SoughtError::NoPasscode),
            (&["1234-755224"], SoughtError::NoPasscode),
            (&["12345678901"], SoughtError::NoPasscode),
            (&["75522x"], SoughtError::NoPasscode),
            (&["755224", "00287082"], SoughtError::Lengths),
            (&["755224", "755224"], SoughtError::Same),
        ] {
            assert_eq!(Sought::parse(typed), Err(error));
            assert!(!error.to_string().contains("755"));
        }
        let sought = Sought::parse(&["755224"]).unwrap();
        assert!(!format!("{sought:?}").contains("755"));
    }
}
