//! `GET /rpc/device/events`: server-sent events (HTML Living Standard §9.2).
//!
//! A silent stream gets a comment every 15 seconds, so that both ends notice when the other one is gone. At the same
//! pace it is asked whether the operator still may listen: a stream outlives its login. Once the operator was changed,
//! nothing more is told. It ends when the server stops. A narrowed operator is not told of jobs that it does not see.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::http::header::HeaderMap;
use axum::response::sse::{Event as Sent, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::unfold;
use tokio::time::{Instant, timeout_at};

use crate::access::Caller;
use crate::app::App;
use crate::rpc::streams::DEVICE_EVENTS;
use crate::service::events::{self, Event, Follower, Step};

/// Longest silence.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a client shall wait before it comes back.
const RETRY: Duration = Duration::from_secs(3);

pub(super) async fn device_events(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Response {
    if !caller.role.grants(DEVICE_EVENTS.permission) {
        return StatusCode::FORBIDDEN.into_response();
    }
    // What is no text is no id of ours.
    let last = headers.get("last-event-id").map(|id| id.to_str().unwrap_or_default());
    let Some(follower) = app.events.follow(last) else {
        return (StatusCode::SERVICE_UNAVAILABLE, "too many follow already\n").into_response();
    };
    let app = app.seen_by(&caller.scope);
    let first = Sent::default().retry(RETRY).comment("fobd device/events");
    let stream = Stream { app, caller, follower, first: Some(first), due: Instant::now() + HEARTBEAT };
    let events = unfold(stream, |mut stream| async {
        let sent = stream.next().await?;
        Some((Ok::<_, Infallible>(sent), stream))
    });
    // A proxy that collects answers would hold events back.
    ([("x-accel-buffering", "no")], Sse::new(events)).into_response()
}

/// What there is to send.
enum Told {
    Step(Step),
    Heartbeat,
}

/// A stream under way.
struct Stream {
    app: Arc<App>,
    caller: Caller,
    follower: Follower,
    first: Option<Sent>,
    /// When the next heartbeat is due.
    due: Instant,
}

impl Stream {
    /// What is sent next; `None` at the end.
    async fn next(&mut self) -> Option<Sent> {
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        loop {
            let step = self.step().await?;
            if !self.app.logins.is_current(&self.caller) {
                return None;
            }
            match step {
                Told::Heartbeat => return Some(Sent::default().comment("heartbeat")),
                Told::Step(Step::Event(event)) => {
                    if self.sees(&event).await? {
                        return Some(sent(&event));
                    }
                }
                Told::Step(Step::Snapshot(reason)) => {
                    return match self.follower.snapshot(&self.app, reason).await {
                        Ok(event) => Some(sent(&event)),
                        Err(error) => {
                            tracing::warn!(%error, "a stream of events ends early");
                            None
                        }
                    };
                }
                Told::Step(Step::End) => return None,
            }
        }
    }

    /// Whether an event is about something that the operator sees; none if nobody can tell.
    async fn sees(&self, event: &Event) -> Option<bool> {
        if self.caller.scope.is_all() {
            return Some(true);
        }
        events::is_seen(&self.app, event)
            .await
            .inspect_err(|error| tracing::warn!(%error, "a stream of events ends early"))
            .ok()
    }

    /// What comes next; `None` if the operator may not listen any more.
    async fn step(&mut self) -> Option<Told> {
        match timeout_at(self.due, self.follower.next()).await {
            Ok(step) if Instant::now() < self.due => Some(Told::Step(step)),
            // Events came all the while, which is no reason not to ask.
            Ok(step) => self.is_still_welcome().await.then_some(Told::Step(step)),
            Err(_) => self.is_still_welcome().await.then_some(Told::Heartbeat),
        }
    }

    /// Whether the operator may go on listening.
    async fn is_still_welcome(&mut self) -> bool {
        self.due = Instant::now() + HEARTBEAT;
        self.app.logins.still_holds(&self.app.store, &self.caller).await.unwrap_or_else(|error| {
            tracing::warn!(%error, "operators cannot be read: a stream of events ends");
            false
        })
    }
}

fn sent(event: &Event) -> Sent {
    Sent::default().event(event.name).id(&event.id).data(&event.data)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::system_clock::SystemClock;
    use crate::devices::handle::Devices;
    use crate::model::id::OperatorId;
    use crate::model::role::Role;
    use crate::otp::time::{Clock as _, Timestamp};
    use crate::store::{Location, Store, Synchronous};

    async fn app(dir: &std::path::Path) -> Arc<App> {
        let location = Location { data_dir: dir.to_owned(), key_file: dir.join("master.key") };
        Store::create(&location, SystemClock.now(), |tx| {
            tx.insert_operator("alice", "no hash", Role::Helpdesk).map(drop)
        })
        .unwrap();
        let store = Store::open(&location, Synchronous::Off, Arc::new(SystemClock)).unwrap();
        App::start(store, Devices::start(Vec::new(), &[]), Arc::new(Timestamp::from_secs(0))).await.unwrap()
    }

    /// A stream whose heartbeat is due.
    fn silent(app: &Arc<App>, name: &str, role: Role) -> Stream {
        let caller =
            Caller { operator: Some(OperatorId(1)), generation: 1, ..Caller::without_operator(name, role) };
        let follower = app.events.follow(Some("0-0")).unwrap();
        Stream { app: Arc::clone(app), caller, follower, first: None, due: Instant::now() }
    }

    #[test]
    fn a_silent_stream_beats_for_those_who_may_still_listen_and_ends_for_others() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let dir = tempfile::tempdir().unwrap();
        runtime.block_on(async {
            let app = app(dir.path()).await;
            let mut alice = silent(&app, "alice", Role::Helpdesk);
            assert!(alice.next().await.is_some_and(|sent| format!("{sent:?}").contains("missed")));
            alice.due = Instant::now();
            assert!(alice.next().await.is_some_and(|sent| format!("{sent:?}").contains("heartbeat")));
            assert!(alice.due > Instant::now());
            // Who was removed, and who has got another role since.
            assert!(silent(&app, "bob", Role::Helpdesk).next().await.is_none());
            assert!(silent(&app, "alice", Role::Admin).next().await.is_none());
            app.stop().await;
        });
    }
}
