//! The suite behind a real pcscd: every emulated card in a reader of its own, all at the same time.

use std::thread;

use firmware_fixtures::specimen::Door;
use firmware_fixtures::vpcd::VpcdCard;
use fobd_drivers::transport::pcsc::PcscBus;
use fobd_drivers::transport::{Bus, Candidate, Watch};

use super::{wait, with_pcscd};
use crate::specimens::{Row, rows};
use crate::suite::Socket;
use crate::suite::cases::conformance;
use crate::suite::sweep::{Depth, sweep};

/// libpcsclite waits for 16 readers at most, and one of them stands for those to come. vpcd makes two of each.
const AT_ONCE: usize = 7;

/// A reader of a private pcscd.
struct Reader {
    name: String,
    port: u16,
    watch: Box<dyn Watch>,
    inserted: Option<(VpcdCard, Candidate)>,
}

impl Socket for Reader {
    fn plug(&mut self, door: &Door) -> (Box<dyn Bus>, Candidate) {
        let Door::Card(card) = door else { panic!("not a card") };
        if let Some((inserted, old)) = self.inserted.take() {
            inserted.remove();
            wait(&mut *self.watch, "the card going", |now| (!now.contains(&old)).then_some(()));
        }
        let inserted = VpcdCard::insert(card, self.port).unwrap();
        let mine = |candidate: &&Candidate| matches!(candidate, Candidate::Card { reader, .. } if reader.starts_with(&format!("{} ", self.name)));
        let candidate = wait(&mut *self.watch, "the card", |now| now.iter().find(mine).cloned());
        self.inserted = Some((inserted, candidate.clone()));
        (Box::new(PcscBus), candidate)
    }
}

fn cards() -> Vec<usize> {
    let rows = rows();
    (0..rows.len()).filter(|row| matches!((rows[*row].make)().door(), Door::Card(_))).collect()
}

/// Runs `work` for these rows side by side, each in a reader that is named as the card wants.
fn side_by_side(test: &str, chosen: &[usize], work: fn(&Row, &mut dyn Socket)) {
    let names: Vec<String> = chosen
        .iter()
        .map(|row| match (rows()[*row].make)().door() {
            // The numbers keep readers of the same name apart.
            Door::Card(card) => format!("{} {row}", card.face().reader),
            Door::Hid(_) => panic!("not a card"),
        })
        .collect();
    let readers: Vec<&str> = names.iter().map(String::as_str).collect();
    with_pcscd(test, &readers, |pcscd| {
        thread::scope(|scope| {
            for (number, (row, name)) in (0..).zip(chosen.iter().zip(&names)) {
                let port = pcscd.port(number);
                scope.spawn(move || {
                    let watch = PcscBus.watch().unwrap();
                    let mut reader = Reader { name: name.clone(), port, watch, inserted: None };
                    work(&rows()[*row], &mut reader);
                });
            }
        });
    });
}

/// One group of cards after another, each in a test of its own, so that they run side by side as well.
fn conform_group(test: &str, group: usize) {
    let cards = cards();
    let mut groups = cards.chunks(AT_ONCE);
    assert!(groups.len() <= 4, "another test is needed");
    if let Some(cards) = groups.nth(group) {
        side_by_side(test, cards, conform);
    }
}

#[test]
fn the_first_cards_conform() {
    conform_group("pcscd::suite::the_first_cards_conform", 0);
}

#[test]
fn the_next_cards_conform() {
    conform_group("pcscd::suite::the_next_cards_conform", 1);
}

#[test]
fn the_third_cards_conform() {
    conform_group("pcscd::suite::the_third_cards_conform", 2);
}

#[test]
fn the_last_cards_conform() {
    conform_group("pcscd::suite::the_last_cards_conform", 3);
}

fn conform(row: &Row, socket: &mut dyn Socket) {
    conformance(row.driver, &*row.make, socket);
}

#[test]
fn a_fault_of_each_kind_leaves_the_old_or_the_new_or_says_so() {
    // One card per driver.
    let rows = rows();
    let mut drivers: Vec<&str> = Vec::new();
    let mut chosen = cards();
    chosen.retain(|row| {
        let new = !drivers.contains(&rows[*row].driver);
        drivers.push(rows[*row].driver);
        new
    });
    side_by_side(
        "pcscd::suite::a_fault_of_each_kind_leaves_the_old_or_the_new_or_says_so",
        &chosen,
        |row, socket| assert!(sweep(row.driver, &*row.make, socket, Depth::Sample) > 5),
    );
}
