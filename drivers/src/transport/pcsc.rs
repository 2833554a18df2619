//! Smart cards through PC/SC (libpcsclite and pcscd on Linux). The only file that names the `pcsc` crate.
//!
//! The watch has a context of its own, and so has each open card: a context serves one call at a time, and a
//! dead one (pcscd restarted) stays dead. libpcsclite finds the daemon by `PCSCLITE_CSOCK_NAME`, or at its usual
//! place. What the system says is mapped to what to do next by `failure`, in one table.
//!
//! Every reader is listed, none is skipped. A card that cannot be powered (say, inserted the wrong way round) is
//! not listed: it has no answer to reset and cannot be opened. Over T=0 a response is fetched as ISO/IEC 7816-3
//! §12.2 wants it (see `t0`); over T=1, which all USB keys and NFC readers speak, commands pass unchanged.
//!
//! `SCardBeginTransaction` waits for as long as another program holds its transaction, and neither it nor a
//! command in flight can be interrupted. Deadlines are for the caller, whose worker thread it is.

mod failure;
pub mod readers;
mod t0;

use std::ffi::CString;
use std::time::{Duration, Instant};

use pcsc::{
    Card, Context, Disposition, Error, PNP_NOTIFICATION, Protocol, Protocols, ReaderState, Scope, ShareMode,
    State, Status, Transaction,
};
use zeroize::Zeroizing;

use failure::{Call, failure};

use super::{Bus, Candidate, CardConnection, CardTransaction, Connection, Interface, TransportError, Watch};

/// Longest a watch sleeps before it lists the readers again. libpcsclite misses a reader that appears between
/// listing and waiting.
const LISTING_INTERVAL: Duration = Duration::from_secs(1);

/// How many readers libpcsclite waits for at once (`PCSCLITE_MAX_READERS_CONTEXTS`); pcscd has room for as many.
const MAX_STATES: usize = 16;

/// The same as [`LISTING_INTERVAL`] while a reader is starting. It has no state yet then, which libpcsclite takes for
/// not knowing its state, and so tells no change from it.
const STARTING_INTERVAL: Duration = Duration::from_millis(50);

/// Room for one response: more than any short APDU, and more than a `YubiKey` can say at once.
const RESPONSE_ROOM: usize = 4096;

/// All PC/SC readers of this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct PcscBus;

impl Bus for PcscBus {
    fn name(&self) -> &'static str {
        "pcsc"
    }

    fn watch(&self) -> Result<Box<dyn Watch>, TransportError> {
        let mut watch = PcscWatch { context: establish()?, states: Vec::new(), told: Vec::new() };
        watch.set_readers(Vec::new());
        Ok(Box::new(watch))
    }

    fn open(&self, candidate: &Candidate) -> Result<Connection, TransportError> {
        let Candidate::Card { reader, atr, insertion } = candidate else {
            return Err(TransportError::Gone { detail: "not a card".to_owned() });
        };
        let name = CString::new(reader.as_str()).map_err(|_| gone("reader name with a zero byte"))?;
        let context = establish()?;
        let card = context
            .connect(&name, ShareMode::Shared, Protocols::T0 | Protocols::T1)
            .map_err(|error| failure(Call::Connect, error))?;
        let mut connection = PcscConnection {
            card: Some(card),
            interface: interface(atr),
            t0: false,
            reconnect: false,
            room: Zeroizing::new(vec![0; RESPONSE_ROOM]),
        };
        connection.t0 = connection.protocol()? == Some(Protocol::T0);
        // The card may have been swapped since it was listed; the count of insertions tells.
        let mut states = [ReaderState::new(name, State::UNAWARE)];
        context
            .get_status_change(Duration::ZERO, &mut states)
            .map_err(|error| failure(Call::Status, error))?;
        if states.iter().any(|state| state.event_count() != *insertion || state.atr() != atr) {
            return Err(gone("another card is in the reader"));
        }
        Ok(Connection::Card(Box::new(connection)))
    }
}

fn establish() -> Result<Context, TransportError> {
    Context::establish(Scope::User).map_err(|error| failure(Call::Establish, error))
}

