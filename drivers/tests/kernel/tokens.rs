//! The emulated HID tokens, each as a USB device of its own: the table of models, hidapi, hidraw, usbhid and back.
//! A new row in `specimens.rs` is plugged in here by itself, and the suite is run for the first row of each driver.

use firmware_fixtures::specimen::Door;
use firmware_fixtures::usb::{PluggedIn, UsbDevice};
use fobd_drivers::transport::hid::HidBus;
use fobd_drivers::transport::{Bus, Candidate, Watch};

use super::guest::{Guest, wait, wait_for};
use crate::specimens::{Row, rows};
use crate::suite::cases::conformance;
use crate::suite::sweep::{Depth, sweep};
use crate::suite::{Socket, Subject, config, kinds, program, slots_for};

/// A port of the machine for HID tokens.
struct Port {
    watch: Box<dyn Watch>,
    inserted: Option<PluggedIn>,
}

impl Socket for Port {
    fn plug(&mut self, door: &Door) -> (Box<dyn Bus>, Candidate) {
        let Door::Hid(hid) = door else { panic!("not a HID token") };
        self.inserted = None;
        wait_for(&mut *self.watch, 0);
        self.inserted = Some(UsbDevice::of_hid(hid).plug_in().unwrap());
        let candidate = wait(&mut *self.watch, "the token", |now| now.first().cloned());
        (Box::new(HidBus::new()), candidate)
    }
}

fn for_each_hid_token(mut work: impl FnMut(&Row, &mut dyn Socket)) {
    let _guest = Guest::enter();
    let mut port = Port { watch: HidBus::new().watch().unwrap(), inserted: None };
    for row in rows() {
        if matches!((row.make)().door(), Door::Hid(_)) {
            work(&row, &mut port);
        }
    }
}

/// The first token of each driver. Others differ in their firmware, and that is tested in process.
fn for_each_driver(mut work: impl FnMut(&Row, &mut dyn Socket)) {
    let mut drivers = Vec::new();
    for_each_hid_token(|row, socket| {
        if !drivers.contains(&row.driver) {
            drivers.push(row.driver);
            work(row, socket);
        }
    });
}

#[test]
fn every_hid_token_is_recognised_and_programmed() {
    for_each_hid_token(|row, socket| {
        let specimen = (row.make)();
        println!("{}, {}", row.driver, specimen.model());
        let subject = Subject::new(row.driver, &*specimen, socket);
        let mut token = subject.open_unlocked();
        let can = token.info().capabilities.clone();
        for kind in kinds(&can) {
            let slot = &slots_for(&can, kind)[0];
            program(&mut *token, slot, &config(&can, kind));
            let stored = subject.stored(slot).expect("nothing was stored");
            assert_eq!(stored.secret, config(&can, kind).secret.expose());
        }
    });
}

#[test]
fn every_driver_conforms() {
    for_each_driver(|row, socket| conformance(row.driver, &*row.make, socket));
}

#[test]
fn a_fault_of_each_kind_leaves_the_old_or_the_new_or_says_so() {
    for_each_driver(|row, socket| assert!(sweep(row.driver, &*row.make, socket, Depth::Sample) > 5));
}
