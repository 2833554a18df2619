//! The in-process door: emulated cards as a [`Bus`], with the manners of PC/SC.
//!
//! Cards are attached and detached while programs watch. Several connections share a card and take turns by
//! transactions; a transaction that is not free blocks. After an unplug a connection is dead even if the card
//! comes back. After a reset by another program each connection is told until its next `begin`, which tells it
//! once more and heals it. HID tokens have a bus of their own in [`hid`]. Only this module imports the driver
//! crate.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fobd_drivers::transport::{
    Bus, Candidate, CardConnection, CardTransaction, Connection, Interface, TransportError, Watch,
};

use crate::card::{Exchange, VirtualCard, Waits};

pub mod hid;

/// A machine with readers for emulated cards. Clones mean the same machine.
#[derive(Clone)]
pub struct VirtualBus {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    waits: Waits,
}

#[derive(Default)]
struct State {
    slots: BTreeMap<String, Slot>,
    /// Insertions per reader name; outlives the slot.
    insertions: BTreeMap<String, u32>,
    /// Counts everything a watcher wants to know.
    changes: u64,
    connections: u64,
    service_stopped: bool,
    /// Counts stops of the service: older connections and watches are dead.
    service_stops: u64,
}

struct Slot {
    card: VirtualCard,
    insertion: u32,
    resets: u64,
    /// The connection whose transaction runs.
    owner: Option<u64>,
    /// Another program holds the card exclusively.
    seized: bool,
}

impl Default for VirtualBus {
    fn default() -> Self {
        Self::new()
    }
}

impl VirtualBus {
    /// A machine with nothing plugged in. Waits of the cards are virtual: nothing takes time.
    #[must_use]
    pub fn new() -> Self {
        Self::with_waits(Waits::Virtual)
    }

    /// The same, with the choice whether touches and delays take real time.
    #[must_use]
    pub fn with_waits(waits: Waits) -> Self {
        Self { shared: Arc::new(Shared { state: Mutex::default(), changed: Condvar::new(), waits }) }
    }

    /// Plugs a card in and wakes the watchers. Returns the reader's name: the first free number is appended.
    pub fn attach(&self, card: &VirtualCard) -> String {
        let mut state = self.shared.lock();
        let base = card.face().reader;
        let names = (0..=u8::MAX).map(|number| format!("{base} {number:02X} 00"));
        let name = names.into_iter().find(|name| !state.slots.contains_key(name)).unwrap_or_default();
        state.insert(&name, card);
        self.shared.changed.notify_all();
        name
    }

    /// Plugs a card into this reader, in place of what was there.
    pub fn attach_to(&self, reader: &str, card: &VirtualCard) {
        let mut state = self.shared.lock();
        state.remove(reader);
        state.insert(reader, card);
        self.shared.changed.notify_all();
    }

    /// Pulls a card out. `false` if it was not there.
    pub fn detach(&self, card: &VirtualCard) -> bool {
        let mut state = self.shared.lock();
        let Some(reader) = state.reader_of(card) else { return false };
        state.remove(&reader);
        self.shared.changed.notify_all();
        true
    }

    /// Another program resets the card. `false` if it was not there.
    pub fn reset(&self, card: &VirtualCard) -> bool {
        let mut state = self.shared.lock();
        let Some(slot) = state.slot_of(card) else { return false };
        slot.resets += 1;
        card.reset();
        true
    }

    /// Another program takes the card exclusively, or (`false`) gives it back: opening it answers "busy".
    pub fn seize(&self, card: &VirtualCard, seized: bool) {
        if let Some(slot) = self.shared.lock().slot_of(card) {
            slot.seized = seized;
        }
    }

    /// The system service dies; connections and watches from before are dead even after it is back.
    pub fn stop_service(&self) {
        let mut state = self.shared.lock();
        state.service_stopped = true;
        state.service_stops += 1;
        state.changes += 1;
        for slot in state.slots.values_mut() {
            slot.owner = None;
            slot.card.power_off();
        }
        self.shared.changed.notify_all();
    }

    /// The system service is back and finds the cards again.
    pub fn start_service(&self) {
        let mut state = self.shared.lock();
        state.service_stopped = false;
        let cards: Vec<_> =
            state.slots.iter().map(|(name, slot)| (name.clone(), slot.card.clone())).collect();
        for (name, card) in cards {
            state.insert(&name, &card);
        }
        self.shared.changed.notify_all();
    }

    /// What is plugged in now, as a watch would list it.
    #[must_use]
    pub fn candidates(&self) -> Vec<Candidate> {
        self.shared.lock().candidates()
    }
}

impl State {
    fn insert(&mut self, reader: &str, card: &VirtualCard) {
        let counter = self.insertions.entry(reader.to_owned()).or_default();
        *counter = counter.wrapping_add(1);
        let insertion = *counter;
        card.power_on();
        let slot = Slot { card: card.clone(), insertion, resets: 0, owner: None, seized: false };
        self.slots.insert(reader.to_owned(), slot);
        self.changes += 1;
    }

    fn remove(&mut self, reader: &str) {
        if let Some(slot) = self.slots.remove(reader) {
            slot.card.power_off();
            self.changes += 1;
        }
    }

    fn reader_of(&self, card: &VirtualCard) -> Option<String> {
        self.slots.iter().find(|(_, slot)| slot.card.is(card)).map(|(name, _)| name.clone())
    }

    fn slot_of(&mut self, card: &VirtualCard) -> Option<&mut Slot> {
        self.slots.values_mut().find(|slot| slot.card.is(card))
    }

