//! What is plugged in and what is known of it. Pure: listings and reports in, changes and the list out.
//!
//! Per bus: the first listing gives `Attached` for each candidate and then [`Change::Swept`]; each later one
//! gives what came and went, departures first. A watch that failed and came back lists again; whatever is
//! still there by that name is asked again what it is ([`Change::Recheck`]), since nobody saw whether a token
//! was swapped meanwhile.
//!
//! A candidate gets a number when it is attached, never reused. Reports about a number that has left are
//! dropped: they come from a worker that has not yet noticed.

use std::collections::BTreeMap;

use fobd_drivers::token::TokenInfo;
use fobd_drivers::transport::Candidate;

use super::{BusView, DeviceError, DeviceId, DeviceState, DeviceView};

/// The number of an attachment.
pub type Position = u64;

/// A candidate and the name of the first driver that matches it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// What was listed.
    pub candidate: Candidate,
    /// The driver to try first.
    pub driver: &'static str,
}

/// What a listing or a report changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Something new is plugged in.
    Attached {
        /// Its number.
        position: Position,
        /// What was listed.
        candidate: Candidate,
    },
    /// It is no longer there.
    Detached {
        /// Its number.
        position: Position,
    },
    /// It is there again or still, unwatched for a while: it must say again what it is.
    Recheck {
        /// Its number.
        position: Position,
    },
    /// The first listing of a bus is complete.
    Swept {
        /// The bus, by its place in the list given to [`Registry::new`].
        bus: usize,
    },
    /// A token said what it is.
    Opened {
        /// Its number.
        position: Position,
        /// Its address from now on.
        id: DeviceId,
    },
}

/// Everything plugged in.
#[derive(Debug)]
pub struct Registry {
    buses: Vec<BusEntry>,
    entries: BTreeMap<Position, Entry>,
    next: Position,
}

#[derive(Debug)]
struct BusEntry {
    name: &'static str,
    /// The first listing, or the first failure to get one, is over.
    swept: bool,
    error: Option<String>,
}

#[derive(Debug)]
struct Entry {
    bus: usize,
    candidate: Candidate,
    driver: &'static str,
    info: Option<TokenInfo>,
    /// Its address; the position until it is open.
    id: DeviceId,
    condition: Condition,
    locked: bool,
    /// Part of the first sweep and neither opened nor failed since.
    awaited: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    Opening,
    Idle,
    Busy,
    Failed(String),
}

impl Registry {
    /// Starts with nothing seen on any bus.
    #[must_use]
    pub fn new(buses: impl IntoIterator<Item = &'static str>) -> Self {
        let buses = buses.into_iter().map(|name| BusEntry { name, swept: false, error: None }).collect();
        Self { buses, entries: BTreeMap::new(), next: 1 }
    }

    /// Takes a complete listing of one bus. `fresh` says that it is the first of a new watch.
    pub fn seen(&mut self, bus: usize, sightings: &[Sighting], fresh: bool) -> Vec<Change> {
        let known = self.next;
        let mut changes = self.depart(bus, sightings);
        let first = self.buses.get(bus).is_some_and(|entry| !entry.swept);
        for sighting in sightings {
            match self.position_of(bus, &sighting.candidate) {
                Some(position) if fresh && position < known => changes.push(Change::Recheck { position }),
                Some(_) => {}
                None => changes.push(self.attach(bus, sighting, first)),
            }
        }
        if first {
            changes.push(Change::Swept { bus });
        }
        if let Some(entry) = self.buses.get_mut(bus) {
            entry.swept = true;
            entry.error = None;
        }
        changes
    }

    /// Takes note that a bus cannot be watched. What was seen on it stays: only a listing can tell.
    pub fn unwatched(&mut self, bus: usize, error: String) -> Option<Change> {
        let entry = self.buses.get_mut(bus)?;
        entry.error = Some(error);
        (!std::mem::replace(&mut entry.swept, true)).then_some(Change::Swept { bus })
    }

