//! The running side at work on scripted tokens. Tests wait for events (a channel, a gate, a change of the
//! list), never for time to pass; the one deadline that must pass is 0.4 s long.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use fobd_drivers::error::{Error, SlotState};
use fobd_drivers::token::{
    Algorithm, Attendant, FactorConfig, LockCode, MovingFactor, SecretBytes, SlotConfig, SlotId, TokenInfo,
    Unattended, UnixTime,
};
use fobd_drivers::transport::TransportError;
use tokio::runtime::Runtime;

mod places;

use super::fake::{OnCall, World, info};
use super::handle::{Deadlines, Devices};
use super::{DeviceError, DeviceId, DeviceState, ProgramFailure};

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build().unwrap()
}

fn id(text: &str) -> DeviceId {
    text.parse().unwrap()
}

fn slot() -> SlotId {
    SlotId::Name("test".to_owned())
}

fn config() -> SlotConfig {
    SlotConfig {
        factor: FactorConfig::Hotp { counter: 0 },
        algorithm: Algorithm::Sha1,
        digits: 6,
        secret: SecretBytes::new(b"12345678901234567890".to_vec()),
        touch: false,
        label: None,
        now: UnixTime(0),
    }
}

fn obliging() -> OnCall {
    Arc::new(|_, _| Ok(()))
}

fn gone() -> Error {
    Error::Transport(TransportError::Gone { detail: "SCARD_W_REMOVED_CARD".to_owned() })
}

/// A door that calls wait at until it is opened.
#[derive(Default)]
struct Gate {
    open: Mutex<bool>,
    moved: Condvar,
}

impl Gate {
    fn open(&self) {
        *self.open.lock().unwrap() = true;
        self.moved.notify_all();
    }

    fn wait(&self) {
        let mut open = self.open.lock().unwrap();
        while !*open {
            open = self.moved.wait(open).unwrap();
        }
    }
}

/// A token whose calls say their name, then wait at the gate, then say whether they were cancelled.
fn gated() -> (OnCall, Arc<Gate>, Receiver<String>) {
    let gate = Arc::new(Gate::default());
    let (said, heard): (SyncSender<String>, _) = sync_channel(64);
    let door = Arc::clone(&gate);
    let on_call: OnCall = Arc::new(move |name, attendant| {
        said.send(name.to_owned()).unwrap();
        door.wait();
        said.send(format!("{name} cancelled={}", attendant.cancelled())).unwrap();
        if attendant.cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    });
    (on_call, gate, heard)
}

fn hear(heard: &Receiver<String>) -> String {
    heard.recv_timeout(Duration::from_secs(10)).unwrap()
}

fn start(world: &Arc<World>) -> Devices {
    Devices::start(vec![world.bus()], world.drivers())
}

fn hasty(world: &Arc<World>) -> Devices {
    let short = Duration::from_millis(400);
    Devices::start_with(vec![world.bus()], world.drivers(), Deadlines { plain: short, touch: short }, None)
}

/// Waits until the list fits.
async fn until(devices: &Devices, fits: impl Fn(&Devices) -> bool) {
    let mut revision = devices.subscribe();
    let waited = revision.wait_for(|_| fits(devices));
    let _ = tokio::time::timeout(Duration::from_secs(10), waited)
        .await
        .expect("the list never got there")
        .unwrap();
}

fn states(devices: &Devices) -> Vec<(String, DeviceState)> {
    devices.list().into_iter().map(|view| (view.id.to_string(), view.state)).collect()
}

fn state_is(serial: &'static str, state: DeviceState) -> impl Fn(&Devices) -> bool {
    move |devices| states(devices).contains(&(serial.to_owned(), state))
}

#[test]
fn the_first_sweep_opens_all_and_leaves_out_what_no_driver_matches() {
    let world = World::new();
    world.plug("A", "1", obliging());
    world.plug_with("B", Arc::new(|| Ok(None)), obliging());
    world.plug_with("C", Arc::new(|| Err(Error::Full)), obliging());
    world.plug("foreign", "2", obliging());
    let devices = start(&world);
    runtime().block_on(devices.swept());
    let list = devices.list();
    let shown: Vec<_> = list.iter().map(|view| (view.place(), view.state, view.error.as_deref())).collect();
    let expected = vec![
        ("A", DeviceState::Ready, None),
        ("B", DeviceState::Failed, Some("no driver recognises it")),
        ("C", DeviceState::Failed, Some("the token is full")),
    ];
    assert_eq!(shown, expected);
    assert_eq!((list[0].id.clone(), list[0].info.clone()), (id("fake:1"), Some(info(Some("1")))));
    devices.stop();
}

