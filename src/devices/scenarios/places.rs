//! Several drivers at one place, several places of one device, and what is told of it all.

use std::sync::Mutex;

use fobd_drivers::token::SlotInfo;

use super::*;
use crate::devices::events::{DeviceEvent, Listener};
use crate::devices::fake::OnOpen;

fn tells(serial: &'static str) -> OnOpen {
    Arc::new(move || Ok(Some(info(Some(serial)))))
}

/// Says which reader served a call.
fn says(reader: &'static str, said: &Arc<Mutex<Vec<&'static str>>>) -> OnCall {
    let said = Arc::clone(said);
    Arc::new(move |_, _| {
        said.lock().unwrap().push(reader);
        Ok(())
    })
}

async fn slots(devices: &Devices, device: &str) -> Result<Vec<SlotInfo>, DeviceError> {
    Ok(devices.slots(&id(device), None).await?.unwrap_or_default())
}

#[test]
fn one_key_that_speaks_two_protocols_is_a_device_for_each() {
    let world = World::new();
    let said = Arc::default();
    world.plug_for("nfc Yubico YubiKey", &["fake", "other"], tells("1"), says("A", &said));
    let devices = Devices::start(vec![world.bus()], world.drivers_named(&["fake", "deaf", "other"]));
    runtime().block_on(async {
        devices.swept().await;
        let ready = |text: &str| (text.to_owned(), DeviceState::Ready);
        assert_eq!(states(&devices), [ready("fake:1"), ready("other:1")]);
        slots(&devices, "fake:1").await.unwrap();
        slots(&devices, "other:1").await.unwrap();
        assert!(matches!(slots(&devices, "deaf:1").await, Err(DeviceError::NoSuchDevice { .. })));
    });
    assert_eq!(world.asked("nfc Yubico YubiKey"), ["fake", "deaf", "other"]);
    assert_eq!(said.lock().unwrap().len(), 2);
    devices.stop();
}

#[test]
fn an_unknown_card_is_asked_until_a_driver_recognises_it() {
    let world = World::new();
    world.plug_for("A", &["second", "third"], tells("1"), obliging());
    world.plug_for("B", &[], tells("2"), obliging());
    let devices = Devices::start(vec![world.bus()], world.drivers_named(&["first", "second", "third"]));
    runtime().block_on(devices.swept());
    assert_eq!(world.asked("A"), ["first", "second"]);
    assert_eq!(world.asked("B"), ["first", "second", "third"]);
    let shown =
        vec![("second:1".to_owned(), DeviceState::Ready), ("first:?2".to_owned(), DeviceState::Failed)];
    assert_eq!(states(&devices), shown);
    devices.stop();
}

#[test]
fn a_hid_interface_is_asked_until_a_driver_recognises_it() {
    let world = World::new();
    world.plug_for("/dev/hidraw0", &["second", "third"], tells("1"), obliging());
    let devices = Devices::start(vec![world.bus()], world.drivers_named(&["first", "second", "third"]));
    runtime().block_on(devices.swept());
    assert_eq!(world.asked("/dev/hidraw0"), ["first", "second"]);
    assert_eq!(states(&devices), [("second:1".to_owned(), DeviceState::Ready)]);
    devices.stop();
}

#[test]
fn a_driver_that_fails_takes_nothing_from_one_that_works() {
    let world = World::new();
    let calls = AtomicUsize::new(0);
    // The first driver opens it, the second gets nonsense.
    let on_open: OnOpen = Arc::new(move || match calls.fetch_add(1, Ordering::SeqCst) {
        0 => Ok(Some(info(Some("1")))),
        _ => Err(Error::Malformed { command: "SELECT", what: "nonsense", offset: 0 }),
    });
    world.plug_for("Yubico YubiKey", &["fake", "other"], on_open, obliging());
    let devices = Devices::start(vec![world.bus()], world.drivers_named(&["fake", "other"]));
    runtime().block_on(async {
        devices.swept().await;
        let rows = [("fake:1".to_owned(), DeviceState::Ready), ("other:?1".to_owned(), DeviceState::Failed)];
        assert_eq!(states(&devices), rows);
        slots(&devices, "fake:1").await.unwrap();
        let refused = slots(&devices, "other:?1").await;
        assert!(matches!(&refused, Err(DeviceError::Unusable { detail, .. }) if detail.contains("nonsense")));
    });
    devices.stop();
}

#[test]
fn calls_go_over_hid_and_over_the_card_once_hid_is_pulled_out() {
    let world = World::new();
    let said = Arc::default();
    world.plug_with("/dev/hidraw0", tells("1"), says("hid", &said));
    world.plug_with("A", tells("1"), says("card", &said));
    let devices = start(&world);
    runtime().block_on(async {
        devices.swept().await;
        assert_eq!(states(&devices), [("fake:1".to_owned(), DeviceState::Ready)]);
        slots(&devices, "fake:1").await.unwrap();
        world.unplug("/dev/hidraw0");
        until(&devices, |devices| devices.list()[0].interfaces.len() == 1).await;
        slots(&devices, "fake:1").await.unwrap();
    });
    assert_eq!(*said.lock().unwrap(), ["hid", "card"]);
    devices.stop();
}

