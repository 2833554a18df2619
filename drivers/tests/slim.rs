//! The Protectimus Slim NFC: what it is and its clock, and that nothing else is tried.

use firmware_fixtures::attach::VirtualBus;
use firmware_fixtures::card::VirtualCard;
use firmware_fixtures::fault::{Fault, FaultKind};
use firmware_fixtures::slim::Slim;
use fobd_drivers::error::Error;
use fobd_drivers::slim::SlimDriver;
use fobd_drivers::token::{Driver as _, MovingFactor, SlotId, Token, Unattended, UnixTime};
use fobd_drivers::transport::{Bus as _, TransportError};

use crate::bench::totp;

fn try_open(card: &VirtualCard) -> Result<Option<Box<dyn Token>>, Error> {
    let bus = VirtualBus::new();
    bus.attach(card);
    let candidate = bus.candidates().remove(0);
    assert!(SlimDriver.matches(&candidate));
    SlimDriver.open(&candidate, bus.open(&candidate)?)
}

#[test]
fn it_tells_what_it_is_and_takes_the_time() {
    for time_step in [30, 60] {
        let card = Slim::card(time_step);
        let mut token = try_open(&card).unwrap().unwrap();
        assert_eq!((token.info().model.as_str(), token.info().firmware.as_str()), ("Slim NFC", "10"));
        assert_eq!((token.info().serial.as_deref(), card.exchanges()), (None, 1));
        token.set_clock(UnixTime(1_700_000_017)).unwrap();
        let told = card.with_applet(|slim: &mut Slim| (slim.clock, slim.time_step));
        assert_eq!((told, card.exchanges()), (Some((1_700_000_017, time_step)), 3));
    }
}

#[test]
fn whatever_its_maker_keeps_to_itself_is_refused_without_an_exchange() {
    let card = Slim::card(30);
    let mut token = try_open(&card).unwrap().unwrap();
    let slot = SlotId::Index(0);
    let refusals = [
        token.program(&slot, &totp(30), &Unattended).map_err(|error| error.source),
        token.erase(&slot, &Unattended),
        token.calculate(&slot, MovingFactor::TimeStep(1), &Unattended).map(drop),
        token.slots().map(drop),
        token.set_lock_code(None),
        token.reset(&Unattended),
    ];
    for refusal in refusals {
        assert!(matches!(refusal, Err(Error::Unsupported { .. })), "{refusal:?}");
    }
    assert_eq!(card.exchanges(), 1);
}

#[test]
fn a_fault_leaves_its_clock_old_or_new_and_is_told() {
    for at in 0..2 {
        for kind in FaultKind::all() {
            let card = Slim::card(30);
            let mut token = try_open(&card).unwrap().unwrap();
            card.plan(Fault { at, kind });
            let result = token.set_clock(UnixTime(1_700_000_000));
            let clock = card.with_applet(|slim: &mut Slim| slim.clock).unwrap();
            assert!([0, 1_700_000_000].contains(&clock), "{kind:?} at {at}");
            assert!(result.is_err() || clock == 1_700_000_000, "{kind:?} at {at}");
            if matches!(kind, FaultKind::UnplugBefore | FaultKind::UnplugAfter) {
                assert!(matches!(result, Err(Error::Transport(TransportError::Gone { .. }))), "{result:?}");
            }
        }
    }
}