#[test]
fn one_hanging_device_of_sixteen_delays_no_other() {
    let world = World::new();
    let (on_call, gate, heard) = gated();
    world.plug("hanging", "0", on_call);
    for serial in 1..16 {
        world.plug(&format!("reader {serial}"), &serial.to_string(), obliging());
    }
    let devices = start(&world);
    runtime().block_on(async {
        devices.swept().await;
        let hanging = tokio::spawn({
            let devices = devices.clone();
            async move { devices.slots(&id("fake:0"), None).await }
        });
        assert_eq!(hear(&heard), "slots");
        for serial in 1..16 {
            let slots = devices.slots(&id(&format!("fake:{serial}")), None).await.unwrap();
            assert_eq!(slots.unwrap()[0].slot, SlotId::Name(serial.to_string()));
        }
        assert!(state_is("fake:0", DeviceState::Busy)(&devices));
        gate.open();
        hanging.await.unwrap().unwrap();
        assert!(state_is("fake:0", DeviceState::Ready)(&devices));
    });
    devices.stop();
}

#[test]
fn a_panic_in_a_driver_costs_one_call_and_the_next_opens_again() {
    let world = World::new();
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let on_call: OnCall = Arc::new(move |_, _| match counted.fetch_add(1, Ordering::SeqCst) {
        0 => panic!("scripted"),
        _ => Ok(()),
    });
    world.plug("A", "1", on_call);
    let devices = start(&world);
    runtime().block_on(async {
        devices.swept().await;
        let failure = devices.program(&id("fake:1"), slot(), config(), None, Arc::new(Unattended)).await;
        let Err(ProgramFailure { slot: SlotState::Unknown, source: DeviceError::DriverPanicked { .. } }) =
            failure
        else {
            panic!("{failure:?}")
        };
        assert_eq!(states(&devices), vec![("fake:1".to_owned(), DeviceState::Failed)]);
        assert!(devices.list()[0].error.as_deref().unwrap().contains("broke down"));
        devices.slots(&id("fake:1"), None).await.unwrap();
        assert_eq!(states(&devices), vec![("fake:1".to_owned(), DeviceState::Ready)]);
    });
    devices.stop();
}

#[test]
fn a_panic_while_opening_fails_that_device_only() {
    let world = World::new();
    world.plug_with("A", Arc::new(|| panic!("scripted")), obliging());
    world.plug("B", "2", obliging());
    let devices = start(&world);
    runtime().block_on(devices.swept());
    let expected =
        vec![("fake:?1".to_owned(), DeviceState::Failed), ("fake:2".to_owned(), DeviceState::Ready)];
    assert_eq!(states(&devices), expected);
    devices.stop();
}

#[test]
fn unplugged_during_a_call_the_running_and_the_waiting_one_learn_that_it_is_gone() {
    let world = World::new();
    let gate = Arc::new(Gate::default());
    let (said, heard) = sync_channel(4);
    let door = Arc::clone(&gate);
    let on_call: OnCall = Arc::new(move |name, _| {
        said.send(name.to_owned()).unwrap();
        door.wait();
        Err(gone())
    });
    world.plug("A", "1", on_call);
    let devices = start(&world);
    runtime().block_on(async {
        devices.swept().await;
        let call = |devices: Devices| async move {
            devices
                .calculate(&id("fake:1"), slot(), (MovingFactor::OnToken, None), None, Arc::new(Unattended))
                .await
        };
        let running = tokio::spawn(call(devices.clone()));
        assert_eq!(hear(&heard), "calculate");
        let target = id("fake:1");
        let waiting = devices.program(&target, slot(), config(), None, Arc::new(Unattended));
        let unplug = async {
            world.unplug("A");
            until(&devices, |devices| devices.list().is_empty()).await;
        };
        // `join!` polls the call first, so it is in the queue when the token leaves.
        let (waiting, ()) = tokio::join!(waiting, unplug);
        let Err(ProgramFailure { slot: SlotState::Unchanged, source: DeviceError::Gone { .. } }) = waiting
        else {
            panic!("{waiting:?}")
        };
        gate.open();
        let Err(DeviceError::Gone { detail, .. }) = running.await.unwrap() else { panic!() };
        assert_eq!(detail, "SCARD_W_REMOVED_CARD");
        let later = devices.slots(&id("fake:1"), None).await;
        assert!(matches!(later, Err(DeviceError::NoSuchDevice { .. })));
    });
    devices.stop();
}