    /// A worker asks its candidate what it is.
    pub fn opening(&mut self, position: Position) {
        self.set(position, Condition::Opening);
    }

    /// A worker found out what its candidate is.
    pub fn opened(&mut self, position: Position, driver: &'static str, info: TokenInfo) -> Option<Change> {
        let entry = self.entries.get_mut(&position)?;
        let by_serial = info.serial.as_deref().and_then(|serial| DeviceId::by_serial(driver, serial));
        let id = by_serial.unwrap_or_else(|| DeviceId::by_position(driver, position));
        entry.driver = driver;
        entry.id = id.clone();
        entry.locked = info.locked;
        entry.info = Some(info);
        entry.condition = Condition::Idle;
        entry.awaited = false;
        Some(Change::Opened { position, id })
    }

    /// A worker starts a call.
    pub fn busy(&mut self, position: Position) {
        self.set(position, Condition::Busy);
    }

    /// A worker is done with a call; `locked` tells what the call learnt of the lock, if anything.
    pub fn idle(&mut self, position: Position, locked: Option<bool>) {
        self.set(position, Condition::Idle);
        if let (Some(entry), Some(locked)) = (self.entries.get_mut(&position), locked) {
            entry.locked = locked;
        }
    }

    /// A worker lost its token or could not open it. An address it had is kept: the same token may come back.
    pub fn failed(&mut self, position: Position, error: String) {
        self.set(position, Condition::Failed(error));
        if let Some(entry) = self.entries.get_mut(&position) {
            entry.awaited = false;
        }
    }

    /// Which attachment an address means.
    ///
    /// # Errors
    /// [`DeviceError::NoSuchDevice`], [`DeviceError::Ambiguous`], or [`DeviceError::Unusable`] for the position
    /// of something that could never be opened.
    pub fn resolve(&self, id: &DeviceId) -> Result<Position, DeviceError> {
        let mut matching = self.entries.iter().filter(|(_, entry)| entry.id == *id);
        let (position, entry) =
            matching.next().ok_or_else(|| DeviceError::NoSuchDevice { id: id.clone() })?;
        let others = matching.count();
        if others > 0 {
            return Err(DeviceError::Ambiguous { id: id.clone(), places: others + 1 });
        }
        match (&entry.info, &entry.condition) {
            (Some(_), _) => Ok(*position),
            (None, Condition::Failed(detail)) => {
                Err(DeviceError::Unusable { id: id.clone(), detail: detail.clone() })
            }
            (None, _) => Err(DeviceError::NoSuchDevice { id: id.clone() }),
        }
    }

    /// The first sweep of every bus is over and everything found in it has opened or failed.
    #[must_use]
    pub fn settled(&self) -> bool {
        self.buses.iter().all(|bus| bus.swept) && !self.entries.values().any(|entry| entry.awaited)
    }

    /// The list, in the order of attachment.
    #[must_use]
    pub fn list(&self) -> Vec<DeviceView> {
        let mut places: BTreeMap<&DeviceId, usize> = BTreeMap::new();
        for entry in self.entries.values() {
            *places.entry(&entry.id).or_default() += 1;
        }
        let view = |entry: &Entry| {
            let ambiguous = places.get(&entry.id).is_some_and(|&places| places > 1);
            entry.view(self.buses.get(entry.bus).map_or("", |bus| bus.name), ambiguous)
        };
        self.entries.values().map(view).collect()
    }

    /// The buses, in the order given.
    #[must_use]
    pub fn buses(&self) -> Vec<BusView> {
        self.buses.iter().map(|bus| BusView { name: bus.name, error: bus.error.clone() }).collect()
    }

    fn position_of(&self, bus: usize, candidate: &Candidate) -> Option<Position> {
        let found = self.entries.iter().find(|(_, entry)| entry.bus == bus && entry.candidate == *candidate);
        found.map(|(position, _)| *position)
    }