/// The answer to reset of a contact card lists TA1 to TD1 in its second byte, and that of every USB key has all
/// four. NFC readers make up answers that have TD1 alone (PC/SC part 3, §3.1.3.2.3).
fn interface(atr: &[u8]) -> Interface {
    match atr {
        [_, t0, ..] if t0 >> 4 == 0xF => Interface::Contact,
        _ => Interface::Contactless,
    }
}

/// What of a reader's state matters here; that somebody opened a card does not.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Sight {
    state: State,
    insertion: u32,
}

impl Sight {
    fn of(reader: &ReaderState) -> Self {
        let matters = State::PRESENT | State::EMPTY | State::MUTE | State::UNKNOWN | State::UNAVAILABLE;
        Self { state: reader.event_state() & matters, insertion: reader.event_count() }
    }
}

struct PcscWatch {
    context: Context,
    /// One for each reader, and the pseudo reader that tells of new ones.
    states: Vec<ReaderState>,
    /// What the caller was told, reader by reader.
    told: Vec<Sight>,
}

impl PcscWatch {
    fn set_readers(&mut self, mut states: Vec<ReaderState>) {
        self.told = states.iter().map(Sight::of).collect();
        // With all that pcscd has room for, waiting for one more would be one too many.
        if states.len() < MAX_STATES {
            states.push(ReaderState::new(PNP_NOTIFICATION(), State::UNAWARE));
        }
        self.states = states;
        self.sync();
    }

    fn sync(&mut self) {
        for state in &mut self.states {
            state.sync_current_state();
        }
    }

    fn list(&self) -> Result<Vec<CString>, TransportError> {
        self.context.list_readers_owned().map_err(|error| failure(Call::List, error))
    }

    /// Whether readers came or went since the caller was told.
    fn readers_changed(&self) -> Result<bool, TransportError> {
        let known = self.states.iter().take(self.told.len()).map(ReaderState::name);
        Ok(!known.eq(self.list()?.iter().map(CString::as_c_str)))
    }
}

impl Watch for PcscWatch {
    fn candidates(&mut self) -> Result<Vec<Candidate>, TransportError> {
        let mut states = Vec::new();
        for name in self.list()? {
            let mut state = [ReaderState::new(name, State::UNAWARE)];
            match self.context.get_status_change(Duration::ZERO, &mut state) {
                Ok(()) => states.extend(state),
                // Pulled since it was listed.
                Err(Error::UnknownReader | Error::ReaderUnavailable) => {}
                Err(error) => return Err(failure(Call::Status, error)),
            }
        }
        let candidates = states.iter().filter_map(candidate).collect();
        self.set_readers(states);
        Ok(candidates)
    }

    fn wait_for_change(&mut self, timeout: Duration) -> Result<bool, TransportError> {
        let start = Instant::now();
        loop {
            let left = timeout.saturating_sub(start.elapsed());
            let starting = self.told.iter().any(|sight| sight.state.is_empty());
            let interval = if starting { STARTING_INTERVAL } else { LISTING_INTERVAL };
            match self.context.get_status_change(left.min(interval), &mut self.states) {
                Ok(()) | Err(Error::Timeout) => {
                    let now = self.states.iter().take(self.told.len()).map(Sight::of);
                    if !now.eq(self.told.iter().cloned()) {
                        return Ok(true);
                    }
                    self.sync();
                }
                Err(Error::UnknownReader | Error::ReaderUnavailable) => return Ok(true),
                Err(error) => return Err(failure(Call::Status, error)),
            }
            if self.readers_changed()? {
                return Ok(true);
            }
            if left.is_zero() {
                return Ok(false);
            }
        }
    }
}

fn candidate(state: &ReaderState) -> Option<Candidate> {
    let usable = state.event_state().contains(State::PRESENT)
        && !state.event_state().contains(State::MUTE)
        && !state.atr().is_empty();
    usable.then(|| Candidate::Card {
        reader: state.name().to_string_lossy().into_owned(),
        atr: state.atr().to_vec(),
        insertion: state.event_count(),
    })
}

struct PcscConnection {
    /// Always there; taken out only to be disconnected.
    card: Option<Card>,
    interface: Interface,
    t0: bool,
    /// The card was reset, and the handle has to be healed before it is used again.
    reconnect: bool,
    /// Where responses are received; wiped at the end.
    room: Zeroizing<Vec<u8>>,
}