    fn candidates(&self) -> Vec<Candidate> {
        let candidate = |(reader, slot): (&String, &Slot)| Candidate::Card {
            reader: reader.clone(),
            atr: slot.card.face().atr.to_vec(),
            insertion: slot.insertion,
        };
        self.slots.iter().map(candidate).collect()
    }

    fn check_service(&self, service_stops: u64) -> Result<(), TransportError> {
        if self.service_stopped || self.service_stops != service_stops {
            return Err(TransportError::ServiceUnavailable { detail: "SCARD_E_NO_SERVICE".to_owned() });
        }
        Ok(())
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn gone() -> TransportError {
    TransportError::Gone { detail: "SCARD_W_REMOVED_CARD".to_owned() }
}

fn not_transacted(detail: String) -> TransportError {
    TransportError::Failed { call: "SCardTransmit", detail }
}

impl Bus for VirtualBus {
    fn name(&self) -> &'static str {
        "virtual"
    }

    fn watch(&self) -> Result<Box<dyn Watch>, TransportError> {
        let state = self.shared.lock();
        state.check_service(state.service_stops)?;
        let (seen, service_stops) = (state.changes, state.service_stops);
        Ok(Box::new(VirtualWatch { shared: Arc::clone(&self.shared), seen, service_stops }))
    }

    fn open(&self, candidate: &Candidate) -> Result<Connection, TransportError> {
        let Candidate::Card { reader, insertion, .. } = candidate else { return Err(gone()) };
        let mut state = self.shared.lock();
        state.check_service(state.service_stops)?;
        state.connections += 1;
        let (id, service_stops) = (state.connections, state.service_stops);
        let slot = state.slots.get(reader).filter(|slot| slot.insertion == *insertion).ok_or_else(gone)?;
        if slot.seized {
            return Err(TransportError::Busy);
        }
        Ok(Connection::Card(Box::new(VirtualConnection {
            shared: Arc::clone(&self.shared),
            card: slot.card.clone(),
            reader: reader.clone(),
            insertion: *insertion,
            id,
            resets_seen: slot.resets,
            service_stops,
        })))
    }
}

struct VirtualWatch {
    shared: Arc<Shared>,
    seen: u64,
    service_stops: u64,
}

impl Watch for VirtualWatch {
    fn candidates(&mut self) -> Result<Vec<Candidate>, TransportError> {
        let state = self.shared.lock();
        state.check_service(self.service_stops)?;
        self.seen = state.changes;
        Ok(state.candidates())
    }

    fn wait_for_change(&mut self, timeout: Duration) -> Result<bool, TransportError> {
        let seen = self.seen;
        let waited = self
            .shared
            .changed
            .wait_timeout_while(self.shared.lock(), timeout, |state| state.changes == seen);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.check_service(self.service_stops)?;
        self.seen = state.changes;
        Ok(state.changes != seen)
    }
}

struct VirtualConnection {
    shared: Arc<Shared>,
    card: VirtualCard,
    reader: String,
    insertion: u32,
    id: u64,
    resets_seen: u64,
    service_stops: u64,
}

impl VirtualConnection {
    /// The slot, if this connection is still good for it.
    fn slot<'a>(&self, state: &'a mut State) -> Result<&'a mut Slot, TransportError> {
        state.check_service(self.service_stops)?;
        let slot = state.slots.get_mut(&self.reader);
        slot.filter(|slot| slot.insertion == self.insertion).ok_or_else(gone)
    }
}

impl CardConnection for VirtualConnection {
    fn interface(&self) -> Interface {
        if self.card.face().contactless { Interface::Contactless } else { Interface::Contact }
    }

    fn begin(&mut self) -> Result<Box<dyn CardTransaction + '_>, TransportError> {
        let shared = Arc::clone(&self.shared);
        let mut state = shared.lock();
        loop {
            let slot = self.slot(&mut state)?;
            if slot.owner.is_some() {
                state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
                continue;
            }
            if slot.resets != self.resets_seen {
                self.resets_seen = slot.resets;
                return Err(TransportError::Reset);
            }
            slot.owner = Some(self.id);
            return Ok(Box::new(VirtualTransaction { connection: self }));
        }
    }

    fn pause(&mut self, time: Duration) {
        self.card.let_pass(time, self.shared.waits);
    }
}

struct VirtualTransaction<'a> {
    connection: &'a mut VirtualConnection,
}

impl CardTransaction for VirtualTransaction<'_> {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        let connection = &*self.connection;
        if connection.slot(&mut connection.shared.lock())?.resets != connection.resets_seen {
            return Err(TransportError::Reset);
        }
        // The machine stays unlocked meanwhile: with real waits the card may think for seconds.
        let exchange = connection.card.exchange(command, connection.shared.waits);

        let mut state = connection.shared.lock();
        let slot = connection.slot(&mut state)?;
        match exchange {
            Exchange::Answer(answer) if answer.len() >= 2 => Ok(answer),
            Exchange::Answer(answer) => {
                Err(not_transacted(format!("an answer of {} bytes has no status word", answer.len())))
            }
            Exchange::Reset => {
                slot.resets += 1;
                Err(TransportError::Reset)
            }
            Exchange::Unplugged => {
                state.remove(&connection.reader);
                connection.shared.changed.notify_all();
                Err(gone())
            }
            Exchange::Silence => Err(not_transacted("SCARD_E_NOT_TRANSACTED".to_owned())),
        }
    }
}

impl Drop for VirtualTransaction<'_> {
    fn drop(&mut self) {
        let mut state = self.connection.shared.lock();
        let id = self.connection.id;
        if let Ok(slot) = self.connection.slot(&mut state)
            && slot.owner == Some(id)
        {
            slot.owner = None;
        }
        drop(state);
        self.connection.shared.changed.notify_all();
    }
}
