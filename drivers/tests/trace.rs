//! Traces: the whole conformance suite under a trace, and then a search for what went over the wire.

use std::cell::RefCell;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use firmware_fixtures::specimen::{Door, Specimen};
use fobd_drivers::DRIVERS;
use fobd_drivers::transport::trace::{CommandDisclosure, Disclosure, Reveal, Trace};
use fobd_drivers::transport::{Bus, Candidate, Connection, TransportError, Watch};

use crate::specimens::{Row, rows};
use crate::suite::cases::conformance;
use crate::suite::{InProcess, OTHER_SECRET, SECRET, Socket};

/// The truncated hashes of RFC 4226 appendix D, as some protocols send them.
const TRUNCATED: [&str; 10] = [
    "4C93CF18", "41397EEA", "082FEF30", "66EF7655", "61C5938A", "33C083D4", "7256C032", "04E5B397",
    "2823443F", "2679DC69",
];

/// A file in memory.
#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A socket whose wires are traced as a server traces them.
struct Traced {
    driver: &'static str,
    disclosure: Disclosure,
    trace: Arc<Trace>,
}

impl Socket for Traced {
    fn plug(&mut self, door: &Door) -> (Box<dyn Bus>, Candidate) {
        let (inner, candidate) = InProcess.plug(door);
        let Self { driver, disclosure, trace } = self;
        (Box::new(TracedBus { inner, driver, disclosure: *disclosure, trace: Arc::clone(trace) }), candidate)
    }
}

struct TracedBus {
    inner: Box<dyn Bus>,
    driver: &'static str,
    disclosure: Disclosure,
    trace: Arc<Trace>,
}

impl Bus for TracedBus {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn watch(&self) -> Result<Box<dyn Watch>, TransportError> {
        self.inner.watch()
    }

    fn open(&self, candidate: &Candidate) -> Result<Connection, TransportError> {
        let connection = self.inner.open(candidate)?;
        Ok(self.trace.wrap(self.driver, self.disclosure, candidate, connection))
    }
}

/// The trace of the whole suite on one kind of token, and every code that such a token was given.
fn trace_of(row: &Row, disclosure: Disclosure) -> (Vec<u8>, Vec<Vec<u8>>) {
    let memory = Memory::default();
    let trace = Trace::new(Box::new(memory.clone()));
    let codes = RefCell::new(Vec::new());
    let make = || -> Box<dyn Specimen> {
        let specimen = (row.make)();
        codes.borrow_mut().extend([specimen.lock_code(), specimen.spare_lock_code()].into_iter().flatten());
        specimen
    };
    conformance(row.driver, &make, &mut Traced { driver: row.driver, disclosure, trace });
    let text = std::mem::take(&mut *memory.0.lock().unwrap());
    (text, codes.into_inner())
}

fn base32(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |bit| byte >> bit & 1)).collect();
    let letter = |five: &[u8]| ALPHABET[five.iter().fold(0, |number, bit| number << 1 | usize::from(*bit))];
    bits.chunks_exact(5).map(|five| char::from(letter(five))).collect()
}

/// What of a secret must not be found: eight bytes of it in a row, or all of a short one, in every form.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let window = secret.len().min(8);
    let mut forms = Vec::new();
    for piece in secret.windows(window) {
        let hex: String = piece.iter().map(|byte| format!("{byte:02X}")).collect();
        let spaced: Vec<String> = piece.iter().map(|byte| format!("{byte:02X}")).collect();
        forms.extend([piece.to_vec(), hex.to_lowercase().into(), hex.into(), spaced.join(" ").into()]);
    }
    // Base 32 begins anew every five bytes.
    forms.extend(secret.chunks(5).map(base32).filter(|text| text.len() == 8).map(String::into_bytes));
    forms
}

/// The first secret that is in a text, in words.
fn leak(text: &[u8], codes: &[Vec<u8>]) -> Option<String> {
    let has = |form: &[u8]| !form.is_empty() && text.windows(form.len()).any(|window| window == form);
    let secrets = [SECRET, OTHER_SECRET].into_iter().chain(codes.iter().map(Vec::as_slice));
    let forms = secrets.flat_map(forms).chain(TRUNCATED.iter().map(|hash| hash.as_bytes().to_vec()));
    let mut forms: Vec<Vec<u8>> = forms.collect();
    forms.sort();
    forms.dedup();
    forms.into_iter().find(|form| has(form)).map(|form| String::from_utf8_lossy(&form).into_owned())
}

#[test]
fn no_trace_of_any_driver_holds_a_secret_a_code_or_a_passcode() {
    for row in rows() {
        let driver = DRIVERS.iter().find(|driver| driver.name() == row.driver).unwrap();
        let (text, codes) = trace_of(&row, driver.disclosure());
        let model = (row.make)().model();
        assert!(text.iter().filter(|byte| **byte == b'\n').count() > 100, "{model} was hardly traced");
        assert_eq!(leak(&text, &codes), None, "{model}");
    }
}

#[test]
fn a_driver_that_shows_everything_would_be_found_out() {
    let everything =
        |ins| CommandDisclosure { ins, command: Reveal::Everything, response: Reveal::Everything };
    let commands: Vec<CommandDisclosure> = (0..=u8::MAX).map(everything).collect();
    let disclosure = Disclosure { commands: commands.leak(), report: &[] };
    let row = rows().into_iter().find(|row| row.driver == "ykoath").unwrap();
    let (text, codes) = trace_of(&row, disclosure);
    assert!(leak(&text, &codes).is_some());
}

#[test]
fn a_trace_says_what_crossed_the_wire_in_lines_of_one_form() {
    let row = rows().into_iter().find(|row| row.driver == "ykoath").unwrap();
    let memory = Memory::default();
    let trace = Trace::new(Box::new(memory.clone()));
    let specimen = (row.make)();
    let (bus, candidate) = InProcess.plug(&specimen.door());
    let driver = DRIVERS.iter().find(|driver| driver.name() == row.driver).unwrap();
    let connection =
        trace.wrap(driver.name(), driver.disclosure(), &candidate, bus.open(&candidate).unwrap());
    drop(driver.open(&candidate, connection).unwrap());
    let text = String::from_utf8(memory.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<&str> = text.lines().map(|line| line.split_once(' ').unwrap().1).collect();
    assert_eq!(lines[0], format!("#1 = open by ykoath: {candidate}"));
    assert_eq!(lines[1], "#1 > 00A40400 {A0000005272101}");
    assert!(lines[2].starts_with("#1 < {79 03 ") && lines[2].ends_with("} 9000"), "{}", lines[2]);
    assert_eq!(lines.last(), Some(&"#1 = close"));
    assert!(!trace.is_broken());
}