#[test]
fn a_token_that_was_gone_for_a_moment_is_opened_again_by_the_next_call() {
    let world = World::new();
    let first = AtomicBool::new(true);
    let on_call: OnCall =
        Arc::new(move |_, _| if first.swap(false, Ordering::SeqCst) { Err(gone()) } else { Ok(()) });
    world.plug("A", "1", on_call);
    let devices = start(&world);
    runtime().block_on(async {
        devices.swept().await;
        assert!(matches!(devices.slots(&id("fake:1"), None).await, Err(DeviceError::Gone { .. })));
        assert_eq!(states(&devices), vec![("fake:1".to_owned(), DeviceState::Failed)]);
        devices.slots(&id("fake:1"), None).await.unwrap();
        assert_eq!(world.watched_and_opened(), (1, 2));
    });
    devices.stop();
}

#[test]
fn a_call_never_reaches_another_token_that_took_the_place() {
    let world = World::new();
    world.plug("A", "1", Arc::new(|_, _| Err(gone())));
    let devices = start(&world);
    runtime().block_on(async {
        devices.swept().await;
        assert!(devices.slots(&id("fake:1"), None).await.is_err());
        world.swap_unseen("A", "2");
        let failure = devices.program(&id("fake:1"), slot(), config(), None, Arc::new(Unattended)).await;
        let Err(ProgramFailure { slot: SlotState::Unchanged, source: DeviceError::NoSuchDevice { .. } }) =
            failure
        else {
            panic!("{failure:?}")
        };
        assert_eq!(states(&devices), vec![("fake:2".to_owned(), DeviceState::Ready)]);
    });
    devices.stop();
}

#[test]
fn a_twin_that_arrives_while_a_call_waits_has_it_refused() {
    let world = World::new();
    let (on_call, gate, heard) = gated();
    world.plug("A", "1", on_call);
    let devices = start(&world);
    runtime().block_on(async {
        devices.swept().await;
        let running = tokio::spawn({
            let devices = devices.clone();
            async move { devices.slots(&id("fake:1"), None).await }
        });
        assert_eq!(hear(&heard), "slots");
        let target = id("fake:1");
        let waiting = devices.slots(&target, None);
        let twin = async {
            world.plug("B", "1", obliging());
            until(&devices, state_is("fake:1", DeviceState::Ambiguous)).await;
            gate.open();
        };
        let (waiting, ()) = tokio::join!(waiting, twin);
        assert!(matches!(waiting, Err(DeviceError::Ambiguous { places: 2, .. })), "{waiting:?}");
        running.await.unwrap().unwrap();
        assert!(matches!(devices.slots(&id("fake:1"), None).await, Err(DeviceError::Ambiguous { .. })));
    });
    devices.stop();
}

#[test]
fn past_its_deadline_a_call_is_cancelled_and_the_device_stays_busy_until_the_driver_returns() {
    let world = World::new();
    let (on_call, gate, heard) = gated();
    world.plug("A", "1", on_call);
    let devices = hasty(&world);
    runtime().block_on(async {
        devices.swept().await;
        let erased = devices.erase(&id("fake:1"), slot(), None, Arc::new(Unattended)).await;
        assert!(matches!(erased, Err(ProgramFailure { source: DeviceError::TimedOut { .. }, .. })));
        assert_eq!(states(&devices), vec![("fake:1".to_owned(), DeviceState::Busy)]);
        gate.open();
        assert_eq!(hear(&heard), "erase");
        assert_eq!(hear(&heard), "erase cancelled=true");
        until(&devices, state_is("fake:1", DeviceState::Ready)).await;
    });
    devices.stop();
}

