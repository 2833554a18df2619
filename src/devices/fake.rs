//! A scripted bus, drivers and tokens for tests of the running side. Nothing here knows a protocol: a connection
//! answers every command with the name of its reader, and the driver looks its behaviour up by that name. A reader
//! whose name begins with `/dev/` is listed as a HID interface, one that begins with `nfc` has a field.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use fobd_drivers::error::{Error, ProgramError, SlotState};
use fobd_drivers::token::{
    Addressing, Attendant, Capabilities, Driver, LockCode, MovingFactor, Passcode, SlotConfig, SlotId,
    SlotInfo, Token, TokenInfo,
};
use fobd_drivers::transport::{
    Bus, Candidate, CardConnection, CardTransaction, Connection, HidCandidate, HidConnection, Interface,
    TransportError, Watch,
};

/// What a token answers to a call. It may block, panic, or ask the attendant.
pub(super) type OnCall = Arc<dyn Fn(&'static str, &dyn Attendant) -> Result<(), Error> + Send + Sync>;

/// What a token says when it is opened.
pub(super) type OnOpen = Arc<dyn Fn() -> Result<Option<TokenInfo>, Error> + Send + Sync>;

/// Facts about a token with this serial.
pub(crate) fn info(serial: Option<&str>) -> TokenInfo {
    TokenInfo {
        maker: "Acme".to_owned(),
        model: "Fob".to_owned(),
        serial: serial.map(str::to_owned),
        firmware: "1.0.0".to_owned(),
        locked: false,
        capabilities: Capabilities {
            algorithms: vec![],
            digits: vec![6],
            hotp: true,
            totp: true,
            calculate: true,
            hotp_by_hand: false,
            first_counter: 0,
            touch: true,
            max_slots: None,
            max_secret_bytes: 64,
            addressing: Addressing::Named,
            time_steps: Vec::new(),
            clock: false,
        },
    }
}

#[derive(Clone)]
struct Plugged {
    insertion: u32,
    /// The drivers that recognise it.
    speaks: &'static [&'static str],
    on_open: OnOpen,
    on_call: OnCall,
}

/// What is plugged in where, and whether the service runs.
#[derive(Default)]
struct State {
    readers: BTreeMap<String, Plugged>,
    version: u64,
    insertions: u32,
    down: Option<TransportError>,
    watches: usize,
    opened: usize,
    /// Which driver was asked about which reader.
    asked: Vec<(&'static str, String)>,
}

/// The world of one test: a bus and the readers on it.
#[derive(Default)]
pub(super) struct World {
    state: Mutex<State>,
    changed: Condvar,
}

impl World {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// A driver that knows this world. Leaked, since drivers live for ever.
    pub(super) fn drivers(self: &Arc<Self>) -> &'static [&'static dyn Driver] {
        self.drivers_named(&["fake"])
    }

    /// Several of them.
    pub(super) fn drivers_named(self: &Arc<Self>, names: &[&'static str]) -> &'static [&'static dyn Driver] {
        let leak = |name: &&'static str| -> &'static dyn Driver {
            Box::leak(Box::new(FakeDriver { name, world: Arc::clone(self) }))
        };
        names.iter().map(leak).collect::<Vec<_>>().leak()
    }

    pub(super) fn bus(self: &Arc<Self>) -> Arc<dyn Bus> {
        Arc::new(FakeBus(Arc::clone(self)))
    }

    /// Plugs in a token with a serial that does as it is told.
    pub(super) fn plug(&self, reader: &str, serial: &str, on_call: OnCall) {
        let found = info(Some(serial));
        self.plug_with(reader, Arc::new(move || Ok(Some(found.clone()))), on_call);
    }

    pub(super) fn plug_with(&self, reader: &str, on_open: OnOpen, on_call: OnCall) {
        self.plug_for(reader, &["fake"], on_open, on_call);
    }

    /// Plugs in a token that these drivers recognise.
    pub(super) fn plug_for(
        &self,
        reader: &str,
        speaks: &'static [&'static str],
        on_open: OnOpen,
        on_call: OnCall,
    ) {
        self.change(|state| {
            state.insertions += 1;
            let plugged = Plugged { insertion: state.insertions, speaks, on_open, on_call };
            state.readers.insert(reader.to_owned(), plugged);
        });
    }

    /// Replaces what a token says when it is opened; the bus does not notice.
    pub(super) fn change_opening(&self, reader: &str, on_open: OnOpen) {
        self.state.lock().unwrap().readers.get_mut(reader).unwrap().on_open = on_open;
    }

    /// Which drivers were asked about a reader so far, in that order.
    pub(super) fn asked(&self, reader: &str) -> Vec<&'static str> {
        let state = self.state.lock().unwrap();
        state.asked.iter().filter(|(_, asked)| asked == reader).map(|(driver, _)| *driver).collect()
    }

