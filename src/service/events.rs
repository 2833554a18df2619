//! What happens to devices and jobs, for those who follow it: a log in memory with a place in it for each follower.
//!
//! The log keeps the last events, at most `MOST_KEPT` of them and `MOST_BYTES` in all; a follower holds nothing but
//! the number of the next one it wants. So a slow follower costs no memory and holds up nobody: when the log has moved
//! past it, it is told so and gets a snapshot of everything again. An event is numbered within this run of the server,
//! and its id names the run too: whoever comes back with the id of the last event it saw goes on behind it if the log
//! still has what follows, and starts with a snapshot otherwise.

use std::collections::VecDeque;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde::Serialize;
use serde_json::json;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::error::Error;
use super::shown::{AttachedShown, DetachedShown, SnapshotShown, TouchShown};
use super::{device, job, random};
use crate::app::App;
use crate::devices::events::{DeviceEvent, Listener};
use crate::model::id::{self, JobId};
use crate::store::jobs::Row;

/// Most events kept.
const MOST_KEPT: usize = 1024;
/// Most bytes kept.
const MOST_BYTES: usize = 1 << 20;
/// Most who follow at once.
const MOST_FOLLOWERS: usize = 64;

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its place in the log, for whoever comes back.
    pub id: String,
    /// Its kind, as in the API.
    pub name: &'static str,
    /// A JSON object on one line.
    pub data: Arc<str>,
}

/// What a follower gets.
#[derive(Debug)]
pub enum Step {
    /// An event.
    Event(Event),
    /// Take a snapshot; the text says why.
    Snapshot(&'static str),
    /// The server stops.
    End,
}

/// The log.
pub struct Events {
    /// Names this run of the server.
    run: String,
    log: Mutex<Log>,
    moved: watch::Sender<()>,
    places: Arc<Semaphore>,
}

struct Log {
    kept: VecDeque<(&'static str, Arc<str>)>,
    /// Number of the next event, from 1; the last one kept is before it.
    next: u64,
    bytes: usize,
    ended: bool,
}

/// Somebody who follows.
pub struct Follower {
    events: Arc<Events>,
    next: u64,
    /// Why a snapshot is due.
    due: Option<&'static str>,
    moved: watch::Receiver<()>,
    _place: OwnedSemaphorePermit,
}

impl Events {
    /// An empty log.
    ///
    /// # Errors
    /// If the system gives no random bytes.
    pub fn new() -> Result<Arc<Self>, Error> {
        let mut run = String::new();
        for byte in random::bytes::<4>()? {
            let _ = write!(run, "{byte:02x}");
        }
        let places = Arc::new(Semaphore::new(MOST_FOLLOWERS));
        Ok(Arc::new(Self { run, log: Mutex::default(), moved: watch::Sender::new(()), places }))
    }

    /// Follows from the event with that id on, or from now; `None` if too many do.
    #[must_use]
    pub fn follow(self: &Arc<Self>, last: Option<&str>) -> Option<Follower> {
        let place = Arc::clone(&self.places).try_acquire_owned().ok()?;
        let log = self.lock();
        let (next, due) = match last {
            None => (log.next, Some("start")),
            Some(last) => match self.number(last).and_then(|number| number.checked_add(1)) {
                Some(next) if (log.first()..=log.next).contains(&next) => (next, None),
                _ => (log.next, Some("missed")),
            },
        };
        let moved = self.moved.subscribe();
        drop(log);
        Some(Follower { events: Arc::clone(self), next, due, moved, _place: place })
    }

    /// Sends all followers home, and those who come later.
    pub fn end(&self) {
        self.lock().ended = true;
        self.moved.send_replace(());
    }

    /// Jobs were moved on.
    pub fn jobs_moved(&self, rows: &[Row]) {
        for row in rows.iter().filter(|row| !row.is_null()) {
            self.push("job", &job::shown(row));
        }
    }