#[test]
fn a_started_program_call_runs_to_its_end_without_its_caller() {
    let world = World::new();
    let (on_call, gate, heard) = gated();
    world.plug("A", "1", on_call);
    let devices = hasty(&world);
    runtime().block_on(async {
        devices.swept().await;
        let failure = devices.program(&id("fake:1"), slot(), config(), None, Arc::new(Unattended)).await;
        let Err(ProgramFailure { slot: SlotState::Unknown, source: DeviceError::TimedOut { .. } }) = failure
        else {
            panic!("{failure:?}")
        };
        gate.open();
        assert_eq!(hear(&heard), "program");
        assert_eq!(hear(&heard), "program cancelled=false");
    });
    devices.stop();
}

#[test]
fn a_queued_program_call_whose_caller_gave_up_is_never_started() {
    let world = World::new();
    let (on_call, gate, heard) = gated();
    world.plug("A", "1", on_call);
    let devices = hasty(&world);
    runtime().block_on(async {
        devices.swept().await;
        assert!(devices.slots(&id("fake:1"), None).await.is_err(), "hangs at the gate");
        let failure = devices.program(&id("fake:1"), slot(), config(), None, Arc::new(Unattended)).await;
        let Err(ProgramFailure { slot: SlotState::Unchanged, source: DeviceError::TimedOut { .. } }) =
            failure
        else {
            panic!("{failure:?}")
        };
        gate.open();
        until(&devices, state_is("fake:1", DeviceState::Ready)).await;
        devices.slots(&id("fake:1"), None).await.unwrap();
        let said: Vec<_> = heard.try_iter().collect();
        assert_eq!(said, ["slots", "slots cancelled=false", "slots", "slots cancelled=false"]);
    });
    devices.stop();
}

#[test]
fn a_dropped_future_cancels_its_call() {
    let world = World::new();
    let (on_call, gate, heard) = gated();
    world.plug("A", "1", on_call);
    let devices = start(&world);
    runtime().block_on(async {
        devices.swept().await;
        let call = tokio::spawn({
            let devices = devices.clone();
            async move { devices.erase(&id("fake:1"), slot(), None, Arc::new(Unattended)).await }
        });
        assert_eq!(hear(&heard), "erase");
        call.abort();
        assert!(call.await.unwrap_err().is_cancelled());
        gate.open();
        assert_eq!(hear(&heard), "erase cancelled=true");
    });
    devices.stop();
}

#[test]
fn the_attendant_hears_of_a_touch_and_can_cancel() {
    struct Clerk(AtomicUsize);
    impl Attendant for Clerk {
        fn touch_needed(&self) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
        fn cancelled(&self) -> bool {
            self.0.load(Ordering::SeqCst) > 0
        }
    }
    let world = World::new();
    world.plug(
        "A",
        "1",
        Arc::new(|_, attendant| {
            attendant.touch_needed();
            if attendant.cancelled() { Err(Error::Cancelled) } else { Ok(()) }
        }),
    );
    let devices = start(&world);
    let clerk = Arc::new(Clerk(AtomicUsize::new(0)));
    runtime().block_on(async {
        devices.swept().await;
        let failure =
            devices.program(&id("fake:1"), slot(), config(), None, clerk.clone()).await.unwrap_err();
        assert!(matches!(failure.source, DeviceError::Driver { source: Error::Cancelled, .. }));
    });
    assert_eq!(clerk.0.load(Ordering::SeqCst), 1);
    devices.stop();
}

#[test]
fn the_seventeenth_waiting_call_is_refused() {
    let world = World::new();
    let (on_call, gate, heard) = gated();
    world.plug("A", "1", on_call);
    let devices = start(&world);
    runtime().block_on(async {
        devices.swept().await;
        let target = id("fake:1");
        let running = tokio::spawn({
            let devices = devices.clone();
            async move { devices.slots(&id("fake:1"), None).await }
        });
        assert_eq!(hear(&heard), "slots");
        let mut waiting: Vec<_> = (0..16).map(|_| Box::pin(devices.slots(&target, None))).collect();
        for call in &mut waiting {
            let polled = tokio::time::timeout(Duration::ZERO, call).await;
            assert!(polled.is_err(), "it waits");
        }
        let refused = devices.slots(&target, None).await;
        assert!(matches!(refused, Err(DeviceError::QueueFull { waiting: 16, .. })), "{refused:?}");
        drop(waiting.pop());
        let mut next = Box::pin(devices.slots(&target, None));
        assert!(tokio::time::timeout(Duration::ZERO, &mut next).await.is_err(), "one gave up and made room");
        gate.open();
        running.await.unwrap().unwrap();
        for call in waiting {
            call.await.unwrap();
        }
        next.await.unwrap();
    });
    devices.stop();
}

