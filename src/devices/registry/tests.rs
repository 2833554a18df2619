//! Plug orders as lists of listings, and what becomes of them.

use fobd_drivers::transport::HidCandidate;

use super::*;
use crate::devices::fake::info;
use crate::devices::{DeviceError, DeviceState};
use Change::{Attached, Detached, Recheck, Swept};

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

/// One token of that serial opened at a place with contacts.
fn opened(registry: &mut Registry, position: Position, serial: Option<&str>) -> Vec<DeviceId> {
    opened_by(registry, position, Reach::Contact, &[("ykoath", serial)])
}

fn opened_by(
    registry: &mut Registry,
    position: Position,
    reach: Reach,
    tokens: &[(&'static str, Option<&str>)],
) -> Vec<DeviceId> {
    let found = tokens.iter().map(|&(driver, serial)| Found { driver, token: Ok(info(serial)) });
    registry.opened(position, reach, found.collect())
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
    let listings = [vec![a.clone()], vec![a.clone()], vec![a.clone(), b.clone()], vec![b.clone()], vec![]];
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
    opened(&mut registry, 1, Some("77"));
    registry.seen(0, &[], false);
    assert!(matches!(registry.resolve(&id("ykoath:77")), Err(DeviceError::NoSuchDevice { .. })));
    registry.seen(0, &[card("A", 1)], false);
    assert_eq!(opened(&mut registry, 2, Some("77")), [id("ykoath:77")]);
    assert_eq!(registry.resolve(&id("ykoath:77")).unwrap(), 2);
}

#[test]
fn a_report_about_something_that_left_changes_nothing() {
    let mut registry = Registry::new(["pcsc"]);
    play(&mut registry, &[vec![card("A", 1)], vec![]]);
    assert_eq!(opened(&mut registry, 1, Some("77")), []);
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
    opened(&mut registry, 1, Some("77"));
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
    opened(&mut registry, 1, Some("77"));
    opened(&mut registry, 2, Some("77"));
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
    opened(&mut registry, 1, Some("77"));
    opened_by(&mut registry, 2, Reach::Contact, &[("ykotp", Some("77"))]);
    assert_eq!(registry.resolve(&id("ykoath:77")).unwrap(), 1);
    assert_eq!(registry.resolve(&id("ykotp:77")).unwrap(), 2);
}

#[test]
fn tokens_without_a_serial_are_never_merged() {
    let mut registry = Registry::new(["pcsc"]);
    registry.seen(0, &[card("A", 1), card("B", 1), card("C", 1)], true);
    opened(&mut registry, 1, None);
    opened(&mut registry, 2, None);
    opened(&mut registry, 3, Some("?1"));
    let ready = |text: &str| (text.to_owned(), DeviceState::Ready);
    assert_eq!(states(&registry), vec![ready("ykoath:?1"), ready("ykoath:?2"), ready("ykoath:?3")]);
    assert_eq!(registry.resolve(&id("ykoath:?2")).unwrap(), 2);
}

#[test]
fn the_position_of_a_token_with_a_serial_is_no_address() {
    let mut registry = Registry::new(["pcsc"]);
    registry.seen(0, &[card("A", 1)], true);
    assert!(matches!(registry.resolve(&id("ykoath:?1")), Err(DeviceError::NoSuchDevice { .. })));
    opened(&mut registry, 1, Some("77"));
    assert!(matches!(registry.resolve(&id("ykoath:?1")), Err(DeviceError::NoSuchDevice { .. })));
}

#[test]
fn a_broken_device_keeps_its_address_and_says_why() {
    let mut registry = Registry::new(["pcsc"]);
    registry.seen(0, &[card("A", 1), card("B", 1)], true);
    opened(&mut registry, 1, Some("77"));
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
    opened(&mut registry, 1, Some("77"));
    registry.unwatched(0, "pcscd is gone".to_owned());
    assert_eq!(registry.buses()[0].error.as_deref(), Some("pcscd is gone"));
    assert_eq!(registry.list().len(), 1);
    let changes = registry.seen(0, &[a, b.clone(), b.clone()], true);
    assert_eq!(changes, vec![Recheck { position: 1 }, attached(2, &b)]);
    assert_eq!(registry.buses()[0].error, None);
    opened(&mut registry, 1, Some("78"));
    assert!(registry.resolve(&id("ykoath:77")).is_err(), "it was swapped");
    assert_eq!(registry.resolve(&id("ykoath:78")).unwrap(), 1);
}

#[test]
fn the_lock_shows_until_a_call_has_opened_it() {
    let mut registry = Registry::new(["pcsc"]);
    registry.seen(0, &[card("A", 1)], true);
    let locked = TokenInfo { locked: true, ..info(Some("77")) };
    registry.opened(1, Reach::Contact, vec![Found { driver: "ykoath", token: Ok(locked) }]);
    assert_eq!(states(&registry)[0].1, DeviceState::Locked);
    registry.busy(1);
    assert_eq!(states(&registry)[0].1, DeviceState::Busy);
    registry.idle(1, &id("ykoath:77"), Some(false), &info(Some("77")));
    registry.idle(1, &id("ykoath:77"), None, &info(Some("77")));
    assert_eq!(states(&registry)[0].1, DeviceState::Ready);
}

#[test]
fn two_buses_with_equal_names_of_places_are_kept_apart() {
    let mut registry = Registry::new(["pcsc", "station"]);
    registry.seen(0, &[card("A", 1)], true);
    assert_eq!(registry.seen(1, &[card("A", 1)], true)[0], attached(2, &card("A", 1)));
    assert_eq!(registry.seen(0, &[], false), vec![Detached { position: 1 }]);
    assert_eq!(registry.list()[0].transport(), "station");
}

/// An interface of a USB device.
fn hid(path: &str) -> Sighting {
    let candidate = Candidate::Hid(HidCandidate {
        path: path.to_owned(),
        vendor_id: 0x1050,
        product_id: 0x0407,
        release: 0x0543,
        usage_page: 1,
        usage: 6,
        interface: Some(0),
        serial: None,
        product: "YubiKey".to_owned(),
        attachment: 1,
    });
    Sighting { candidate, driver: "ykotp" }
}

/// A key with a HID interface (1) and a card interface (2), both open.
fn one_key() -> Registry {
    let mut registry = Registry::new(["hid", "pcsc"]);
    registry.seen(0, &[hid("hidraw0")], true);
    registry.seen(1, &[card("A", 1)], true);
    opened_by(&mut registry, 1, Reach::Hid, &[("ykotp", Some("77"))]);
    opened_by(&mut registry, 2, Reach::Contact, &[("ykoath", Some("77")), ("ykotp", Some("77"))]);
    registry
}

/// What the list says of the interfaces of a device: bus and state.
fn interfaces(registry: &Registry, wanted: &str) -> Vec<(&'static str, DeviceState)> {
    let list = registry.list();
    let device = list.iter().find(|view| view.id == id(wanted)).unwrap();
    device.interfaces.iter().map(|interface| (interface.transport, interface.state)).collect()
}

#[test]
fn two_drivers_at_one_place_are_two_devices_that_work_one_at_a_time() {
    let mut registry = Registry::new(["pcsc"]);
    registry.seen(0, &[card("A", 1)], true);
    let ids =
        opened_by(&mut registry, 1, Reach::Contactless, &[("ykoath", Some("77")), ("ykotp", Some("77"))]);
    assert_eq!(ids, [id("ykoath:77"), id("ykotp:77")]);
    assert_eq!(registry.resolve(&ids[0]).unwrap(), 1);
    assert_eq!(registry.resolve(&ids[1]).unwrap(), 1);
    registry.busy(1);
    let both = |state| vec![("ykoath:77".to_owned(), state), ("ykotp:77".to_owned(), state)];
    assert_eq!(states(&registry), both(DeviceState::Busy));
    registry.idle(1, &ids[1], Some(true), &info(Some("77")));
    let lists = [("ykoath:77".to_owned(), DeviceState::Ready), ("ykotp:77".to_owned(), DeviceState::Locked)];
    assert_eq!(states(&registry), lists);
}

#[test]
fn a_driver_that_fails_beside_one_that_opens_has_a_row_that_takes_no_calls() {
    let mut registry = Registry::new(["pcsc"]);
    registry.seen(0, &[card("A", 1)], true);
    let found = vec![
        Found { driver: "ykoath", token: Ok(info(Some("77"))) },
        Found { driver: "ykotp", token: Err("malformed reply".to_owned()) },
    ];
    assert_eq!(registry.opened(1, Reach::Contact, found), [id("ykoath:77")]);
    let rows = [("ykoath:77".to_owned(), DeviceState::Ready), ("ykotp:?1".to_owned(), DeviceState::Failed)];
    assert_eq!(states(&registry), rows);
    assert_eq!(registry.list()[1].error.as_deref(), Some("malformed reply"));
    assert!(matches!(registry.resolve(&id("ykotp:?1")), Err(DeviceError::Unusable { .. })));
    assert!(registry.settled());
}

#[test]
fn a_hid_and_a_card_interface_of_one_key_are_one_device_served_over_hid() {
    let registry = one_key();
    let rows = [("ykotp:77".to_owned(), DeviceState::Ready), ("ykoath:77".to_owned(), DeviceState::Ready)];
    assert_eq!(states(&registry), rows);
    assert_eq!(registry.resolve(&id("ykotp:77")).unwrap(), 1);
    assert_eq!(registry.resolve(&id("ykoath:77")).unwrap(), 2);
    let ready = |transport| (transport, DeviceState::Ready);
    assert_eq!(interfaces(&registry, "ykotp:77"), [ready("hid"), ready("pcsc")]);
    assert_eq!(interfaces(&registry, "ykoath:77"), [ready("pcsc")]);
}

#[test]
fn it_makes_no_difference_which_interface_is_seen_first() {
    let mut registry = Registry::new(["hid", "pcsc"]);
    registry.seen(1, &[card("A", 1)], true);
    registry.seen(0, &[hid("hidraw0")], true);
    opened_by(&mut registry, 1, Reach::Contact, &[("ykotp", Some("77"))]);
    assert_eq!(registry.resolve(&id("ykotp:77")).unwrap(), 1, "the HID interface is not open yet");
    opened_by(&mut registry, 2, Reach::Hid, &[("ykotp", Some("77"))]);
    assert_eq!(registry.resolve(&id("ykotp:77")).unwrap(), 2);
    assert_eq!(interfaces(&registry, "ykotp:77").len(), 2);
}

#[test]
fn the_other_interface_serves_when_hid_vanishes() {
    let mut registry = one_key();
    registry.seen(0, &[], false);
    assert_eq!(registry.resolve(&id("ykotp:77")).unwrap(), 2);
    assert_eq!(interfaces(&registry, "ykotp:77"), [("pcsc", DeviceState::Ready)]);
}

#[test]
fn the_other_interface_serves_while_hid_cannot_be_opened() {
    let mut registry = one_key();
    registry.lost(1, "a stalled transfer".to_owned());
    assert_eq!(registry.resolve(&id("ykotp:77")).unwrap(), 1, "the next call opens it again");
    assert_eq!(registry.detour(&id("ykotp:77"), 1), Some(2));
    registry.failed(1, "access denied".to_owned());
    assert_eq!(registry.resolve(&id("ykotp:77")).unwrap(), 2);
    assert_eq!(
        interfaces(&registry, "ykotp:77"),
        [("pcsc", DeviceState::Ready), ("hid", DeviceState::Failed)]
    );
    assert_eq!(registry.detour(&id("ykotp:77"), 2), None);
    registry.failed(2, "gone".to_owned());
    assert_eq!(registry.resolve(&id("ykotp:77")).unwrap(), 1, "one of them has to be tried");
    opened_by(&mut registry, 1, Reach::Hid, &[("ykotp", Some("77"))]);
    assert_eq!(registry.resolve(&id("ykotp:77")).unwrap(), 1);
}

#[test]
fn a_place_is_confirmed_for_the_devices_that_are_reached_there_only() {
    let registry = one_key();
    for (wanted, position, reached) in
        [("ykotp:77", 1, true), ("ykotp:77", 2, true), ("ykoath:77", 2, true), ("ykoath:77", 1, false)]
    {
        assert_eq!(registry.confirm(&id(wanted), position).is_ok(), reached, "{wanted} {position}");
    }
}

#[test]
fn only_a_hid_interface_and_a_card_with_contacts_can_be_one_key() {
    let is_one = |reaches: &[Reach]| {
        let mut registry = Registry::new(["pcsc"]);
        let cards: Vec<_> = (1..=reaches.len() as u32).map(|n| card("A", n)).collect();
        registry.seen(0, &cards, true);
        for (position, reach) in (1..).zip(reaches) {
            opened_by(&mut registry, position, *reach, &[("ykotp", Some("77"))]);
        }
        let rows = states(&registry);
        match registry.resolve(&id("ykotp:77")) {
            Ok(_) => assert_eq!(rows.len(), 1, "{reaches:?}"),
            Err(DeviceError::Ambiguous { places, .. }) => {
                assert_eq!(places, reaches.len());
                let refused = vec![("ykotp:77".to_owned(), DeviceState::Ambiguous); reaches.len()];
                assert_eq!(rows, refused, "{reaches:?}");
                assert_eq!(registry.detour(&id("ykotp:77"), 1), None);
                return false;
            }
            Err(error) => panic!("{error}"),
        }
        true
    };
    use Reach::{Contact, Contactless, Hid};
    assert!(is_one(&[Hid, Contact]) && is_one(&[Contact, Hid]));
    for twice in [
        &[Hid, Hid][..],
        &[Contact, Contact],
        &[Contactless, Contactless],
        &[Contactless, Contact],
        &[Contactless, Hid],
        &[Hid, Contact, Contact],
        &[Hid, Contact, Contactless],
        &[Hid, Hid, Contact],
    ] {
        assert!(!is_one(twice), "{twice:?}");
    }
}

#[test]
fn two_interfaces_without_a_serial_stay_two_devices() {
    let mut registry = Registry::new(["hid", "pcsc"]);
    registry.seen(0, &[hid("hidraw0")], true);
    registry.seen(1, &[card("A", 1)], true);
    opened_by(&mut registry, 1, Reach::Hid, &[("ykotp", None)]);
    opened_by(&mut registry, 2, Reach::Contact, &[("ykotp", None)]);
    let ready = |text: &str| (text.to_owned(), DeviceState::Ready);
    assert_eq!(states(&registry), [ready("ykotp:?1"), ready("ykotp:?2")]);
}

#[test]
fn what_a_token_tells_of_itself_later_is_kept_under_its_address() {
    let mut registry = Registry::new(["hid"]);
    registry.seen(0, &[hid("hidraw0")], true);
    opened_by(&mut registry, 1, Reach::Hid, &[("ykotp", Some("77"))]);
    let later = TokenInfo { firmware: "3.0.4".to_owned(), ..info(None) };
    registry.idle(1, &id("ykotp:77"), None, &later);
    assert_eq!(registry.list()[0].info.as_ref(), Some(&later));
    assert_eq!(registry.resolve(&id("ykotp:77")).unwrap(), 1);
}
