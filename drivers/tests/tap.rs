//! A wire that is listened to, and whose answers can be changed on the way.

use std::sync::{Arc, Mutex};

use firmware_fixtures::attach::VirtualBus;
use firmware_fixtures::card::VirtualCard;
use fobd_drivers::DRIVERS;
use fobd_drivers::error::Error;
use fobd_drivers::token::Token;
use fobd_drivers::transport::{Bus, CardConnection, CardTransaction, Connection, Interface, TransportError};

/// What happens to an answer: it is given the command and the answer with its status word.
pub(crate) type Alter = fn(&[u8], Vec<u8>) -> Vec<u8>;

/// Opens a card by this driver, over a wire that is listened to. `None` if the driver does not take it.
pub(crate) fn try_open(
    driver: &str,
    card: &VirtualCard,
    alter: Alter,
) -> (Log, Result<Option<Box<dyn Token>>, Error>) {
    let bus = VirtualBus::new();
    bus.attach(card);
    let candidate = bus.candidates().remove(0);
    let Ok(Connection::Card(inner)) = bus.open(&candidate) else { panic!("not a card") };
    let log = Log::default();
    let tap = Tap { inner, log: log.clone(), alter };
    let driver = DRIVERS.iter().find(|known| known.name() == driver).expect("no such driver");
    assert!(driver.matches(&candidate));
    (log, driver.open(&candidate, Connection::Card(Box::new(tap))))
}

/// The same for a card that is taken, over a wire that changes nothing.
pub(crate) fn open(driver: &str, card: &VirtualCard) -> (Log, Box<dyn Token>) {
    open_altered(driver, card, |_, answer| answer)
}

/// The same over a wire that changes answers.
pub(crate) fn open_altered(driver: &str, card: &VirtualCard, alter: Alter) -> (Log, Box<dyn Token>) {
    let (log, token) = try_open(driver, card, alter);
    (log, token.unwrap().expect("not taken for a token"))
}

/// The commands that crossed the wire.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Vec<u8>>>>);

impl Log {
    /// Takes what crossed since the last call: the first five bytes of each command in hexadecimal.
    pub(crate) fn take(&self) -> Vec<String> {
        let commands = std::mem::take(&mut *self.0.lock().unwrap());
        let header = |command: Vec<u8>| command.iter().take(5).map(|byte| format!("{byte:02X}")).collect();
        commands.into_iter().map(header).collect()
    }
}

struct Tap {
    inner: Box<dyn CardConnection>,
    log: Log,
    alter: Alter,
}

impl CardConnection for Tap {
    fn interface(&self) -> Interface {
        self.inner.interface()
    }

    fn begin(&mut self) -> Result<Box<dyn CardTransaction + '_>, TransportError> {
        let Self { inner, log, alter } = self;
        inner.begin().map(|inner| Box::new(Tapped { inner, log, alter: *alter }) as _)
    }

    fn pause(&mut self, time: std::time::Duration) {
        self.inner.pause(time);
    }
}

struct Tapped<'a> {
    inner: Box<dyn CardTransaction + 'a>,
    log: &'a Log,
    alter: Alter,
}

impl CardTransaction for Tapped<'_> {
    fn transmit(&mut self, command: &[u8]) -> Result<Vec<u8>, TransportError> {
        self.log.0.lock().unwrap().push(command.to_vec());
        self.inner.transmit(command).map(|answer| (self.alter)(command, answer))
    }
}