impl PcscConnection {
    fn protocol(&self) -> Result<Option<Protocol>, TransportError> {
        let card = self.card.as_ref().ok_or_else(|| gone("disconnected"))?;
        Ok(card.status2_owned().map_err(|error| failure(Call::Status, error))?.protocol2())
    }
}

impl CardConnection for PcscConnection {
    fn interface(&self) -> Interface {
        self.interface
    }

    fn begin(&mut self) -> Result<Box<dyn CardTransaction + '_>, TransportError> {
        let Self { card, t0, reconnect, room, .. } = self;
        let card = card.as_mut().ok_or_else(|| gone("disconnected"))?;
        if *reconnect {
            heal(card).map_err(|error| failure(Call::Reconnect, error))?;
            *reconnect = false;
        }
        match card.transaction() {
            Ok(transaction) => Ok(Box::new(PcscTransaction {
                transaction: Some(transaction),
                t0: *t0,
                reset_at_end: false,
                reconnect,
                room,
            })),
            Err(error) => {
                *reconnect = error == Error::ResetCard;
                Err(failure(Call::Begin, error))
            }
        }
    }
}

/// Takes a card that another program has reset into use again. That program may have left it without power
/// (pyscard, and so ykman, lets go of a card like that); leaving it as it is would then be the end of it. A reader
/// behind libccid says so at once, and calls the card unresponsive.
fn heal(card: &mut Card) -> Result<(), Error> {
    let protocols = Protocols::T0 | Protocols::T1;
    let powered = match card.reconnect(ShareMode::Shared, protocols, Disposition::LeaveCard) {
        Ok(_) => card.status2_owned()?.status().contains(Status::POWERED),
        Err(Error::UnresponsiveCard) => false,
        Err(error) => return Err(error),
    };
    if !powered {
        card.reconnect(ShareMode::Shared, protocols, Disposition::ResetCard)?;
    }
    Ok(())
}

impl Drop for PcscConnection {
    /// The crate would reset the card here, and disturb whoever else is using it.
    fn drop(&mut self) {
        if let Some(card) = self.card.take() {
            let _ = card.disconnect(Disposition::LeaveCard);
        }
    }
}

struct PcscTransaction<'c> {
    /// Always there; taken out only to be ended.
    transaction: Option<Transaction<'c>>,
    t0: bool,
    reset_at_end: bool,
    reconnect: &'c mut bool,
    room: &'c mut [u8],
}

impl PcscTransaction<'_> {
    fn exchange(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let Some(transaction) = &self.transaction else { return Err(gone("ended")) };
        let response = transaction.transmit(command, self.room).map_err(|error| {
            *self.reconnect = error == Error::ResetCard;
            failure(Call::Transmit, error)
        })?;
        if response.len() < 2 {
            // pcscd reports success with nothing in it when the card vanishes during the command.
            return Err(gone("response without status"));
        }
        Ok(response.to_vec())
    }
}

impl CardTransaction for PcscTransaction<'_> {
    fn reset_at_end(&mut self) {
        self.reset_at_end = true;
    }

    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        if self.t0 { t0::transmit(command, |apdu| self.exchange(apdu)) } else { self.exchange(command) }
    }
}

impl Drop for PcscTransaction<'_> {
    fn drop(&mut self) {
        let Some(transaction) = self.transaction.take() else { return };
        if !self.reset_at_end {
            let _ = transaction.end(Disposition::LeaveCard);
        } else if transaction.end(Disposition::ResetCard).is_ok() {
            // Our own handle hears of this reset too.
            *self.reconnect = true;
        }
    }
}

fn gone(detail: &str) -> TransportError {
    TransportError::Gone { detail: detail.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usb_keys_are_contact_cards_and_made_up_answers_are_not() {
        assert_eq!(interface(&[0x3B, 0xFD, 0x13]), Interface::Contact);
        assert_eq!(interface(&[0x3B, 0x8D, 0x80]), Interface::Contactless);
        assert_eq!(interface(&[]), Interface::Contactless);
    }
}
