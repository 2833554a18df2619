//! What is plugged in and what is known of it. Pure: listings and reports in, changes and the list out.
//!
//! Per bus: the first listing gives `Attached` for each candidate and then [`Change::Swept`]; each later one
//! gives what came and went, departures first. A watch that failed and came back lists again; whatever is
//! still there by that name is asked again what it is ([`Change::Recheck`]), since nobody saw whether a token
//! was swapped meanwhile.
//!
//! A candidate is a place: a reader with a card, or an interface of a USB device. It gets a number when it is
//! attached, never reused. Reports about a number that has left are dropped: they come from a worker that has not
//! yet noticed. A place holds a token for each driver that opened there; `list` makes devices of places.

mod list;

use std::collections::BTreeMap;

use fobd_drivers::token::TokenInfo;
use fobd_drivers::transport::Candidate;

use super::{BusView, DeviceId, Reach};

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

/// What one driver found at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The driver.
    pub driver: &'static str,
    /// What the token said of itself, or why a driver that knows this model could not open it.
    pub token: Result<TokenInfo, String>,
}

/// What a listing changed.
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
}

/// Everything plugged in.
#[derive(Debug)]
pub struct Registry {
    buses: Vec<BusEntry>,
    places: BTreeMap<Position, Place>,
    next: Position,
}

#[derive(Debug)]
struct BusEntry {
    name: &'static str,
    /// The first listing, or the first failure to get one, is over.
    swept: bool,
    error: Option<String>,
}

/// Where something is plugged in.
#[derive(Debug)]
struct Place {
    bus: usize,
    candidate: Candidate,
    /// The driver that is tried first.
    driver: &'static str,
    /// How its tokens are reached, once one was open.
    reach: Option<Reach>,
    /// What was open here last, in the order of the drivers.
    tokens: Vec<Seen>,
    condition: Condition,
    /// Part of the first sweep and neither opened nor failed since.
    awaited: bool,
}

/// A token at a place.
#[derive(Debug)]
struct Seen {
    id: DeviceId,
    token: Result<TokenInfo, String>,
    locked: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Condition {
    Opening,
    Idle,
    Busy,
    /// Broke down in a call; the next call opens it again.
    Lost(String),
    /// Could not be opened.
    Unusable(String),
}

impl Registry {
    /// Starts with nothing seen on any bus.
    #[must_use]
    pub fn new(buses: impl IntoIterator<Item = &'static str>) -> Self {
        let buses = buses.into_iter().map(|name| BusEntry { name, swept: false, error: None }).collect();
        Self { buses, places: BTreeMap::new(), next: 1 }
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

    /// A worker found out what is at its place. Returns the addresses of the tokens that are open there now.
    pub fn opened(&mut self, position: Position, reach: Reach, found: Vec<Found>) -> Vec<DeviceId> {
        let Some(place) = self.places.get_mut(&position) else { return Vec::new() };
        place.tokens = found.into_iter().map(|found| Seen::new(position, found)).collect();
        place.reach = Some(reach);
        place.condition = Condition::Idle;
        place.awaited = false;
        place.tokens.iter().filter(|seen| seen.token.is_ok()).map(|seen| seen.id.clone()).collect()
    }

    /// A worker starts a call.
    pub fn busy(&mut self, position: Position) {
        self.set(position, Condition::Busy);
    }

    /// A worker is done with a call on that token; `locked` tells what the call learnt of its lock, if anything, and
    /// `info` what the token says of itself now: some tell more once they are unlocked. Its address stays.
    pub fn idle(&mut self, position: Position, id: &DeviceId, locked: Option<bool>, info: &TokenInfo) {
        self.set(position, Condition::Idle);
        let Some(seen) = self.places.get_mut(&position).and_then(|place| place.token_mut(id)) else { return };
        seen.locked = locked.unwrap_or(seen.locked);
        if let Ok(known) = &mut seen.token
            && known != info
        {
            info.clone_into(known);
        }
    }

    /// A worker lost its tokens in a call. Their addresses are kept: the next call opens them again.
    pub fn lost(&mut self, position: Position, error: String) {
        self.set(position, Condition::Lost(error));
    }

    /// A worker could not open what is at its place. Addresses that were known are kept: the same tokens may come
    /// back.
    pub fn failed(&mut self, position: Position, error: String) {
        self.set(position, Condition::Unusable(error));
        if let Some(place) = self.places.get_mut(&position) {
            place.awaited = false;
        }
    }

    /// The first sweep of every bus is over and everything found in it has opened or failed.
    #[must_use]
    pub fn settled(&self) -> bool {
        self.buses.iter().all(|bus| bus.swept) && !self.places.values().any(|place| place.awaited)
    }

    /// The buses, in the order given.
    #[must_use]
    pub fn buses(&self) -> Vec<BusView> {
        self.buses.iter().map(|bus| BusView { name: bus.name, error: bus.error.clone() }).collect()
    }

    fn position_of(&self, bus: usize, candidate: &Candidate) -> Option<Position> {
        let found = self.places.iter().find(|(_, place)| place.bus == bus && place.candidate == *candidate);
        found.map(|(position, _)| *position)
    }

    fn attach(&mut self, bus: usize, sighting: &Sighting, awaited: bool) -> Change {
        let position = self.next;
        self.next += 1;
        let place = Place {
            bus,
            candidate: sighting.candidate.clone(),
            driver: sighting.driver,
            reach: None,
            tokens: Vec::new(),
            condition: Condition::Opening,
            awaited,
        };
        self.places.insert(position, place);
        Change::Attached { position, candidate: sighting.candidate.clone() }
    }

    fn depart(&mut self, bus: usize, sightings: &[Sighting]) -> Vec<Change> {
        let listed = |place: &Place| sightings.iter().any(|sighting| sighting.candidate == place.candidate);
        let left = self.places.iter().filter(|(_, place)| place.bus == bus && !listed(place));
        let left: Vec<Position> = left.map(|(position, _)| *position).collect();
        for position in &left {
            self.places.remove(position);
        }
        left.into_iter().map(|position| Change::Detached { position }).collect()
    }

    fn set(&mut self, position: Position, condition: Condition) {
        if let Some(place) = self.places.get_mut(&position) {
            place.condition = condition;
        }
    }
}

impl Place {
    fn token_mut(&mut self, id: &DeviceId) -> Option<&mut Seen> {
        self.tokens.iter_mut().find(|seen| seen.id == *id)
    }
}

impl Seen {
    fn new(position: Position, found: Found) -> Self {
        let Found { driver, token } = found;
        let serial = token.as_ref().ok().and_then(|info| info.serial.as_deref());
        let by_serial = serial.and_then(|serial| DeviceId::by_serial(driver, serial));
        let id = by_serial.unwrap_or_else(|| DeviceId::by_position(driver, position));
        let locked = token.as_ref().is_ok_and(|info| info.locked);
        Self { id, token, locked }
    }
}

#[cfg(test)]
mod tests;
