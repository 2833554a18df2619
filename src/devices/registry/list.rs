//! From places to devices: which of them are one device, which one serves its calls, and the list for people.
//!
//! | places with the same driver and serial | what that is |
//! |---|---|
//! | one | a device |
//! | a HID interface and a card with contacts | a USB key with both: one device, served over HID while that works |
//! | anything else | one of them is a copy (a key in a field and in a port at once, too): refused at each |
//!
//! Tokens without a serial are never taken for one.

use super::{Condition, Place, Position, Registry, Seen};
use crate::devices::{DeviceError, DeviceId, DeviceState, DeviceView, InterfaceView, Reach};

/// A place by which a device is reached.
#[derive(Clone, Copy)]
struct Route<'r> {
    position: Position,
    place: &'r Place,
    seen: &'r Seen,
}

impl Registry {
    /// Where a call for that address goes.
    ///
    /// # Errors
    /// [`DeviceError::NoSuchDevice`], [`DeviceError::Ambiguous`], or [`DeviceError::Unusable`] for the position
    /// of something that could never be opened.
    pub fn resolve(&self, id: &DeviceId) -> Result<Position, DeviceError> {
        let routes = self.routes(id)?;
        serving(&routes)
            .map(|route| route.position)
            .ok_or_else(|| DeviceError::NoSuchDevice { id: id.clone() })
    }

    /// Whether that place is one by which the address is reached.
    ///
    /// # Errors
    /// As [`Registry::resolve`]; [`DeviceError::NoSuchDevice`] if it is reached elsewhere only.
    pub fn confirm(&self, id: &DeviceId, position: Position) -> Result<(), DeviceError> {
        let reached = self.routes(id)?.iter().any(|route| route.position == position);
        if reached { Ok(()) } else { Err(DeviceError::NoSuchDevice { id: id.clone() }) }
    }

    /// Another place of the same device that may work, for a call that its place cannot serve.
    #[must_use]
    pub fn detour(&self, id: &DeviceId, position: Position) -> Option<Position> {
        let routes = self.routes(id).ok()?;
        let other = routes.iter().find(|route| route.position != position && route.place.may_work())?;
        Some(other.position)
    }

    /// The list, in the order of attachment.
    #[must_use]
    pub fn list(&self) -> Vec<DeviceView> {
        let mut views = Vec::new();
        for (&position, place) in &self.places {
            if place.tokens.is_empty() {
                let id = DeviceId::by_position(place.driver, position);
                let (state, error) = place.state(false);
                let interfaces = vec![self.interface(position, place, state, error.clone())];
                views.push(DeviceView { id, state, info: None, error, interfaces });
            }
            for seen in &place.tokens {
                views.extend(self.view(Route { position, place, seen }));
            }
        }
        views
    }

    /// The row of a device, at the first of its places; for a serial that is there twice, a row for each.
    fn view(&self, route: Route<'_>) -> Option<DeviceView> {
        let routes = self.places_of(&route.seen.id);
        let twice = is_twice(&routes);
        let routes = if twice { vec![route] } else { routes };
        if routes.first().is_some_and(|first| first.position != route.position) {
            return None;
        }
        let interface = |route: &Route<'_>| {
            let (state, error) = route.state(twice);
            self.interface(route.position, route.place, state, error)
        };
        let serving = serving(&routes)?;
        let (state, error) = serving.state(twice);
        Some(DeviceView {
            id: serving.seen.id.clone(),
            state,
            info: serving.seen.token.as_ref().ok().cloned(),
            error,
            // The one that serves comes first.
            interfaces: std::iter::once(&serving)
                .chain(routes.iter().filter(|other| other.position != serving.position))
                .map(interface)
                .collect(),
        })
    }

    fn interface(
        &self,
        position: Position,
        place: &Place,
        state: DeviceState,
        error: Option<String>,
    ) -> InterfaceView {
        InterfaceView {
            position,
            transport: self.buses.get(place.bus).map_or("", |bus| bus.name),
            place: place.candidate.to_string(),
            reach: place.reach,
            state,
            error,
        }
    }

    /// The places of one device.
    fn routes(&self, id: &DeviceId) -> Result<Vec<Route<'_>>, DeviceError> {
        let routes = self.places_of(id);
        if is_twice(&routes) {
            return Err(DeviceError::Ambiguous { id: id.clone(), places: routes.len() });
        }
        if let [Route { seen: Seen { token: Err(detail), .. }, .. }] = routes.as_slice() {
            return Err(DeviceError::Unusable { id: id.clone(), detail: detail.clone() });
        }
        if !routes.is_empty() {
            return Ok(routes);
        }
        // Nothing was ever open there: its row has the position for an address.
        let never_open = |(position, place): (&Position, &Place)| match &place.condition {
            Condition::Unusable(detail)
                if place.tokens.is_empty() && *id == DeviceId::by_position(place.driver, *position) =>
            {
                Some(detail.clone())
            }
            _ => None,
        };
        Err(match self.places.iter().find_map(never_open) {
            Some(detail) => DeviceError::Unusable { id: id.clone(), detail },
            None => DeviceError::NoSuchDevice { id: id.clone() },
        })
    }

    /// Every place with that address, in the order of attachment.
    fn places_of(&self, id: &DeviceId) -> Vec<Route<'_>> {
        self.places.iter().filter_map(|(position, place)| Route::at(*position, place, id)).collect()
    }
}

impl<'r> Route<'r> {
    fn at(position: Position, place: &'r Place, id: &DeviceId) -> Option<Self> {
        let seen = place.tokens.iter().find(|seen| seen.id == *id)?;
        Some(Self { position, place, seen })
    }

    fn state(&self, twice: bool) -> (DeviceState, Option<String>) {
        match &self.seen.token {
            _ if twice => (DeviceState::Ambiguous, None),
            Err(error) => (DeviceState::Failed, Some(error.clone())),
            Ok(_) => self.place.state(self.seen.locked),
        }
    }
}

impl Place {
    fn state(&self, locked: bool) -> (DeviceState, Option<String>) {
        match &self.condition {
            Condition::Opening => (DeviceState::Opening, None),
            Condition::Busy => (DeviceState::Busy, None),
            Condition::Lost(error) | Condition::Unusable(error) => (DeviceState::Failed, Some(error.clone())),
            Condition::Idle if locked => (DeviceState::Locked, None),
            Condition::Idle => (DeviceState::Ready, None),
        }
    }

    fn may_work(&self) -> bool {
        !matches!(self.condition, Condition::Unusable(_))
    }
}

/// Whether these places cannot be those of one device.
fn is_twice(routes: &[Route<'_>]) -> bool {
    match routes {
        [] | [_] => false,
        [one, other] => !matches!(
            (one.place.reach, other.place.reach),
            (Some(Reach::Hid), Some(Reach::Contact)) | (Some(Reach::Contact), Some(Reach::Hid))
        ),
        _ => true,
    }
}

/// The place that serves the calls of a device: HID if it works, else the other if that works, else HID, which is
/// tried again then.
fn serving<'r>(routes: &[Route<'r>]) -> Option<Route<'r>> {
    let preference = |route: &&Route<'_>| (!route.place.may_work(), route.place.reach != Some(Reach::Hid));
    routes.iter().min_by_key(preference).copied()
}
