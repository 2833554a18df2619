//! What happens to devices, for those who watch: found by comparing the list before and after a change, so that it
//! cannot say anything else than the list. Pure but for [`Listener`], the one who is told.

use super::{DeviceId, DeviceState, DeviceView, InterfaceView};

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceEvent {
    /// Something is plugged in, and being asked what it is.
    Attached(InterfaceView),
    /// A device said what it is, or another interface of it was found, or one was lost.
    Opened(DeviceView),
    /// A device does something else now.
    State(DeviceView),
    /// It is no longer plugged in.
    Detached {
        /// Where it was.
        interface: InterfaceView,
        /// The devices that are gone with it.
        devices: Vec<DeviceId>,
    },
    /// The device waits for a touch.
    Touch(DeviceId),
}

/// Who is told. Called with the list locked, in the order in which things happen: it must be quick and must not
/// call back.
pub trait Listener: Send + Sync {
    /// Something happened.
    fn heard(&self, event: DeviceEvent);
}

/// What happened between two lists.
#[must_use]
pub fn between(before: &[DeviceView], after: &[DeviceView]) -> Vec<DeviceEvent> {
    let mut events = Vec::new();
    for interface in interfaces(before) {
        if !has(after, interface) {
            let gone = |device: &&DeviceView| {
                device.interfaces.iter().any(|known| known.position == interface.position)
                    && after.iter().all(|left| left.id != device.id)
            };
            let devices = before.iter().filter(gone).map(|device| device.id.clone()).collect();
            events.push(DeviceEvent::Detached { interface: interface.clone(), devices });
        }
    }
    for interface in interfaces(after) {
        if !has(before, interface) {
            events.push(DeviceEvent::Attached(interface.clone()));
        }
    }
    for device in after {
        let was = before.iter().find(|was| was.id == device.id && overlap(was, device));
        match was {
            Some(was) if same_thing(was, device) => {
                if (was.state, &was.error) != (device.state, &device.error) {
                    events.push(DeviceEvent::State(device.clone()));
                }
            }
            _ if device.info.is_some() => events.push(DeviceEvent::Opened(device.clone())),
            // The attachment was told already.
            None if device.state == DeviceState::Opening => {}
            _ => events.push(DeviceEvent::State(device.clone())),
        }
    }
    events
}

/// Every interface once: two devices may share one.
fn interfaces(devices: &[DeviceView]) -> Vec<&InterfaceView> {
    let mut found: Vec<&InterfaceView> = Vec::new();
    for interface in devices.iter().flat_map(|device| &device.interfaces) {
        if found.iter().all(|known| known.position != interface.position) {
            found.push(interface);
        }
    }
    found
}

fn has(devices: &[DeviceView], interface: &InterfaceView) -> bool {
    devices.iter().flat_map(|device| &device.interfaces).any(|known| known.position == interface.position)
}

/// Whether they share a place: a serial that is there twice has two rows.
fn overlap(one: &DeviceView, other: &DeviceView) -> bool {
    one.interfaces.iter().any(|a| other.interfaces.iter().any(|b| a.position == b.position))
}

/// Whether only what it does may have changed, and not what it is or where.
fn same_thing(one: &DeviceView, other: &DeviceView) -> bool {
    let places = |device: &DeviceView| {
        let mut places: Vec<_> = device.interfaces.iter().map(|i| (i.position, i.reach)).collect();
        places.sort_unstable_by_key(|(position, _)| *position);
        places
    };
    one.info == other.info && (one.info.is_none() || places(one) == places(other))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::Reach;
    use crate::devices::fake::info;

    fn interface(position: u64, state: DeviceState) -> InterfaceView {
        InterfaceView {
            position,
            transport: "fake",
            place: format!("reader {position}"),
            reach: Some(Reach::Contact),
            state,
            error: None,
        }
    }

    fn opening(position: u64) -> DeviceView {
        DeviceView {
            id: DeviceId::by_position("fake", position),
            state: DeviceState::Opening,
            info: None,
            error: None,
            interfaces: vec![InterfaceView { reach: None, ..interface(position, DeviceState::Opening) }],
        }
    }

    fn device(id: &str, positions: &[u64], state: DeviceState) -> DeviceView {
        DeviceView {
            id: id.parse().unwrap(),
            state,
            info: Some(info(id.split_once(':').map(|(_, serial)| serial))),
            error: None,
            interfaces: positions.iter().map(|&position| interface(position, state)).collect(),
        }
    }

    #[test]
    fn a_token_is_attached_then_opened_then_at_work_then_gone() {
        let ready = device("fake:1", &[7], DeviceState::Ready);
        let busy = device("fake:1", &[7], DeviceState::Busy);
        let lists = [vec![], vec![opening(7)], vec![ready.clone()], vec![busy.clone()], vec![]];
        let told: Vec<_> = lists.windows(2).map(|pair| between(&pair[0], &pair[1])).collect();
        let expected = vec![
            vec![DeviceEvent::Attached(opening(7).interfaces[0].clone())],
            vec![DeviceEvent::Opened(ready)],
            vec![DeviceEvent::State(busy.clone())],
            vec![DeviceEvent::Detached {
                interface: busy.interfaces[0].clone(),
                devices: vec!["fake:1".parse().unwrap()],
            }],
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn one_plug_may_hold_two_devices_and_leaves_once() {
        let two = [device("fake:1", &[7], DeviceState::Ready), device("other:1", &[7], DeviceState::Ready)];
        let opened: Vec<_> = two.iter().cloned().map(DeviceEvent::Opened).collect();
        assert_eq!(between(&[opening(7)], &two), opened);
        let [DeviceEvent::Detached { devices, .. }] = &between(&two, &[])[..] else { panic!() };
        assert_eq!(devices.iter().map(ToString::to_string).collect::<Vec<_>>(), ["fake:1", "other:1"]);
    }

    #[test]
    fn a_second_interface_of_a_device_shows_as_the_device_with_both() {
        let one = device("fake:1", &[7], DeviceState::Ready);
        let both = device("fake:1", &[8, 7], DeviceState::Ready);
        let before = [one, opening(8)];
        assert_eq!(between(&before, std::slice::from_ref(&both)), [DeviceEvent::Opened(both.clone())]);
        let left = device("fake:1", &[7], DeviceState::Ready);
        let gone = DeviceEvent::Detached { interface: interface(8, DeviceState::Ready), devices: Vec::new() };
        assert_eq!(between(&[both], std::slice::from_ref(&left)), [gone, DeviceEvent::Opened(left)]);
    }

    #[test]
    fn a_twin_makes_both_rows_ambiguous() {
        let one = device("fake:1", &[7], DeviceState::Ready);
        let twins =
            [device("fake:1", &[7], DeviceState::Ambiguous), device("fake:1", &[8], DeviceState::Ambiguous)];
        let told = between(&[one.clone(), opening(8)], &twins);
        let expected = [DeviceEvent::State(twins[0].clone()), DeviceEvent::Opened(twins[1].clone())];
        assert_eq!(told, expected);
        assert_eq!(between(&twins, &twins), []);
    }

    #[test]
    fn what_cannot_be_opened_says_so_once() {
        let failed = DeviceView {
            state: DeviceState::Failed,
            error: Some("no driver recognises it".to_owned()),
            ..opening(7)
        };
        let lists = [opening(7), failed.clone()];
        assert_eq!(between(&lists[..1], &lists[1..]), [DeviceEvent::State(failed.clone())]);
        assert_eq!(between(&lists[1..], &lists[1..]), []);
    }
}
