//! How does a token make the passcodes that it shows, if its secret may be this one?
//!
//! Every way that tokens are made is tried: three hash functions, counter or clock, steps of 30 and 60 seconds. The
//! length of a passcode is seen.
//!
//! Which bytes the secret may be is the caller's to try ([`crate::formats::seed`] knows the slips).

use super::algorithm::Algorithm;
use super::credential::{Credential, Kind, Parameters};
use super::find::{Look, Sighting, Sought};
use super::secret::Secret;
use super::time::Timestamp;
use super::totp::TimeStep;

/// How far from counter 0 a search goes.
pub const MOST_COUNTERS: u64 = 1000;
/// How far from the server's clock it goes, in steps either side.
pub const MOST_STEPS: u64 = 120;

/// The ways to count, the commonest first.
const KINDS: [Kind; 3] = [
    Kind::Hotp,
    Kind::Totp { time_step: TimeStep::SECONDS_30 },
    Kind::Totp { time_step: TimeStep::SECONDS_60 },
];

/// One way in which a secret shows what was typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fit {
    /// How the passcodes are made.
    pub parameters: Parameters,
    /// Where they were seen.
    pub sighting: Sighting,
}

/// Finds every way in which a secret shows what was typed. HOTP is searched from 0 and, where the caller knows a counter,
/// from there as well. Returns how many passcodes were computed too.
#[must_use]
pub fn fits(secret: &Secret, sought: &Sought, counter: u64, now: Timestamp) -> (Vec<Fit>, u64) {
    let (mut found, mut tried) = (Vec::new(), 0);
    for algorithm in [Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512] {
        for kind in KINDS {
            let parameters = Parameters { kind, algorithm, digits: sought.digits() };
            let credential = Credential { secret: secret.clone(), parameters };
            let mut take = |look: Look| {
                tried += look.tried;
                look.sighting.is_some_and(|sighting| {
                    found.push(Fit { parameters, sighting });
                    true
                })
            };
            match kind {
                Kind::Totp { time_step } => {
                    take(sought.look_around(&credential, time_step.step_at(now), MOST_STEPS, MOST_STEPS));
                }
                Kind::Hotp => {
                    // What was seen from a known counter on need not be looked for below it.
                    if !take(sought.look_around(&credential, counter, 1, MOST_COUNTERS)) && counter > 0 {
                        let below = counter.saturating_sub(2).min(MOST_COUNTERS);
                        take(sought.look_around(&credential, 0, 0, below));
                    }
                }
            }
        }
    }
    (found, tried)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::otp::passcode::Digits;

    const NOW: Timestamp = Timestamp::from_secs(1_767_225_600);

    fn secret() -> Secret {
        Secret::new(b"12345678901234567890".to_vec()).unwrap()
    }

    fn solve(parameters: Parameters, first: u64, counter: u64) -> Vec<Fit> {
        let generator = Credential { secret: secret(), parameters }.generator();
        let typed = [generator.at(first), generator.at(first + 1)];
        let sought = Sought::parse(&[typed[0].as_str(), typed[1].as_str()]).unwrap();
        fits(&secret(), &sought, counter, NOW).0
    }

    #[test]
    fn every_hash_kind_step_and_length_is_told_from_the_others() {
        for algorithm in [Algorithm::Sha1, Algorithm::Sha256, Algorithm::Sha512] {
            for digits in [6, 10] {
                for (kind, first) in KINDS.into_iter().zip([0, 58_907_520 + 90, 29_453_760 - 90]) {
                    let digits = Digits::new(digits).unwrap();
                    let parameters = Parameters { kind, algorithm, digits };
                    let [fit] = solve(parameters, first, 0)[..] else { panic!("{parameters:?}") };
                    assert_eq!((fit.parameters, fit.sighting.factor), (parameters, first));
                }
            }
        }
    }

    #[test]
    fn counters_are_searched_from_the_one_that_is_known_and_from_zero() {
        let found = |first, counter| !solve(Parameters::HOTP, first, counter).is_empty();
        assert!(found(1000, 0) && !found(1001, 0));
        assert!(found(5999, 5000) && found(4999, 5000) && found(3, 5000) && found(0, 1));
    }

    #[test]
    fn the_number_of_passcodes_tried_is_told() {
        let sought = Sought::parse(&["000000", "000001"]).unwrap();
        assert_eq!(fits(&secret(), &sought, 0, NOW), (Vec::new(), 3 * (1001 + 2 * 241)));
    }
}
