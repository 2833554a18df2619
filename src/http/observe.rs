//! What is told of each request: an id in the answer and in every line of the log that it causes, its end in the log,
//! and a count.
//!
//! Log and metrics name the template of the route and never the address that was asked for, which may hold a secret. A
//! client that has an id for its request sends it as `X-Request-Id`; it is taken if it is short and plain.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method};
use axum::response::Response;
use tracing::Instrument as _;

use crate::metrics::Metrics;
use crate::otp::time::Timestamp;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Longest id of a client that is taken.
const MOST_ID_BYTES: usize = 64;

/// What requests are counted on and numbered by.
#[derive(Clone)]
pub(super) struct Observer {
    metrics: Arc<Metrics>,
    /// In milliseconds; tells the requests of this start from those of others.
    start: i64,
    next: Arc<AtomicU64>,
}

impl Observer {
    pub(super) fn new(metrics: Arc<Metrics>, started: Timestamp) -> Self {
        Self { metrics, start: started.as_millis(), next: Arc::default() }
    }

    fn make_id(&self) -> String {
        format!("{:x}-{:x}", self.start, self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// Follows a request from its head to the head of its answer.
    pub(super) async fn follow(
        &self,
        route: &'static str,
        request: Request,
        answer: impl AsyncFnOnce(Request) -> Response,
    ) -> Response {
        let began = Instant::now();
        let method = known(request.method());
        let id = sent_id(request.headers()).unwrap_or_else(|| self.make_id());
        // At the level of errors, so that it is there whatever is logged.
        let span = tracing::error_span!("request", id, method, route);
        let mut response = answer(request).instrument(span.clone()).await;
        let status = response.status().as_u16();
        self.metrics.answered(route, method, status);
        span.in_scope(|| {
            let ms = began.elapsed().as_secs_f64() * 1000.0;
            // Most requests are verifies, by the ten thousand a second: a line for each is for those who ask for it.
            match status {
                500.. => tracing::warn!(status, ms, "answered"),
                400.. => tracing::info!(status, ms, "answered"),
                _ => tracing::debug!(status, ms, "answered"),
            }
        });
        if let Ok(id) = HeaderValue::try_from(id) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        response
    }
}

/// The id that the client gave.
fn sent_id(headers: &HeaderMap) -> Option<String> {
    let sent = headers.get(REQUEST_ID)?.to_str().ok()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    ((1..=MOST_ID_BYTES).contains(&sent.len()) && sent.bytes().all(plain)).then(|| sent.to_owned())
}

/// The method, if it is one that HTTP knows: clients can make up others without end.
fn known(method: &Method) -> &'static str {
    let known = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "CONNECT"];
    known.into_iter().find(|name| *name == method.as_str()).unwrap_or("other")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_of_the_client_is_taken_if_it_is_short_and_plain() {
        let sent = |id: &str| {
            let value = HeaderValue::from_bytes(id.as_bytes()).unwrap();
            sent_id(&HeaderMap::from_iter([(REQUEST_ID, value)]))
        };
        let longest = "x".repeat(MOST_ID_BYTES);
        for id in ["a", "5f1c09e2-17", "Trace_1.2", &longest] {
            assert_eq!(sent(id).as_deref(), Some(id));
        }
        for id in ["", "a b", "a\"b", "ä", "a=1", &format!("{longest}x")] {
            assert_eq!(sent(id), None, "{id}");
        }
        assert_eq!(sent_id(&HeaderMap::new()), None);
    }

    #[test]
    fn a_method_that_nobody_knows_is_one_of_the_others() {
        assert_eq!(known(&Method::PUT), "PUT");
        assert_eq!(known(&Method::from_bytes(b"BREW").unwrap()), "other");
    }
}
