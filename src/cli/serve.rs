//! `fobd serve`: the server.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use fobd_drivers::transport::pcsc::PcscBus;
use tokio::signal::unix::{SignalKind, signal};

use super::init::location;
use super::system_clock::SystemClock;
use crate::app::App;
use crate::devices::handle::Devices;
use crate::store::{Store, Synchronous, lies_in};
use crate::{http, otp};

/// Serves the API on a loopback address and drives the tokens that are plugged in.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  fobd serve --data-dir /var/lib/fobd --listen 127.0.0.1:8480
  curl http://127.0.0.1:8480/readyz

SIGTERM and Ctrl-C end it: what was accepted is finished and answered first.")]
pub struct ServeArgs {
    /// Directory that `fobd init` made
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Master key, outside the database [default: DIR/keys/master.key]
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Loopback address and port to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8480")]
    pub listen: SocketAddr,
    /// Address under which clients reach this server, for the links it makes [default: http://ADDRESS:PORT]
    #[arg(long, value_name = "URL")]
    pub public_url: Option<String>,
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
    let devices = Devices::start(vec![Arc::new(PcscBus)], fobd_drivers::DRIVERS);
    let app = App::start(store, devices, clock).await?;
    if let Some(url) = &args.public_url {
        let _ = app.public_url.set(url.clone());
    }
    let listener = http::bind(args.listen).await?;
    let address = listener.local_addr().context("the listening socket has no address")?;
    // Programs that start the server read this line to learn its port.
    println!("listening on http://{address}");
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "serving");
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping: finishing what was accepted");
    };
    http::serve(app, listener, stop).await.context("the listening socket broke")?;
    tracing::info!("stopped");
    Ok(())
}