    fn attach(&mut self, bus: usize, sighting: &Sighting, awaited: bool) -> Change {
        let position = self.next;
        self.next += 1;
        let entry = Entry {
            bus,
            candidate: sighting.candidate.clone(),
            driver: sighting.driver,
            info: None,
            id: DeviceId::by_position(sighting.driver, position),
            condition: Condition::Opening,
            locked: false,
            awaited,
        };
        self.entries.insert(position, entry);
        Change::Attached { position, candidate: sighting.candidate.clone() }
    }

    fn depart(&mut self, bus: usize, sightings: &[Sighting]) -> Vec<Change> {
        let listed = |entry: &Entry| sightings.iter().any(|sighting| sighting.candidate == entry.candidate);
        let left = self.entries.iter().filter(|(_, entry)| entry.bus == bus && !listed(entry));
        let left: Vec<Position> = left.map(|(position, _)| *position).collect();
        for position in &left {
            self.entries.remove(position);
        }
        left.into_iter().map(|position| Change::Detached { position }).collect()
    }

    fn set(&mut self, position: Position, condition: Condition) {
        if let Some(entry) = self.entries.get_mut(&position) {
            entry.condition = condition;
        }
    }
}

impl Entry {
    fn view(&self, transport: &'static str, ambiguous: bool) -> DeviceView {
        let (state, error) = match &self.condition {
            _ if ambiguous => (DeviceState::Ambiguous, None),
            Condition::Opening => (DeviceState::Opening, None),
            Condition::Busy => (DeviceState::Busy, None),
            Condition::Failed(error) => (DeviceState::Failed, Some(error.clone())),
            Condition::Idle if self.locked => (DeviceState::Locked, None),
            Condition::Idle => (DeviceState::Ready, None),
        };
        let (id, place, info) = (self.id.clone(), self.candidate.to_string(), self.info.clone());
        DeviceView { id, transport, place, state, info, error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::fake::info;
    use Change::{Attached, Detached, Opened, Recheck, Swept};

    /// The card inserted as the `insertion`th into a reader.
    fn card(reader: &str, insertion: u32) -> Sighting {
        let candidate = Candidate::Card { reader: reader.to_owned(), atr: vec![0x3B], insertion };
        Sighting { candidate, driver: "ykoath" }
    }

    fn attached(position: Position, sighting: &Sighting) -> Change {
        Attached { position, candidate: sighting.candidate.clone() }
    }

    fn id(text: &str) -> DeviceId {
        text.parse().unwrap()
    }

    /// Plays listings of one bus and collects what each changed.
    fn play(registry: &mut Registry, listings: &[Vec<Sighting>]) -> Vec<Vec<Change>> {
        listings.iter().map(|listing| registry.seen(0, listing, false)).collect()
    }

    fn states(registry: &Registry) -> Vec<(String, DeviceState)> {
        registry.list().into_iter().map(|view| (view.id.to_string(), view.state)).collect()
    }

    #[test]
    fn the_first_sweep_ends_with_swept_and_live_changes_follow() {
        let (a, b) = (card("A", 1), card("B", 1));
        let listings =
            [vec![a.clone()], vec![a.clone()], vec![a.clone(), b.clone()], vec![b.clone()], vec![]];
        let mut registry = Registry::new(["pcsc"]);
        let changes = play(&mut registry, &listings);
        let expected = vec![
            vec![attached(1, &a), Swept { bus: 0 }],
            vec![],
            vec![attached(2, &b)],
            vec![Detached { position: 1 }],
            vec![Detached { position: 2 }],
        ];
        assert_eq!(changes, expected);
    }

    #[test]
    fn a_card_swapped_in_one_reader_is_another_attachment() {
        let (first, second) = (card("A", 1), card("A", 2));
        let mut registry = Registry::new(["pcsc"]);
        let changes = play(&mut registry, &[vec![first.clone()], vec![second.clone()]]);
        assert_eq!(changes[1], vec![Detached { position: 1 }, attached(2, &second)]);
    }

    #[test]
    fn a_token_plugged_in_again_gets_a_new_number_and_its_old_address() {
        let mut registry = Registry::new(["pcsc"]);
        registry.seen(0, &[card("A", 1)], true);
        registry.opened(1, "ykoath", info(Some("77")));
        registry.seen(0, &[], false);
        assert!(matches!(registry.resolve(&id("ykoath:77")), Err(DeviceError::NoSuchDevice { .. })));
        registry.seen(0, &[card("A", 1)], false);
        let opened = registry.opened(2, "ykoath", info(Some("77")));
        assert_eq!(opened, Some(Opened { position: 2, id: id("ykoath:77") }));
        assert_eq!(registry.resolve(&id("ykoath:77")).unwrap(), 2);
    }

    #[test]
    fn a_report_about_something_that_left_changes_nothing() {
        let mut registry = Registry::new(["pcsc"]);
        play(&mut registry, &[vec![card("A", 1)], vec![]]);
        assert_eq!(registry.opened(1, "ykoath", info(Some("77"))), None);
        registry.failed(1, "too late".to_owned());
        assert_eq!(registry.list(), vec![]);
        assert!(registry.settled());
    }

    #[test]
    fn nothing_is_settled_until_the_first_sweep_of_each_bus_has_opened_or_failed() {
        let mut registry = Registry::new(["pcsc", "hid"]);
        assert!(!registry.settled());
        registry.seen(0, &[card("A", 1), card("B", 1)], true);
        assert_eq!(registry.unwatched(1, "access denied".to_owned()), Some(Swept { bus: 1 }));
        assert_eq!(registry.unwatched(1, "access denied".to_owned()), None);
        registry.opened(1, "ykoath", info(Some("77")));
        assert!(!registry.settled());
        registry.failed(2, "mute".to_owned());
        assert!(registry.settled());
        registry.seen(0, &[card("A", 1), card("B", 1), card("C", 1)], false);
        assert!(registry.settled(), "late arrivals are not waited for");
    }

    #[test]
    fn a_serial_at_two_places_is_refused_at_both_until_one_leaves() {
        let mut registry = Registry::new(["pcsc"]);
        registry.seen(0, &[card("A", 1), card("B", 1)], true);
        registry.opened(1, "ykoath", info(Some("77")));
        registry.opened(2, "ykoath", info(Some("77")));
        let both = |state| vec![("ykoath:77".to_owned(), state), ("ykoath:77".to_owned(), state)];
        assert_eq!(states(&registry), both(DeviceState::Ambiguous));
        assert!(matches!(registry.resolve(&id("ykoath:77")), Err(DeviceError::Ambiguous { places: 2, .. })));
        registry.seen(0, &[card("B", 1)], false);
        assert_eq!(registry.resolve(&id("ykoath:77")).unwrap(), 2);
        assert_eq!(states(&registry), vec![("ykoath:77".to_owned(), DeviceState::Ready)]);
    }

    #[test]
    fn one_serial_under_two_drivers_is_two_addresses() {
        let mut registry = Registry::new(["pcsc"]);
        registry.seen(0, &[card("A", 1), card("B", 1)], true);
        registry.opened(1, "ykoath", info(Some("77")));
        registry.opened(2, "yubikey-otp", info(Some("77")));
        assert_eq!(registry.resolve(&id("ykoath:77")).unwrap(), 1);
        assert_eq!(registry.resolve(&id("yubikey-otp:77")).unwrap(), 2);
    }

    #[test]
    fn tokens_without_a_serial_are_never_merged() {
        let mut registry = Registry::new(["pcsc"]);
        registry.seen(0, &[card("A", 1), card("B", 1), card("C", 1)], true);
        registry.opened(1, "ykoath", info(None));
        registry.opened(2, "ykoath", info(None));
        registry.opened(3, "ykoath", info(Some("?1")));
        let ready = |text: &str| (text.to_owned(), DeviceState::Ready);
        assert_eq!(states(&registry), vec![ready("ykoath:?1"), ready("ykoath:?2"), ready("ykoath:?3")]);
        assert_eq!(registry.resolve(&id("ykoath:?2")).unwrap(), 2);
    }

    #[test]
    fn the_position_of_a_token_with_a_serial_is_no_address() {
        let mut registry = Registry::new(["pcsc"]);
        registry.seen(0, &[card("A", 1)], true);
        assert!(matches!(registry.resolve(&id("ykoath:?1")), Err(DeviceError::NoSuchDevice { .. })));
        registry.opened(1, "ykoath", info(Some("77")));
        assert!(matches!(registry.resolve(&id("ykoath:?1")), Err(DeviceError::NoSuchDevice { .. })));
    }

    #[test]
    fn a_broken_device_keeps_its_address_and_says_why() {
        let mut registry = Registry::new(["pcsc"]);
        registry.seen(0, &[card("A", 1), card("B", 1)], true);
        registry.opened(1, "ykoath", info(Some("77")));
        registry.failed(1, "gone".to_owned());
        registry.failed(2, "mute".to_owned());
        let list = registry.list();
        assert_eq!(list[0].error.as_deref(), Some("gone"));
        assert_eq!(states(&registry)[1], ("ykoath:?2".to_owned(), DeviceState::Failed));
        assert_eq!(registry.resolve(&id("ykoath:77")).unwrap(), 1);
        assert!(matches!(registry.resolve(&id("ykoath:?2")), Err(DeviceError::Unusable { .. })));
    }

    #[test]
    fn after_an_outage_what_is_still_there_is_asked_again() {
        let (a, b) = (card("A", 1), card("B", 1));
        let mut registry = Registry::new(["pcsc"]);
        registry.seen(0, std::slice::from_ref(&a), true);
        registry.opened(1, "ykoath", info(Some("77")));
        registry.unwatched(0, "pcscd is gone".to_owned());
        assert_eq!(registry.buses()[0].error.as_deref(), Some("pcscd is gone"));
        assert_eq!(registry.list().len(), 1);
        let changes = registry.seen(0, &[a, b.clone(), b.clone()], true);
        assert_eq!(changes, vec![Recheck { position: 1 }, attached(2, &b)]);
        assert_eq!(registry.buses()[0].error, None);
        registry.opened(1, "ykoath", info(Some("78")));
        assert!(registry.resolve(&id("ykoath:77")).is_err(), "it was swapped");
        assert_eq!(registry.resolve(&id("ykoath:78")).unwrap(), 1);
    }

    #[test]
    fn the_lock_shows_until_a_call_has_opened_it() {
        let mut registry = Registry::new(["pcsc"]);
        registry.seen(0, &[card("A", 1)], true);
        registry.opened(1, "ykoath", TokenInfo { locked: true, ..info(Some("77")) });
        assert_eq!(states(&registry)[0].1, DeviceState::Locked);
        registry.busy(1);
        assert_eq!(states(&registry)[0].1, DeviceState::Busy);
        registry.idle(1, Some(false));
        registry.idle(1, None);
        assert_eq!(states(&registry)[0].1, DeviceState::Ready);
    }

    #[test]
    fn two_buses_with_equal_names_of_places_are_kept_apart() {
        let mut registry = Registry::new(["pcsc", "station"]);
        registry.seen(0, &[card("A", 1)], true);
        assert_eq!(registry.seen(1, &[card("A", 1)], true)[0], attached(2, &card("A", 1)));
        assert_eq!(registry.seen(0, &[], false), vec![Detached { position: 1 }]);
        assert_eq!(registry.list()[0].transport, "station");
    }
}