#[test]
fn a_lock_code_opens_a_locked_device_for_its_call_alone_and_a_wrong_one_does_not() {
    let world = World::new();
    let locked = TokenInfo { locked: true, ..info(Some("1")) };
    world.plug_with("A", Arc::new(move || Ok(Some(locked.clone()))), obliging());
    let devices = start(&world);
    let code = |text: &str| Some(LockCode::new(text.as_bytes().to_vec()));
    runtime().block_on(async {
        devices.swept().await;
        assert_eq!(states(&devices), vec![("fake:1".to_owned(), DeviceState::Locked)]);
        let wrong =
            devices.program(&id("fake:1"), slot(), config(), code("shut"), Arc::new(Unattended)).await;
        let Err(ProgramFailure {
            slot: SlotState::Unchanged,
            source: DeviceError::Driver { source: Error::WrongLockCode { attempts_left: None }, .. },
        }) = wrong
        else {
            panic!("{wrong:?}")
        };
        assert_eq!(states(&devices), vec![("fake:1".to_owned(), DeviceState::Locked)]);
        devices.slots(&id("fake:1"), code("open")).await.unwrap();
        assert_eq!(states(&devices), vec![("fake:1".to_owned(), DeviceState::Locked)]);
        let later = devices.slots(&id("fake:1"), None).await;
        let Err(DeviceError::Driver { source: Error::Locked, .. }) = later else {
            panic!("the code of one call lets the next one in: {later:?}")
        };
    });
    devices.stop();
}

#[test]
fn a_bus_that_comes_back_is_watched_again_and_its_tokens_are_asked_who_they_are() {
    let world = World::new();
    let down = TransportError::ServiceUnavailable { detail: "SCARD_E_NO_SERVICE".to_owned() };
    world.plug("A", "1", obliging());
    let devices = start(&world);
    runtime().block_on(async {
        devices.swept().await;
        world.set_down(Some(down.clone()));
        until(&devices, |devices| devices.buses()[0].error.is_some()).await;
        assert_eq!(states(&devices), vec![("fake:1".to_owned(), DeviceState::Ready)]);
        let failed = devices.slots(&id("fake:1"), None).await;
        assert!(matches!(failed, Err(DeviceError::Driver { source: Error::Transport(error), .. }) if error == down));
        world.swap_unseen("A", "2");
        world.set_down(None);
        until(&devices, state_is("fake:2", DeviceState::Ready)).await;
        assert_eq!(devices.buses()[0].error, None);
    });
    devices.stop();
}

#[test]
fn a_bus_that_is_down_from_the_start_does_not_hold_up_the_server() {
    let world = World::new();
    world.set_down(Some(TransportError::AccessDenied { detail: "polkit".to_owned() }));
    let devices = start(&world);
    runtime().block_on(devices.swept());
    assert_eq!(devices.buses()[0].error.as_deref(), Some("access to the token is denied (polkit)"));
    devices.stop();
}

#[test]
fn after_the_stop_calls_are_refused_and_a_running_one_was_cancelled() {
    let world = World::new();
    let (on_call, gate, heard) = gated();
    world.plug("A", "1", on_call);
    let devices = start(&world);
    runtime().block_on(async {
        devices.swept().await;
        let running = tokio::spawn({
            let devices = devices.clone();
            async move { devices.erase(&id("fake:1"), slot(), None, Arc::new(Unattended)).await }
        });
        assert_eq!(hear(&heard), "erase");
        let stop = std::thread::spawn({
            let devices = devices.clone();
            move || devices.stop()
        });
        // Refused at once, or dropped from the queue when the stop begins a moment later.
        let refused = devices.slots(&id("fake:1"), None).await;
        assert!(matches!(refused, Err(DeviceError::Stopping)), "{refused:?}");
        gate.open();
        assert_eq!(hear(&heard), "erase cancelled=true");
        stop.join().unwrap();
        let Err(ProgramFailure { source, .. }) = running.await.unwrap() else { panic!("it ran to its end") };
        assert!(matches!(source, DeviceError::Driver { source: Error::Cancelled, .. }));
    });
}
