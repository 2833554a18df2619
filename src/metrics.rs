//! What the server counts of itself, for Prometheus.
//!
//! Each server has counters of its own, and nothing is global: several servers run in one process of tests. What
//! happens often (requests, verifies, commits) moves an atomic number or a short histogram where it happens; what can
//! be looked up is looked up when somebody asks ([`crate::service::metrics`]). Times are in seconds, as Prometheus has
//! them.
//!
//! Labels hold words of the program, the codes of products and the names of drivers: never the name of a user, a
//! serial number or an address.

use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, prometheus_text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::Registry;

/// The media type of the text.
pub const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

/// The counters of a server.
#[derive(Debug)]
pub struct Metrics {
    requests: Family<RequestLabels, Counter>,
    verifications: Family<VerificationLabels, Counter>,
    verify_seconds: Histogram,
    registry: Registry,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RequestLabels {
    route: &'static str,
    method: &'static str,
    status: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct VerificationLabels {
    result: &'static str,
    outcome: &'static str,
}

impl Metrics {
    /// All at zero, beside those that the store has.
    #[must_use]
    pub fn new(commits: &Commits) -> Self {
        // From 0.25 ms, an fsync of a quiet disk, to 4 s.
        let verify_seconds = Histogram::new(exponential_buckets(0.000_25, 2.0, 15));
        let (requests, verifications) = (Family::default(), Family::default());
        let mut registry = Registry::default();
        registry.register(
            "fobd_http_requests",
            "Requests by route, method and class of the status",
            Family::clone(&requests),
        );
        registry.register(
            "fobd_verifications",
            "Passcodes that were judged, by the answer and by the outcome in the audit log",
            Family::clone(&verifications),
        );
        registry.register(
            "fobd_verify_seconds",
            "Time from a question to the answer that is on the disk",
            verify_seconds.clone(),
        );
        commits.register(&mut registry);
        Self { requests, verifications, verify_seconds, registry }
    }

    /// A request was answered. A status class is the first digit of the status.
    pub fn answered(&self, route: &'static str, method: &'static str, status: u16) {
        let status = match status {
            100..200 => "1xx",
            200..300 => "2xx",
            300..400 => "3xx",
            400..500 => "4xx",
            _ => "5xx",
        };
        self.requests.get_or_create(&RequestLabels { route, method, status }).inc();
    }

    /// A passcode was judged, and that is on the disk.
    pub fn verified(&self, accepted: bool, outcome: &'static str, took: Duration) {
        let result = if accepted { "accepted" } else { "rejected" };
        self.verifications.get_or_create(&VerificationLabels { result, outcome }).inc();
        self.verify_seconds.observe(took.as_secs_f64());
    }

    /// All of them as text, with more of those in `others`.
    #[must_use]
    pub fn text(&self, others: &Registry) -> String {
        let mut text = String::new();
        for registry in [&self.registry, others] {
            prometheus_text::encode(&mut text, registry).expect("a String takes any text");
        }
        text
    }
}

/// What a store counts of its commits. Clones mean the same numbers.
#[derive(Clone, Debug)]
pub struct Commits {
    requests: Histogram,
    seconds: Histogram,
    failed: Counter,
}

impl Default for Commits {
    fn default() -> Self {
        Self {
            requests: Histogram::new(exponential_buckets(1.0, 2.0, 11)),
            seconds: Histogram::new(exponential_buckets(0.000_125, 2.0, 15)),
            failed: Counter::default(),
        }
    }
}

impl Commits {
    /// A commit of so many requests came to its end.
    pub fn ended(&self, requests: usize, took: Duration, stands: bool) {
        if !stands {
            self.failed.inc();
        }
        // More than fit into 32 bits never wait.
        self.requests.observe(f64::from(u32::try_from(requests).unwrap_or(u32::MAX)));
        self.seconds.observe(took.as_secs_f64());
    }

    fn register(&self, registry: &mut Registry) {
        registry.register(
            "fobd_commit_requests",
            "Requests that shared a commit; 0 for one of the server's own",
            self.requests.clone(),
        );
        registry.register(
            "fobd_commit_seconds",
            "Time of a commit, from its beginning to the disk",
            self.seconds.clone(),
        );
        registry.register(
            "fobd_commits_failed",
            "Commits that failed: nothing of them stands",
            self.failed.clone(),
        );
    }
}
