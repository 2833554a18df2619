//! Where does what was typed stand with a token that did not let it in? For the helpdesk, after the fact.
//!
//! It looks further than a verification does: below the floor, where used passcodes are, and as far ahead or off as a
//! resync reaches. It changes nothing and judges no PIN; what comes out says how far a passcode is off, never what it
//! was.

use super::credential::{Credential, Kind};
use super::factor::FactorState;
use super::hotp::Generator;
use super::passcode::Passcode;
use super::policy::Policy;
use super::repeats::MAX_TYPED_BYTES;
use super::time::Timestamp;
use super::verify::{bare, split};
use super::window::Window;

/// How many used counters are looked at.
const MOST_BEHIND: u64 = 1000;

/// Where a passcode stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// What was typed has no passcode of this token's length where one must be.
    NoPasscode,
    /// The token does not show it anywhere near.
    Nowhere,
    /// The token shows it there.
    At(Spot),
}

/// How far a passcode is off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spot {
    /// Its moving factor.
    pub factor: u64,
    /// How far it is ahead of what is expected: presses from the counter, or steps from the forecast; negative is behind.
    pub ahead: i64,
    /// TOTP: how many steps the clock of the token is ahead of the server's; negative is behind.
    pub clock_steps: Option<i64>,
    /// It, or a later one, was accepted before.
    pub spent: bool,
    /// How far ahead, or off, is accepted.
    pub reach: u32,
}

/// What is known of a token.
#[derive(Clone, Copy)]
pub struct Suspect<'a> {
    /// How it makes passcodes.
    pub credential: &'a Credential,
    /// What the token types before each passcode; empty for nothing.
    pub token_identifier: &'a str,
    /// Where it stood when that was typed.
    pub state: &'a FactorState,
    /// By what it is judged.
    pub policy: &'a Policy,
    /// Whether a PIN stands beside the passcode.
    pub has_pin: bool,
}

impl Suspect<'_> {
    /// Finds what was typed at a login, a PIN beside it.
    #[must_use]
    pub fn place(&self, typed: &str, now: Timestamp) -> Place {
        let typed = if typed.len() > MAX_TYPED_BYTES { "" } else { typed };
        let digits = self.credential.parameters.digits;
        match split(typed, digits, self.token_identifier, self.policy.pin_placement) {
            Some((passcode, _)) => self.search(&self.credential.generator(), passcode, now),
            None => Place::NoPasscode,
        }
    }

    /// Finds bare passcodes, as a resync takes them.
    #[must_use]
    pub fn places(&self, passcodes: &[&str], now: Timestamp) -> Vec<Place> {
        let generator = self.credential.generator();
        let digits = self.credential.parameters.digits;
        let place = |text: &&str| {
            Passcode::parse(bare(text, digits, self.token_identifier), digits)
                .map_or(Place::NoPasscode, |passcode| self.search(&generator, passcode, now))
        };
        passcodes.iter().map(place).collect()
    }

    fn search(&self, generator: &Generator, passcode: Passcode, now: Timestamp) -> Place {
        let Self { credential, state, policy, has_pin, .. } = *self;
        let (centre, behind, ahead, reach) = match credential.parameters.kind {
            Kind::Hotp => {
                let reach = if has_pin { policy.hotp_look_ahead } else { policy.hotp_look_ahead_without_pin };
                (state.next, MOST_BEHIND, u64::from(policy.hotp_sync_window), reach)
            }
            Kind::Totp { time_step } => {
                let forecast = state.clock.forecast(time_step, now, policy);
                let around = u64::from(policy.totp_sync_window);
                (forecast.step, around, around, forecast.reach)
            }
        };
        let Some(factor) = Window::open(centre, behind, ahead).search(generator, &[passcode]) else {
            return Place::Nowhere;
        };
        let from = |origin: u64| i64::try_from(i128::from(factor) - i128::from(origin)).unwrap_or(i64::MAX);
        let clock_steps = match credential.parameters.kind {
            Kind::Hotp => None,
            Kind::Totp { time_step } => Some(from(time_step.step_at(now))),
        };
        Place::At(Spot { factor, ahead: from(centre), clock_steps, spent: factor < state.next, reach })
    }
}