#[test]
fn a_call_that_cannot_open_its_interface_goes_to_the_other_one() {
    let world = World::new();
    let said = Arc::default();
    world.plug_with("/dev/hidraw0", tells("1"), Arc::new(|_, _| Err(gone())));
    world.plug_with("A", tells("1"), says("card", &said));
    let devices = start(&world);
    runtime().block_on(async {
        devices.swept().await;
        // It breaks down in a call: what that did is unknown, so it is not made again elsewhere.
        assert!(matches!(slots(&devices, "fake:1").await, Err(DeviceError::Gone { .. })));
        assert!(said.lock().unwrap().is_empty());
        world.change_opening("/dev/hidraw0", Arc::new(|| Err(Error::Transport(TransportError::Busy))));
        slots(&devices, "fake:1").await.unwrap();
        slots(&devices, "fake:1").await.unwrap();
        assert_eq!(*said.lock().unwrap(), ["card", "card"]);
        let list = devices.list();
        let shown: Vec<_> = list[0].interfaces.iter().map(|i| (i.place.as_str(), i.state)).collect();
        assert_eq!(shown, [("A", DeviceState::Ready), ("/dev/hidraw0", DeviceState::Failed)]);
    });
    devices.stop();
}

#[test]
fn a_copy_in_a_field_makes_a_key_in_a_port_ambiguous() {
    let world = World::new();
    world.plug_with("/dev/hidraw0", tells("1"), obliging());
    world.plug_with("nfc", tells("1"), obliging());
    let devices = start(&world);
    runtime().block_on(async {
        devices.swept().await;
        assert!(matches!(slots(&devices, "fake:1").await, Err(DeviceError::Ambiguous { places: 2, .. })));
    });
    devices.stop();
}

#[test]
fn a_usb_key_whose_card_looks_like_one_in_a_field_is_still_one_key() {
    let world = World::new();
    world.plug_with("/dev/hidraw0", tells("1"), obliging());
    world.plug_with("nfc? No: Nitrokey Nitrokey 3", tells("1"), obliging());
    let devices = start(&world);
    runtime().block_on(devices.swept());
    assert_eq!(states(&devices), [("fake:1".to_owned(), DeviceState::Ready)]);
    assert_eq!(devices.list()[0].interfaces.len(), 2);
    devices.stop();
}

#[test]
fn sixteen_hid_tokens_work_at_once_and_one_that_waits_for_a_touch_delays_no_other() {
    let world = World::new();
    let (on_call, gate, heard) = gated();
    let slow: OnCall = Arc::new(move |name, attendant| {
        attendant.touch_needed();
        on_call(name, attendant)
    });
    world.plug("/dev/hidraw0", "0", slow);
    // Each of the others waits until all of them are at work.
    let all = Arc::new(std::sync::Barrier::new(15));
    for n in 1..16 {
        let all = Arc::clone(&all);
        let on_call: OnCall = Arc::new(move |_, _| {
            all.wait();
            Ok(())
        });
        world.plug(&format!("/dev/hidraw{n}"), &n.to_string(), on_call);
    }
    let devices = start(&world);
    runtime().block_on(async {
        devices.swept().await;
        let call = |n: u32| {
            let devices = devices.clone();
            let target = id(&format!("fake:{n}"));
            tokio::spawn(async move {
                devices
                    .calculate(&target, slot(), (MovingFactor::OnToken, None), None, Arc::new(Unattended))
                    .await
                    .map(|passcode| passcode.expose().to_owned())
            })
        };
        let touched = call(0);
        assert_eq!(hear(&heard), "calculate");
        let others: Vec<_> = (1..16).map(call).collect();
        for other in others {
            assert_eq!(other.await.unwrap().unwrap(), "123456");
        }
        assert!(!touched.is_finished());
        gate.open();
        assert_eq!(touched.await.unwrap().unwrap(), "123456");
    });
    devices.stop();
}

/// Writes down what it hears, in few words.
#[derive(Default)]
struct Diary(Mutex<Vec<String>>);

impl Listener for Diary {
    fn heard(&self, event: DeviceEvent) {
        let line = match event {
            DeviceEvent::Attached(interface) => format!("attached {}", interface.place),
            DeviceEvent::Opened(device) => format!("opened {}", device.id),
            DeviceEvent::State(device) => format!("{} {}", device.id, device.state.as_str()),
            DeviceEvent::Touch(id) => format!("touch {id}"),
            DeviceEvent::Detached { interface, devices } => {
                let ids: Vec<_> = devices.iter().map(ToString::to_string).collect();
                format!("detached {} ({})", interface.place, ids.join(" "))
            }
        };
        self.0.lock().unwrap().push(line);
    }
}

#[test]
fn who_listens_hears_all_of_it_in_order() {
    let world = World::new();
    let devices = start(&world);
    let diary = Arc::new(Diary::default());
    devices.listen(diary.clone());
    runtime().block_on(async {
        devices.swept().await;
        let polls: OnCall = Arc::new(|_, attendant| {
            attendant.touch_needed();
            attendant.touch_needed();
            Ok(())
        });
        world.plug("A", "1", polls);
        until(&devices, state_is("fake:1", DeviceState::Ready)).await;
        slots(&devices, "fake:1").await.unwrap();
        devices
            .calculate(&id("fake:1"), slot(), (MovingFactor::OnToken, None), None, Arc::new(Unattended))
            .await
            .unwrap();
        world.unplug("A");
        until(&devices, |devices| devices.list().is_empty()).await;
    });
    let expected = [
        "attached A",
        "opened fake:1",
        "fake:1 busy",
        "fake:1 ready",
        "fake:1 busy",
        "touch fake:1",
        "fake:1 ready",
        "detached A (fake:1)",
    ];
    assert_eq!(*diary.0.lock().unwrap(), expected);
    devices.stop();
}
