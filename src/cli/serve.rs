//! `fobd serve`: the server.

use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use fobd_drivers::transport::Bus;
use fobd_drivers::transport::hid::HidBus;
use fobd_drivers::transport::pcsc::PcscBus;
use fobd_drivers::transport::trace::Trace;
use tokio::signal::unix::{SignalKind, signal};

use super::init::location;
use super::log::LogArgs;
use super::system_clock::SystemClock;
use crate::app::App;
use crate::devices::handle::{Deadlines, Devices};
use crate::http::peer::Proxies;
use crate::http::tls::{self, Files, Identity};
use crate::http::{self, Limits, Listener, Protection};
use crate::otp;
use crate::service::audit::outlets::{self, Target};
use crate::store::{Store, Synchronous, lies_in};

/// Serves the API and drives the tokens that are plugged in.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  fobd serve --data-dir /var/lib/fobd --listen 127.0.0.1:8480
  fobd serve --data-dir /var/lib/fobd --listen 0.0.0.0:8443
  fobd serve --data-dir /var/lib/fobd --listen 0.0.0.0:8443 --tls-cert chain.pem --tls-key key.pem
  fobd serve --data-dir /var/lib/fobd --listen 10.0.0.5:8480 --behind-proxy 10.0.0.2
  fobd serve --data-dir /var/lib/fobd --log-format json --log-level debug
  curl http://127.0.0.1:8480/readyz

On a loopback address it speaks plain HTTP unless --tls is given; on any other it speaks TLS, with a certificate that it
makes at the first start, in DIR/tls, unless one is given. A replaced certificate is taken within seconds.

SIGTERM and Ctrl-C end it: what was accepted is finished and answered first.")]
pub struct ServeArgs {
    /// Directory that `fobd init` made
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Master key, outside the database [default: DIR/keys/master.key]
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8480")]
    pub listen: SocketAddr,
    /// Address under which clients reach this server, for the links it makes [default: the one it
    /// listens on]
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
    /// Speaks TLS on a loopback address too
    #[arg(long)]
    pub tls: bool,
    /// Certificate chain in PEM, the server's own first [default: DIR/tls/certificate.pem, made if missing]
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// Private key of the certificate, in PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
    /// Another name under which clients reach this server, for the certificate that it makes
    #[arg(long, value_name = "NAME")]
    pub tls_name: Vec<String>,
    /// Speaks plain HTTP, but only to proxies in these networks, and believes what they say of their clients
    #[arg(long, value_name = "NETWORK[,NETWORK]", conflicts_with_all = ["tls", "tls_cert", "tls_key"])]
    pub behind_proxy: Option<Proxies>,
    /// Write what crosses the wires to devices into this file, without secrets: of most exchanges only header, length
    /// and status
    #[arg(long, value_name = "FILE")]
    pub trace_device: Option<PathBuf>,
    /// File to which each signed head of the audit log is added, as a line of JSON
    #[arg(long, value_name = "FILE")]
    pub audit_head_file: Option<PathBuf>,
    /// How long an audit row may be without a signed head after it, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub audit_head_every: u64,
    /// Where audit rows and heads are sent by syslog (RFC 5424): udp:HOST:PORT, tcp:HOST:PORT or unix:PATH
    #[arg(long, value_name = "TARGET")]
    pub audit_syslog: Option<Target>,
    #[command(flatten)]
    pub log: LogArgs,
    /// Never waits for the disk: for tests that must see this fail
    #[arg(long, hide = true)]
    pub unsafe_no_sync: bool,
}

/// Runs the server until it is told to stop.
///
/// # Errors
/// Whatever keeps it from starting, or breaks its socket.
pub fn run(args: &ServeArgs) -> anyhow::Result<()> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?
        .block_on(serve(args))
}

async fn serve(args: &ServeArgs) -> anyhow::Result<()> {
    // Before anything else: a stop during the start must not be lost.
    let mut terminate = signal(SignalKind::terminate()).context("SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("SIGINT")?;
    let location = location(&args.data_dir, args.key_file.as_deref());
    let clock: Arc<dyn otp::time::Clock> = Arc::new(SystemClock);
    let synchronous = if args.unsafe_no_sync {
        tracing::warn!("changes are NOT safe on the disk when they are answered");
        Synchronous::Off
    } else {
        Synchronous::Full
    };
    let store = Store::open(&location, synchronous, Arc::clone(&clock))?;
    if lies_in(&location.key_file, &location.data_dir) {
        tracing::warn!(
            key_file = %location.key_file.display(),
            "the master key lies beside the database: whoever copies the directory has both"
        );
    }
    store.sign_audit_after(Duration::from_secs(args.audit_head_every));
    let buses: Vec<Arc<dyn Bus>> = vec![Arc::new(PcscBus), Arc::new(HidBus::new())];
    let trace = args.trace_device.as_deref().map(trace_into).transpose()?;
    let devices = Devices::start_with(buses, fobd_drivers::DRIVERS, Deadlines::default(), trace);
    let app = App::start(store, devices, clock).await?;
    let head_file = args.audit_head_file.clone();
    app.keep(|app, stopping| outlets::tell_heads(app, head_file, stopping));
    if let Some(target) = args.audit_syslog.clone() {
        app.keep(|app, stopping| outlets::send(app, target, stopping));
    }
    if let Some(url) = &args.public_url {
        let _ = app.public_url.set(url.clone());
    }
    let listener = Listener::bind(args.listen, protection(args)?).await?;
    let url = listener.url();
    // Programs that start the server read this line to learn its port.
    println!("listening on {url}");
    if let Some(fingerprint) = listener.fingerprint() {
        // What a client compares before it trusts.
        // Whoever read the first line may have closed the pipe.
        let _ = writeln!(std::io::stdout(), "certificate fingerprint (SHA-256): {fingerprint}");
    }
    tracing::info!(url, version = env!("CARGO_PKG_VERSION"), "serving");
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: finishing what was accepted");
    };
    http::serve(app, listener, Limits::default(), stop).await.context("the listening socket broke")?;
    tracing::info!("stopped");
    Ok(())
}

/// How connections are protected. On first start the certificate is made.
fn protection(args: &ServeArgs) -> anyhow::Result<Protection> {
    if let Some(proxies) = &args.behind_proxy {
        return Ok(Protection::Proxies(proxies.clone()));
    }
    if args.listen.ip().is_loopback() && !args.tls && args.tls_cert.is_none() {
        return Ok(Protection::Loopback);
    }
    let files = match (&args.tls_cert, &args.tls_key) {
        (Some(certificate), Some(key)) => Files { certificate: certificate.clone(), key: key.clone() },
        _ => {
            let directory = args.data_dir.join("tls");
            let files =
                Files { certificate: directory.join("certificate.pem"), key: directory.join("key.pem") };
            let names = [args.tls_name.clone(), tls::own_names(args.listen.ip())].concat();
            let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
            if tls::make_unless_there(&files, &names, today)? {
                let file = files.certificate.display();
                tracing::info!(names = names.join(", "), %file, "made a certificate");
            }
            files
        }
    };
    Ok(Protection::Tls(Identity::load(files)?))
}

/// A trace in a file that only its owner reads, behind what is there.
fn trace_into(path: &Path) -> anyhow::Result<Arc<Trace>> {
    let file = File::options().append(true).create(true).mode(0o600).open(path);
    let file = file.with_context(|| format!("cannot write the trace {}", path.display()))?;
    tracing::warn!(file = %path.display(), "what crosses the wires to devices is written down");
    Ok(Trace::new(Box::new(file)))
}
