//! The tests: rounds of load and loss.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::guest;
use super::history::{Deed, Fault, History, Known, Line};
use super::load::Random;
use super::machine::Machine;
use super::tokens::Token;

/// Cuts under load.
const ROUNDS: u64 = 6;
/// Answers that the clients of a round have at least before its cut.
const ANSWERS: usize = 100;
/// Longest time from there to the cut.
const LONGEST_PAUSE: u64 = 700;
/// Longest time from the mount to a cut in the start that follows.
const LONGEST_START: u64 = 500;
/// Rounds in which a server that never syncs must be caught.
const PATIENCE_WITH_NO_SYNC: usize = 3;

/// The test that is run in the guest, by its name.
pub const IN_THE_GUEST: &str =
    "power::cuts::power_cuts_lose_nothing_that_was_acknowledged_and_free_no_passcode";

fn random() -> Random {
    let seed = std::env::var("SEED").map_or_else(
        |_| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64,
        |seed| seed.parse().expect("SEED is a number"),
    );
    println!("SEED={seed}");
    Random(seed)
}

/// Boots, has the server compared with the history so far, and cuts the power under load at a random moment.
fn round(machine: &mut Machine, random: &mut Random) {
    let pause = Duration::from_millis(random.below(LONGEST_PAUSE));
    let mut boot = machine.boot(random.next(), false);
    boot.wait_for("the check", |line| *line == Line::Checked);
    let (mut answers, mut imports, mut created) = (0, 0, 0);
    boot.wait_for("answers", |line| {
        if let Line::Told(deed) = line {
            answers += 1;
            imports += usize::from(matches!(deed, Deed::Import(_)));
            created += usize::from(matches!(deed, Deed::Create(_)));
        }
        answers >= ANSWERS && imports > 0 && created > 0
    });
    std::thread::sleep(pause);
    boot.cut_power();
}

/// Boots, and cuts the power while the server makes good for the cut before.
fn cut_the_start(machine: &mut Machine, random: &mut Random) {
    let pause = Duration::from_millis(random.below(LONGEST_START));
    let mut boot = machine.boot(0, false);
    boot.wait_for("the mount", |line| *line == Line::Mounted);
    std::thread::sleep(pause);
    boot.cut_power();
}

/// Numbers for the reader, and whether there was a load at all.
fn summary(history: &History) -> String {
    let count = |of: fn(&Known) -> usize| history.tokens.iter().map(of).sum::<usize>();
    let (accepted, synced, reset) =
        (count(|known| known.accepted.len()), count(|known| known.synced), count(|known| known.reset));
    let timed: usize = Token::all()
        .filter(|token| token.is_timed())
        .map(|token| history.tokens[token.0].accepted.len())
        .sum();
    let (imports, created, heads) =
        (history.imports.told.len(), history.creations.told.len(), history.heads.len());
    let pins = history.tokens.iter().filter(|known| known.former_pin.is_some()).count();
    assert!([synced, reset, imports, created, heads, pins].iter().all(|count| *count > 0), "no load");
    format!(
        "{accepted} passcodes accepted ({timed} of them of a time step), {synced} resyncs, {reset} resets, \
         {pins} tokens with a new PIN, {imports} imports, {created} new tokens, {heads} signed heads"
    )
}

#[test]
fn power_cuts_lose_nothing_that_was_acknowledged_and_free_no_passcode() {
    if guest::is_here() {
        return guest::run();
    }
    let mut random = random();
    let mut machine = Machine::new(false);
    for number in 0..ROUNDS {
        round(&mut machine, &mut random);
        if number % 3 == 0 {
            cut_the_start(&mut machine, &mut random);
        }
        machine.assert_sound();
    }
    machine.boot(0, true).wait_for_end();
    machine.assert_sound();
    println!("{ROUNDS} cuts under load: {}", summary(&machine.history()));
}

#[test]
fn a_server_that_never_syncs_is_caught_by_the_same_check() {
    let mut random = random();
    for _ in 0..PATIENCE_WITH_NO_SYNC {
        let mut machine = Machine::new(true);
        round(&mut machine, &mut random);
        // Nothing was lost yet.
        machine.assert_sound();
        let mut boot = machine.boot(0, true);
        boot.wait_for("the check", |line| *line == Line::Checked);
        boot.cut_power();
        let caught = |fault, words: &str| {
            machine.findings.iter().any(|(found, what)| *found == fault && what.contains(words))
        };
        let all = [
            caught(Fault::AcceptedTwice, "again"),
            caught(Fault::Lost, "the counter is"),
            caught(Fault::Lost, "times auth/verify accepted"),
            caught(Fault::Lost, "import"),
            caught(Fault::Lost, "new token"),
            caught(Fault::Lost, "fobd audit verify"),
        ];
        if !all.contains(&false) {
            return;
        }
        println!("not all is caught yet: {:?}", machine.findings);
    }
    panic!("answers outlived what they promised, and the check has not seen it");
}
