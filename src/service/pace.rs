//! How often a caller may ask what tells something of passcodes: so many questions at once, and then one every few
//! seconds. In memory: a restart costs an attacker more than it gives.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::error::{Error, Kind};
use crate::otp::time::Timestamp;

/// Questions that may come at once.
const AT_ONCE: u32 = 20;
/// How long until one more may come.
const ONE_MORE_AFTER: Duration = Duration::from_secs(3);
/// Callers remembered; beyond, those that have waited long enough are forgotten.
const MOST: usize = 1000;

/// What each caller has asked.
#[derive(Default)]
pub(super) struct Pace(Mutex<HashMap<String, Asked>>);

/// What one caller has asked.
#[derive(Clone, Copy)]
struct Asked {
    /// Questions that are not made up for yet.
    open: u32,
    /// Until when time was counted.
    at: Timestamp,
}

impl Asked {
    /// Makes up for questions by the time that went by.
    fn after(self, now: Timestamp) -> Self {
        // A clock that was set back gives nothing.
        let Some(span) = now.since(self.at) else { return Self { at: now, ..self } };
        let made_up = u32::try_from(span.as_millis() / ONE_MORE_AFTER.as_millis()).unwrap_or(u32::MAX);
        if made_up >= self.open {
            return Self { open: 0, at: now };
        }
        Self { open: self.open - made_up, at: self.at.saturating_add(ONE_MORE_AFTER * made_up) }
    }
}

impl Pace {
    /// Counts a question of a caller.
    ///
    /// # Errors
    /// [`Kind::TooOften`] if it came too soon; then it is not counted.
    pub(super) fn ask(&self, caller: &str, now: Timestamp) -> Result<(), Error> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            all.retain(|_, asked| asked.after(now).open > 0);
        }
        let asked = all.get(caller).map_or(Asked { open: 0, at: now }, |asked| asked.after(now));
        if asked.open >= AT_ONCE {
            let text = format!(
                "this may be asked {AT_ONCE} times at once and then every {} s: wait a little",
                ONE_MORE_AFTER.as_secs()
            );
            return Err(Error::new(Kind::TooOften, text));
        }
        all.insert(caller.to_owned(), Asked { open: asked.open + 1, ..asked });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn twenty_questions_come_at_once_and_then_one_every_three_seconds_for_each_caller() {
        let pace = Pace::default();
        let at = |secs: i64| Timestamp::from_secs(1000 + secs);
        let asks = |caller: &str, secs: i64| (0..100).filter(|_| pace.ask(caller, at(secs)).is_ok()).count();
        assert_eq!(asks("desk", 0), 20);
        assert_eq!(asks("other", 0), 20);
        assert_eq!(asks("desk", 2), 0);
        assert_eq!(asks("desk", 4), 1);
        assert_eq!(asks("desk", 5), 0);
        assert_eq!(asks("desk", 6), 1, "refused questions cost no time");
        assert_eq!(asks("desk", -500), 0, "a clock set back gives nothing");
        assert_eq!(asks("desk", 1000), 20);
    }
}