    /// Replaces a token without the bus noticing.
    pub(super) fn swap_unseen(&self, reader: &str, serial: &str) {
        let found = info(Some(serial));
        self.change_opening(reader, Arc::new(move || Ok(Some(found.clone()))));
    }

    pub(super) fn unplug(&self, reader: &str) {
        self.change(|state| drop(state.readers.remove(reader)));
    }

    /// The service goes down, or comes back.
    pub(super) fn set_down(&self, error: Option<TransportError>) {
        self.change(|state| state.down = error);
    }

    /// How often the bus was watched and a token opened.
    pub(super) fn watched_and_opened(&self) -> (usize, usize) {
        let state = self.state.lock().unwrap();
        (state.watches, state.opened)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.state.lock().unwrap();
        change(&mut state);
        state.version += 1;
        self.changed.notify_all();
    }

    fn plugged(&self, reader: &str) -> Result<Plugged, TransportError> {
        let state = self.state.lock().unwrap();
        if let Some(error) = &state.down {
            return Err(error.clone());
        }
        let gone = || TransportError::Gone { detail: "no such reader".to_owned() };
        state.readers.get(reader).cloned().ok_or_else(gone)
    }
}

struct FakeBus(Arc<World>);

impl Bus for FakeBus {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn watch(&self) -> Result<Box<dyn Watch>, TransportError> {
        let mut state = self.0.state.lock().unwrap();
        state.watches += 1;
        match &state.down {
            Some(error) => Err(error.clone()),
            None => Ok(Box::new(FakeWatch { world: Arc::clone(&self.0), version: 0 })),
        }
    }

    fn open(&self, candidate: &Candidate) -> Result<Connection, TransportError> {
        let (reader, insertion) = match candidate {
            Candidate::Card { reader, insertion, .. } => (reader, insertion),
            Candidate::Hid(hid) => (&hid.path, &hid.attachment),
        };
        let plugged = self.0.plugged(reader)?;
        if plugged.insertion != *insertion {
            return Err(TransportError::Gone { detail: "swapped".to_owned() });
        }
        Ok(match candidate {
            Candidate::Card { .. } => Connection::Card(Box::new(FakeCard(reader.clone()))),
            Candidate::Hid(_) => Connection::Hid(Box::new(FakeHid(reader.clone()))),
        })
    }
}

struct FakeWatch {
    world: Arc<World>,
    version: u64,
}

impl Watch for FakeWatch {
    fn candidates(&mut self) -> Result<Vec<Candidate>, TransportError> {
        let state = self.world.state.lock().unwrap();
        if let Some(error) = &state.down {
            return Err(error.clone());
        }
        self.version = state.version;
        let candidate = |(reader, plugged): (&String, &Plugged)| match reader.starts_with("/dev/") {
            false => {
                Candidate::Card { reader: reader.clone(), atr: vec![0x3B], insertion: plugged.insertion }
            }
            true => Candidate::Hid(HidCandidate {
                path: reader.clone(),
                vendor_id: 0xFFFF,
                product_id: 0xFFFF,
                release: 0,
                usage_page: 0xFF00,
                usage: 1,
                interface: None,
                serial: None,
                product: String::new(),
                attachment: plugged.insertion,
            }),
        };
        Ok(state.readers.iter().map(candidate).collect())
    }

    fn wait_for_change(&mut self, timeout: Duration) -> Result<bool, TransportError> {
        // A watch may come back early; this one does so that tests stop at once.
        let until = Instant::now() + timeout.min(Duration::from_millis(20));
        let mut state = self.world.state.lock().unwrap();
        while state.version == self.version {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(false);
            }
            state = self.world.changed.wait_timeout(state, left).unwrap().0;
        }
        state.down.clone().map_or(Ok(true), Err)
    }
}

/// Knows its reader and nothing else.
struct FakeCard(String);

impl CardConnection for FakeCard {
    fn interface(&self) -> Interface {
        if self.0.starts_with("nfc") { Interface::Contactless } else { Interface::Contact }
    }