    fn push(&self, name: &'static str, data: &impl Serialize) {
        let Ok(data) = serde_json::to_string(data) else { return };
        self.lock().push(name, data.into());
        self.moved.send_replace(());
    }

    fn id(&self, number: u64) -> String {
        format!("{}-{number}", self.run)
    }

    fn number(&self, id: &str) -> Option<u64> {
        let (run, number) = id.split_once('-')?;
        number.parse().ok().filter(|_| run == self.run)
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener for Events {
    fn heard(&self, event: DeviceEvent) {
        match event {
            DeviceEvent::Attached(interface) => {
                self.push(
                    "attached",
                    &AttachedShown { transport: interface.transport, place: &interface.place },
                );
            }
            DeviceEvent::Opened(device) => self.push("opened", &device::show(&device)),
            DeviceEvent::State(device) => self.push("state", &device::show(&device)),
            DeviceEvent::Touch(id) => self.push("touch", &TouchShown { device: id.to_string() }),
            DeviceEvent::Detached { interface, devices } => {
                let devices = devices.iter().map(ToString::to_string).collect();
                let (transport, place) = (interface.transport, interface.place.as_str());
                self.push("detached", &DetachedShown { transport, place, devices });
            }
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { kept: VecDeque::new(), next: 1, bytes: 0, ended: false }
    }
}

impl Log {
    /// Number of the oldest event that is kept.
    fn first(&self) -> u64 {
        self.next - self.kept.len() as u64
    }

    fn push(&mut self, name: &'static str, data: Arc<str>) {
        self.bytes += data.len();
        self.kept.push_back((name, data));
        self.next += 1;
        while self.kept.len() > MOST_KEPT || self.bytes > MOST_BYTES {
            let Some((_, oldest)) = self.kept.pop_front() else { break };
            self.bytes -= oldest.len();
        }
    }

    fn get(&self, number: u64) -> Option<(&'static str, Arc<str>)> {
        let index = usize::try_from(number.checked_sub(self.first())?).ok()?;
        self.kept.get(index).cloned()
    }
}

impl Follower {
    /// Waits for what comes next.
    pub async fn next(&mut self) -> Step {
        loop {
            if let Some(step) = self.step() {
                return step;
            }
            if self.moved.changed().await.is_err() {
                return Step::End;
            }
        }
    }

    fn step(&mut self) -> Option<Step> {
        self.moved.mark_unchanged();
        let log = self.events.lock();
        if log.ended {
            return Some(Step::End);
        }
        if let Some(why) = self.due.take() {
            return Some(Step::Snapshot(why));
        }
        if self.next < log.first() {
            // What follows the snapshot may repeat what is in it already, and leaves nothing out.
            self.next = log.next;
            return Some(Step::Snapshot("lagged"));
        }
        let (name, data) = log.get(self.next)?;
        drop(log);
        let id = self.events.id(self.next);
        self.next += 1;
        Some(Step::Event(Event { id, name, data }))
    }

    /// Everything as it is now, for [`Step::Snapshot`].
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn snapshot(&self, app: &App, reason: &'static str) -> Result<Event, Error> {
        let (devices, buses) = (app.devices.list(), app.devices.buses());
        let rows = app
            .store
            .read(|reader| {
                let jobs = reader.unfinished_jobs()?.into_iter();
                Ok::<_, Error>(jobs.map(|job| reader.job_row(job)).collect::<Result<Vec<_>, _>>()?)
            })
            .await?;
        // Those of tokens that the follower does not see are not there.
        let jobs = rows.iter().filter(|row| !row.is_null()).map(job::shown).collect();
        let devices = device::shown(&devices, &buses);
        let data = json!(SnapshotShown { reason, devices, jobs }).to_string().into();
        Ok(Event { id: self.events.id(self.next - 1), name: "snapshot", data })
    }
}

/// Whether the store that `app` has shows what an event is about: a job is seen by who sees its token.
///
/// # Errors
/// If the store cannot be read.
pub async fn is_seen(app: &App, event: &Event) -> Result<bool, Error> {
    if event.name != "job" {
        return Ok(true);
    }
    let told: serde_json::Value = serde_json::from_str(&event.data).unwrap_or_default();
    let Some(job) = told["job"].as_str().and_then(|text| id::from_wire(JobId::LETTER, text)) else {
        return Ok(false);
    };
    app.store.read(move |reader| Ok(!reader.job_row(JobId(job))?.is_null())).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(events: &Events, count: usize) {
        (0..count).for_each(|_| events.push("touch", &TouchShown { device: "fake:1".to_owned() }));
    }

    /// What a follower gets now, in few words.
    fn steps(follower: &mut Follower) -> Vec<String> {
        std::iter::from_fn(|| follower.step())
            .take(MOST_KEPT + 2)
            .map(|step| match step {
                Step::Event(event) => {
                    format!("{} {}", event.id.split_once('-').map_or("?", |(_, n)| n), event.name)
                }
                Step::Snapshot(why) => format!("snapshot: {why}"),
                Step::End => "end".to_owned(),
            })
            .take_while(|step| step != "end")
            .collect()
    }

    #[test]
    fn a_new_follower_starts_with_a_snapshot_and_goes_on_with_what_happens_then() {
        let events = Events::new().unwrap();
        push(&events, 2);
        let mut follower = events.follow(None).unwrap();
        push(&events, 2);
        assert_eq!(steps(&mut follower), ["snapshot: start", "3 touch", "4 touch"]);
    }

    #[test]
    fn who_comes_back_goes_on_behind_the_last_event_that_is_still_known() {
        let events = Events::new().unwrap();
        push(&events, 3);
        let again = |id: &str| steps(&mut events.follow(Some(id)).unwrap());
        assert_eq!(again(&events.id(1)), ["2 touch", "3 touch"]);
        assert_eq!(again(&events.id(3)), [] as [&str; 0]);
        assert_eq!(again(&events.id(0)).len(), 3);
        for strange in
            ["0-1", "1", "", "-", &events.id(4), &events.id(u64::MAX), &format!("{}-x", events.run)]
        {
            assert_eq!(again(strange), ["snapshot: missed"], "{strange}");
        }
        push(&events, MOST_KEPT);
        assert_eq!(again(&events.id(2)), ["snapshot: missed"]);
        assert_eq!(again(&events.id(3)).len(), MOST_KEPT);
    }

    #[test]
    fn a_slow_follower_is_told_that_it_missed_something_and_the_log_stays_small() {
        let events = Events::new().unwrap();
        let mut follower = events.follow(None).unwrap();
        assert_eq!(steps(&mut follower), ["snapshot: start"]);
        push(&events, MOST_KEPT + 1);
        assert_eq!(steps(&mut follower), ["snapshot: lagged"]);
        push(&events, 1);
        assert_eq!(steps(&mut follower), [format!("{} touch", MOST_KEPT + 2)]);
        let long = TouchShown { device: "x".repeat(MOST_BYTES / 4) };
        (0..8).for_each(|_| events.push("touch", &long));
        let log = events.lock();
        assert_eq!((log.kept.len(), log.bytes <= MOST_BYTES), (3, true));
    }

    #[test]
    fn all_are_sent_home_at_the_end() {
        let events = Events::new().unwrap();
        let mut follower = events.follow(None).unwrap();
        events.end();
        assert!(matches!(follower.step(), Some(Step::End)));
        assert!(matches!(events.follow(None).unwrap().step(), Some(Step::End)));
    }

    #[test]
    fn there_is_room_for_so_many_followers_and_again_once_one_has_left() {
        let events = Events::new().unwrap();
        let mut all: Vec<_> = (0..MOST_FOLLOWERS).map(|_| events.follow(None).unwrap()).collect();
        assert!(events.follow(None).is_none());
        all.pop();
        assert!(events.follow(None).is_some());
    }
}
