//! The search of a window of 1000 that misses, on one core, beside liboath's `oath_hotp_validate`, which a small C program
//! times. Both take their fastest of some dozens: what else runs on the machine only ever adds.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use fobd::otp::credential::{Credential, Parameters};
use fobd::otp::factor::FactorState;
use fobd::otp::pin::PinKey;
use fobd::otp::policy::Policy;
use fobd::otp::repeats::RepeatKey;
use fobd::otp::secret::Secret;
use fobd::otp::time::Timestamp;
use fobd::otp::verify::{Candidate, Keys, Subject, Verdict, verify};

use crate::data::{self, Data};
use crate::table::{Limit, Table};

const COUNTER: u64 = 1_000_000;

/// Prints its rows.
pub fn run(_: &Data, table: &mut Table) {
    let secret = data::secret(1);
    let credential =
        Credential { secret: Secret::new(secret.clone()).unwrap(), parameters: Parameters::HOTP };
    // One that is just behind the window, and none within it.
    let generator = credential.generator();
    let within: Vec<_> = (COUNTER..=COUNTER + 1000).map(|factor| generator.at(factor)).collect();
    let missing =
        (0..).map(|factor| generator.at(factor)).find(|passcode| !within.contains(passcode)).unwrap();
    let ours = (0..40).map(|_| time(&credential, missing.as_str())).fold(f64::INFINITY, f64::min);
    let what = "window: a miss in 1000, by otp::verify";
    match liboath(&secret, missing.as_str()) {
        Some(theirs) => table.row(what, "us", ours / 1e3, Some(theirs / 1e3), Limit::TimesAtMost(1.0 / 2.5)),
        None => {
            eprintln!("liboath is missing: scripts/setup.sh bench installs it");
            table.row(what, "us", ours / 1e3, None, Limit::None);
        }
    }
}

/// Nanoseconds of one verify: the window, and what else a verify does.
fn time(credential: &Credential, missing: &str) -> f64 {
    let policy = Policy { hotp_look_ahead_without_pin: 1000, ..Policy::default() };
    let keys = Keys { pin: PinKey::new([1; 32]), repeat: RepeatKey::new([2; 32]) };
    let state = FactorState::starting_at(COUNTER);
    let mut subject = Subject {
        candidates: vec![Candidate::new(1, Some(credential.clone()), state)],
        ..Subject::default()
    };
    let begun = Instant::now();
    let verdict = verify(&mut subject, missing, Timestamp::from_secs(1), &keys, &policy);
    let took = begun.elapsed().as_nanos() as f64;
    assert!(matches!(verdict, Verdict::Rejected(_)));
    took
}

fn liboath(secret: &[u8], missing: &str) -> Option<f64> {
    let target = Path::new(env!("CARGO_BIN_EXE_fobd")).parent().unwrap();
    let program = target.join("oath_window");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/bench/oath_window.c");
    let built =
        Command::new("cc").args(["-O2", "-o"]).arg(&program).args([source, "-loath"]).output().ok()?;
    if !built.status.success() {
        return None;
    }
    let hex: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let run = Command::new(&program).args([&hex, &COUNTER.to_string(), missing]).output().ok()?;
    assert!(run.status.success(), "liboath found a passcode that is not there");
    String::from_utf8(run.stdout).ok()?.trim().parse().ok()
}
