//! A look at the readers, for people who ask why a card cannot be reached. Opens nothing.

use std::time::Duration;

use pcsc::{ReaderState, State};

use super::failure::{Call, failure};
use super::{establish, interface};
use crate::transport::{Interface, TransportError};

/// A reader, and what is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reader {
    /// Its PC/SC name.
    pub name: String,
    /// How its card is reached; `None` if there is none that answers.
    pub card: Option<Interface>,
    /// There is a card, and it does not answer: it may be the wrong way round.
    pub mute: bool,
    /// Another program holds the card for itself alone.
    pub exclusive: bool,
}

/// Every reader that pcscd knows.
///
/// # Errors
/// [`TransportError::ServiceUnavailable`] without pcscd, [`TransportError::AccessDenied`] where polkit says no.
pub fn readers() -> Result<Vec<Reader>, TransportError> {
    let context = establish()?;
    let names = context.list_readers_owned().map_err(|error| failure(Call::List, error))?;
    let mut readers = Vec::new();
    for name in names {
        let mut state = [ReaderState::new(name, State::UNAWARE)];
        if context.get_status_change(Duration::ZERO, &mut state).is_err() {
            // Pulled since it was listed.
            continue;
        }
        readers.extend(state.iter().map(|state| {
            let is = |flag| state.event_state().contains(flag);
            let answers = is(State::PRESENT) && !is(State::MUTE) && !state.atr().is_empty();
            Reader {
                name: state.name().to_string_lossy().into_owned(),
                card: answers.then(|| interface(state.atr())),
                mute: is(State::PRESENT) && !answers,
                exclusive: is(State::EXCLUSIVE),
            }
        }));
    }
    Ok(readers)
}
