//! What is looked up when somebody asks for the metrics: stock, jobs, devices, the audit log, the server itself.
//!
//! A database that cannot be read is told by a metric of its own, and the rest is told all the same: that is when
//! somebody looks.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::{ConstGauge, Gauge};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use super::audit::check_whole;
use super::error::{Error, Kind};
use crate::access::Caller;
use crate::app::App;
use crate::model::role::Permission;
use crate::store::StoreError;
use crate::store::figures::Figures;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TokenLabels {
    product: String,
    status: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct JobLabels {
    state: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct DeviceLabels {
    driver: String,
    state: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct BuildLabels {
    version: &'static str,
}

/// The metrics as text. They are of the whole server, so that a caller who sees a part of it only is refused.
///
/// # Errors
/// [`Kind::Forbidden`].
pub async fn text(app: &App, caller: &Caller) -> Result<String, Error> {
    if !caller.role.grants(Permission::MetricsRead) {
        return Err(Error::new(Kind::Forbidden, "you are not allowed to do that"));
    }
    check_whole(caller)?;
    let mut registry = Registry::default();
    registry.register(
        "fobd_build",
        "The program",
        Info::new(BuildLabels { version: env!("CARGO_PKG_VERSION") }),
    );
    registry.register(
        "process_start_time_seconds",
        "When the server started, in seconds since the Unix epoch",
        ConstGauge::new(app.started.as_millis().div_euclid(1000)),
    );
    let healthy = i64::from(app.store.is_healthy());
    registry.register("fobd_writable", "Whether the last change reached the disk", ConstGauge::new(healthy));
    let newest = u64::try_from(*app.store.watch_audit().borrow()).unwrap_or_default();
    registry.register("fobd_audit_rows", "Rows of the audit log ever written", ConstCounter::new(newest));
    watch_guards(app, &mut registry).await;
    count_devices(app, &mut registry);
    let figures: Result<Figures, StoreError> = app.store.read(|reader| reader.figures()).await;
    let readable = i64::from(figures.is_ok());
    registry.register(
        "fobd_readable",
        "Whether the database could be read for this",
        ConstGauge::new(readable),
    );
    match figures {
        Ok(figures) => count_rows(figures, &mut registry),
        Err(error) => tracing::warn!(%error, "the metrics lack what is in the database"),
    }
    Ok(app.metrics.text(&registry))
}

/// What keeps guessers and wrong clocks out.
async fn watch_guards(app: &App, registry: &mut Registry) {
    let (guards, trusted) = (&app.guards, app.guards.clock.problem(&app.store).await.is_none());
    registry.register(
        "fobd_clock_trusted",
        "Whether the server's clock is trusted",
        ConstGauge::new(i64::from(trusted)),
    );
    let slowed = i64::try_from(guards.sprays.slowed()).unwrap_or(i64::MAX);
    registry.register(
        "fobd_sources_slowed",
        "Addresses that try many users and are slowed",
        ConstGauge::new(slowed),
    );
    registry.register(
        "fobd_spraying_alarms",
        "Alarms of addresses that try many users",
        ConstCounter::new(guards.sprays.alarms()),
    );
}

fn count_devices(app: &App, registry: &mut Registry) {
    let devices: Family<DeviceLabels, Gauge> = Family::default();
    for device in app.devices.list() {
        let labels = DeviceLabels { driver: device.id.driver().to_owned(), state: device.state.as_str() };
        devices.get_or_create(&labels).inc();
    }
    registry.register("fobd_devices", "Devices that are plugged in, by driver and state", devices);
}

fn count_rows(figures: Figures, registry: &mut Registry) {
    let tokens: Family<TokenLabels, Gauge> = Family::default();
    for (product, status, count) in figures.tokens {
        tokens.get_or_create(&TokenLabels { product, status }).set(count);
    }
    registry.register("fobd_tokens", "Tokens by product (its two codes) and status", tokens);
    let jobs: Family<JobLabels, Gauge> = Family::default();
    for (state, count) in figures.jobs {
        jobs.get_or_create(&JobLabels { state }).set(count);
    }
    registry.register("fobd_jobs", "Provisioning jobs by state, of the newest 100000", jobs);
}