/// The work of one search, on a secret that nobody has: what is done for somebody who is not known.
pub fn stand_in(typed: &str, now: Timestamp, policy: &Policy) {
    use super::credential::Parameters;
    let Ok(secret) = super::secret::Secret::new(vec![0; 20]) else { return };
    let credential = Credential { secret, parameters: Parameters::HOTP };
    let suspect = Suspect {
        credential: &credential,
        token_identifier: "",
        state: &FactorState::default(),
        policy,
        has_pin: true,
    };
    std::hint::black_box(suspect.place(typed, now));
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

    fn place(parameters: Parameters, next: u64, pin: &str, factor: u64) -> Place {
        let credential = credential(parameters);
        let typed = format!("{pin}{}", credential.generator().at(factor).as_str());
        let (state, policy) = (FactorState::starting_at(next), Policy::default());
        Suspect {
            credential: &credential,
            token_identifier: "",
            state: &state,
            policy: &policy,
            has_pin: true,
        }
        .place(&typed, NOW)
    }

    fn spot(place: Place) -> (i64, bool) {
        let Place::At(Spot { ahead, spent, .. }) = place else { panic!("{place:?}") };
        (ahead, spent)
    }

    #[test]
    fn a_button_token_is_seen_from_a_thousand_presses_behind_to_a_thousand_ahead() {
        let of = |factor| place(Parameters::HOTP, 2000, "1234", factor);
        assert_eq!(spot(of(2037)), (37, false));
        assert_eq!(spot(of(3000)), (1000, false));
        assert_eq!(spot(of(1999)), (-1, true));
        assert_eq!(spot(of(1000)), (-1000, true));
        assert_eq!((of(999), of(3001)), (Place::Nowhere, Place::Nowhere));
        let Place::At(spot) = of(2037) else { panic!() };
        assert_eq!((spot.reach, spot.clock_steps, spot.factor), (10, None, 2037));
    }

    #[test]
    fn a_clock_is_seen_as_far_as_a_resync_reaches_and_told_against_the_servers() {
        let of = |factor| place(Parameters::TOTP, 0, "", factor);
        let Place::At(spot) = of(992) else { panic!() };
        assert_eq!((spot.ahead, spot.clock_steps, spot.spent, spot.reach), (-8, Some(-8), false, 2));
        assert_eq!((of(879), of(1121)), (Place::Nowhere, Place::Nowhere));
        let Place::At(spot) = place(Parameters::TOTP, 1001, "", 1000) else { panic!() };
        assert!(spot.spent);
    }

    #[test]
    fn what_has_no_passcode_in_it_is_told_from_a_wrong_one() {
        let credential = credential(Parameters::HOTP);
        let (state, policy) = (FactorState::default(), Policy::default());
        let suspect = Suspect {
            credential: &credential,
            token_identifier: "",
            state: &state,
            policy: &policy,
            has_pin: true,
        };
        for typed in ["", "12345", "password", "1234 75522", &"7".repeat(600)] {
            assert_eq!(suspect.place(typed, NOW), Place::NoPasscode, "{typed}");
        }
        assert_eq!(suspect.place("000000", NOW), Place::Nowhere);
        let typing = Suspect { token_identifier: "ubhe", ..suspect };
        assert_eq!(typing.place("1234755224", NOW), Place::NoPasscode, "without its identifier");
        assert_eq!(spot(typing.place("1234UBHE755224", NOW)), (0, false));
        assert!(
            typing.places(&["755224", "ubhe287082"], NOW).iter().all(|place| *place != Place::NoPasscode)
        );
        assert_eq!(suspect.places(&["755224", "x"], NOW).len(), 2);
    }
}