    fn begin(&mut self) -> Result<Box<dyn CardTransaction + '_>, TransportError> {
        Ok(Box::new(FakeTransaction(&self.0)))
    }
}

struct FakeTransaction<'a>(&'a str);

impl CardTransaction for FakeTransaction<'_> {
    fn transmit(&mut self, _: &[u8]) -> Result<Vec<u8>, TransportError> {
        Ok(self.0.as_bytes().to_vec())
    }
}

/// Knows its node and nothing else.
struct FakeHid(String);

impl HidConnection for FakeHid {
    fn set_feature(&mut self, _: &[u8]) -> Result<(), TransportError> {
        Ok(())
    }

    fn get_feature(&mut self, _: usize) -> Result<Vec<u8>, TransportError> {
        Ok(self.0.as_bytes().to_vec())
    }

    fn write(&mut self, _: &[u8]) -> Result<(), TransportError> {
        Ok(())
    }

    fn read(&mut self, _: Duration) -> Result<Option<Vec<u8>>, TransportError> {
        Ok(None)
    }

    fn pause(&mut self, _: Duration) {}
}

struct FakeDriver {
    name: &'static str,
    world: Arc<World>,
}

impl Driver for FakeDriver {
    fn name(&self) -> &'static str {
        self.name
    }

    fn matches(&self, candidate: &Candidate) -> bool {
        !candidate.to_string().starts_with("foreign")
    }

    fn open(&self, _candidate: &Candidate, connection: Connection) -> Result<Option<Box<dyn Token>>, Error> {
        let reader = match connection {
            Connection::Card(mut card) => card.begin()?.transmit(&[])?,
            Connection::Hid(mut hid) => hid.get_feature(64)?,
        };
        let reader = String::from_utf8(reader).unwrap();
        self.world.state.lock().unwrap().asked.push((self.name, reader.clone()));
        let plugged = self.world.plugged(&reader)?;
        if !plugged.speaks.contains(&self.name) {
            return Ok(None);
        }
        let found = (plugged.on_open)()?;
        self.world.state.lock().unwrap().opened += 1;
        let world = Arc::clone(&self.world);
        Ok(found.map(|info| Box::new(FakeToken { world, reader, info, code: None }) as Box<dyn Token>))
    }
}

struct FakeToken {
    world: Arc<World>,
    reader: String,
    info: TokenInfo,
    code: Option<LockCode>,
}

impl FakeToken {
    fn call(&self, name: &'static str, attendant: &dyn Attendant) -> Result<(), Error> {
        let on_call = self.world.plugged(&self.reader)?.on_call;
        on_call(name, attendant)
    }
}

impl Token for FakeToken {
    fn info(&self) -> &TokenInfo {
        &self.info
    }

    fn unlock(&mut self, code: &LockCode) -> Result<(), Error> {
        if code.expose() != b"open" {
            return Err(Error::WrongLockCode { attempts_left: None });
        }
        self.code = Some(code.clone());
        Ok(())
    }

    fn forget_code(&mut self) {
        self.code = None;
    }

    fn set_lock_code(&mut self, _: Option<&LockCode>) -> Result<(), Error> {
        Ok(())
    }

    fn slots(&mut self) -> Result<Vec<SlotInfo>, Error> {
        self.call("slots", &fobd_drivers::token::Unattended)?;
        if self.info.locked && self.code.is_none() {
            return Err(Error::Locked);
        }
        let slot = SlotId::Name(self.info.serial.clone().unwrap_or_default());
        let untold = SlotInfo {
            slot,
            in_use: true,
            kind: None,
            algorithm: None,
            digits: None,
            time_step: None,
            touch: None,
        };
        Ok(vec![untold])
    }

    fn program(&mut self, _: &SlotId, _: &SlotConfig, attendant: &dyn Attendant) -> Result<(), ProgramError> {
        self.call("program", attendant).map_err(|source| ProgramError { slot: SlotState::Unchanged, source })
    }

    fn erase(&mut self, _: &SlotId, attendant: &dyn Attendant) -> Result<(), Error> {
        self.call("erase", attendant)
    }

    fn calculate(
        &mut self,
        _: &SlotId,
        _: MovingFactor,
        attendant: &dyn Attendant,
    ) -> Result<Passcode, Error> {
        self.call("calculate", attendant)?;
        Ok(Passcode::new("123456".to_owned()))
    }

    fn reset(&mut self, attendant: &dyn Attendant) -> Result<(), Error> {
        self.call("reset", attendant)
    }
}
