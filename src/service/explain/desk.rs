//! Where failed attempts wait to be looked at, and the one worker who looks: after the reply, a little later, some at a
//! time. What comes faster than that is dropped: no login waits for a diagnosis.
//!
//! Attempts for users who do not exist wait in the same queue and cost the same search, and leave nothing.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{mpsc, watch};

use super::case::Case;
use super::diagnose::diagnose;
use crate::app::App;
use crate::model::id::{TokenId, UserId};
use crate::service::error::Error;
use crate::store::findings::Finding;

/// Attempts that may wait.
const WAITING: usize = 64;
/// How long an attempt waits at least: its reply is long gone then, and others have come.
const REST: Duration = Duration::from_millis(100);
/// Attempts that are looked at between two rests.
const AT_ONCE: usize = 16;
/// One token, or one user with several, is looked at once in so long.
const EACH: Duration = Duration::from_secs(1);
/// How long notes are kept, and how often old ones are looked for.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);
const SWEEP: Duration = Duration::from_secs(3600);

type Key = (Option<TokenId>, Option<UserId>);

/// The queue.
pub struct Desk {
    sender: mpsc::Sender<Case>,
    /// Until the worker takes it.
    receiver: Mutex<Option<mpsc::Receiver<Case>>>,
}

impl Default for Desk {
    fn default() -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        Self { sender, receiver: Mutex::new(Some(receiver)) }
    }
}

impl Desk {
    /// Hands an attempt in. If too many wait already, it is dropped.
    pub fn hand_in(&self, case: Case) {
        let _ = self.sender.try_send(case);
    }
}

/// Works until told to stop.
pub async fn run(app: Arc<App>, mut stopping: watch::Receiver<bool>) {
    let taken = app.desk.receiver.lock().unwrap_or_else(PoisonError::into_inner).take();
    let Some(mut waiting) = taken else { return };
    let mut seen: HashMap<Key, Instant> = HashMap::new();
    let mut swept: Option<Instant> = None;
    loop {
        let first = tokio::select! {
            _ = stopping.wait_for(|stop| *stop) => return,
            case = waiting.recv() => case,
        };
        let Some(first) = first else { return };
        if tokio::time::timeout(REST, stopping.wait_for(|stop| *stop)).await.is_ok() {
            return;
        }
        let now = Instant::now();
        seen.retain(|_, at| now.duration_since(*at) < EACH);
        let mut cases = vec![first];
        while cases.len() < AT_ONCE
            && let Ok(case) = waiting.try_recv()
        {
            cases.push(case);
        }
        // Whoever keeps on trying is still looked at once in a while.
        cases.retain(|case| match seen.entry(case.key()) {
            Entry::Occupied(_) => false,
            Entry::Vacant(entry) => {
                entry.insert(now);
                true
            }
        });
        if let Err(error) = look_at(&app, cases).await {
            tracing::debug!(%error, "failed attempts were not looked at");
        }
        if swept.is_none_or(|at| now.duration_since(at) > SWEEP) {
            swept = Some(now);
            let before = app.clock.now().saturating_sub(KEPT);
            if let Err(error) = app.store.write(move |tx| Ok::<_, Error>(tx.sweep_findings(before)?)).await {
                tracing::debug!(%error, "old findings are swept later");
            }
        }
    }
}

/// Looks at some attempts, and keeps what is found out in one commit.
async fn look_at(app: &App, cases: Vec<Case>) -> Result<(), Error> {
    if cases.is_empty() {
        return Ok(());
    }
    let found: Vec<Finding> = app
        .store
        .read(move |reader| {
            let mut found = Vec::new();
            for case in &cases {
                found.extend(diagnose(reader, case)?);
            }
            Ok::<_, Error>(found)
        })
        .await?;
    if found.is_empty() {
        return Ok(());
    }
    app.store
        .write(move |tx| {
            for finding in &found {
                tx.keep_finding(finding)?;
            }
            Ok::<_, Error>(())
        })
        .await
}
