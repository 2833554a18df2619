//! `fobd restore`: a backup becomes the database again. Works on files, without a server.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::bail;
use serde_json::json;

use super::audit::verify::{check_file, read_heads};
use super::init::{location, make_private};
use super::system_clock::SystemClock;
use crate::audit::check::Report;
use crate::otp::time::{Clock as _, Timestamp};
use crate::store::backup::{self, About};
use crate::store::objects::iso;
use crate::store::restore::{Changed, Restoring};
use crate::store::sealing::MasterKey;
use crate::store::{Location, audit};

/// How far the clock may be behind the backup: clocks that are set by others differ by that.
const BEHIND_MS: i64 = 5_000;

/// Makes a database of a backup, for a server that is not running.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  fobd restore fobd-2026-11-30.backup --data-dir /var/lib/fobd --key-file /etc/fobd/master.key
  fobd restore fobd-2026-11-30.backup --data-dir /var/lib/fobd --replace --head heads.jsonl

Nobody knows which passcodes were used after the backup was taken. So every HOTP token waits for a resync with two
consecutive passcodes (`fobd token sync`), TOTP tokens accept what they show from a minute or two later on, all
sessions, OAuth tokens and links for secrets are ended, and provisioning jobs that were under way are to be wiped.
Operators, passwords and PINs are as they were when the backup was taken.")]
pub struct RestoreArgs {
    /// The backup
    #[arg(value_name = "BACKUP")]
    pub backup: PathBuf,
    /// Directory of the database; made if it is not there
    #[arg(long, value_name = "DIR")]
    pub data_dir: PathBuf,
    /// Master key that the backup was made under [default: DIR/keys/master.key]
    #[arg(long, value_name = "FILE")]
    pub key_file: Option<PathBuf>,
    /// Put a database that is there aside, under another name
    #[arg(long)]
    pub replace: bool,
    /// A head of the audit log that was kept elsewhere, or a file of such, one a line
    #[arg(long, value_name = "HEAD|FILE")]
    pub head: Vec<String>,
    /// Restore even if the audit log in the backup is not intact; its first bad row is told in the log
    #[arg(long)]
    pub despite_audit: bool,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
/// Whatever is wrong with backup, key or directory; nothing is changed then.
pub fn run(args: &RestoreArgs) -> anyhow::Result<()> {
    let now = SystemClock.now();
    let location = location(&args.data_dir, args.key_file.as_deref());
    let heads = args.head.iter().map(|given| read_heads(given)).collect::<Result<Vec<_>, _>>()?.concat();
    let log = beside(&args.backup, "-wal");
    if log.exists() {
        bail!("{} lies beside it: this is a database in use, or a part of one, and no backup", log.display());
    }
    let about = backup::check(&args.backup)?;
    let master = MasterKey::load(&location.key_file)?;
    if let Some((_, newest)) = about.newest
        && now.as_millis() < newest.as_millis().saturating_sub(BEHIND_MS)
    {
        let (now, newest) = (iso(now), iso(newest));
        bail!(
            "the clock of this machine says {now}, and the backup has rows of {newest}: set the clock first"
        );
    }
    make_private(&location.data_dir)?;
    let restoring = Restoring::copy(&args.backup, &location, args.replace)?;
    backup::check(restoring.path())?;
    let last = about.newest.map_or(0, |(row, _)| row);
    let (proofs, newer): (Vec<_>, Vec<_>) = heads.into_iter().partition(|head| head.head.sequence <= last);
    let report = check_file(restoring.path(), &proofs, None, &mut |_, _| {})?;
    if let Some(finding) = report.finding
        && !args.despite_audit
    {
        bail!(
            "the audit log in {} is not intact: {finding} (--despite-audit restores it all the same)",
            args.backup.display()
        );
    }
    let changed = restoring.apply(&master, now, |changed| entry(&about, &report, changed))?;
    let kept = restoring.install(now)?;
    let lost = newer.iter().map(|head| head.head.sequence).max();
    let told = Told { about: &about, report: &report, changed: &changed, kept: kept.as_deref(), lost };
    let text = if args.json { told.to_json() } else { told.to_text(&location) };
    // Whoever reads this may have closed the pipe.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(())
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn entry(about: &About, report: &Report, changed: &Changed) -> audit::Entry {
    let newest = about.newest.map_or_else(|| "without rows".to_owned(), |(row, at)| row_at(row, at));
    let broken = report.finding.map(|finding| format!("; its log is broken: {finding}")).unwrap_or_default();
    let Changed { to_resync, totp, sessions, downloads, preauth_tokens, jobs } = changed;
    audit::Entry {
        operator: "restore".to_owned(),
        action: "database/restore",
        token: None,
        user: None,
        outcome: "restored",
        detail: format!(
            "a backup up to {newest}{broken}; {to_resync} credentials to resync, {totp} TOTP floors, ended {sessions} \
             sessions, {downloads} links and {preauth_tokens} pre-auth tokens, {jobs} jobs to wipe"
        ),
    }
}

fn row_at(row: i64, at: Timestamp) -> String {
    format!("row {row} of {}", iso(at))
}

/// What was done.
struct Told<'a> {
    about: &'a About,
    report: &'a Report,
    changed: &'a Changed,
    kept: Option<&'a Path>,
    /// The newest row that a head tells of and the backup does not have.
    lost: Option<i64>,
}

impl Told<'_> {
    fn to_json(&self) -> String {
        let Changed { to_resync, totp, sessions, downloads, preauth_tokens, jobs } = self.changed;
        let result = json!({
            "auditRow": self.about.newest.map(|(row, _)| row),
            "time": self.about.newest.map(|(_, at)| iso(at)),
            "proven": self.report.proven,
            "finding": self.report.finding.map(|finding| finding.to_string()),
            "lostUntil": self.lost,
            "toResync": to_resync, "totp": totp, "sessionsEnded": sessions, "downloadsEnded": downloads,
            "preAuthTokensEnded": preauth_tokens, "jobsToWipe": jobs,
            "replaced": self.kept.map(|path| path.display().to_string()),
        });
        format!("{result:#}\n")
    }

    fn to_text(&self, location: &Location) -> String {
        let Changed { to_resync, totp, sessions, downloads, preauth_tokens, jobs } = self.changed;
        let mut lines = vec![format!("restored   {}", location.database().display())];
        if let Some((row, at)) = self.about.newest {
            lines.push(format!("as of      {}: what came later is lost", row_at(row, at)));
        }
        if let Some(lost) = self.lost {
            lines.push(format!("lost       audit rows up to {lost} at least: a head tells of them"));
        }
        match (self.report.finding, self.report.proven) {
            (Some(finding), _) => lines.push(format!("audit log  NOT INTACT: {finding}")),
            (None, Some(row)) => lines.push(format!("audit log  intact, proven up to row {row}")),
            (None, None) => lines.push("audit log  intact; no head proves its end".to_owned()),
        }
        if let Some(kept) = self.kept {
            lines.push(format!("old one    kept as {}", kept.display()));
        }
        lines.push(format!("ended      {sessions} sessions and OAuth tokens, {downloads} links, {preauth_tokens} pre-auth tokens"));
        lines.push(String::new());
        lines.push("Now:".to_owned());
        lines.push(format!(
            "- {to_resync} HOTP tokens accept nothing until the helpdesk has resynced each by two consecutive passcodes \
             that its holder presses then: fobd token sync SERIAL PASSCODE PASSCODE"
        ));
        lines.push(format!("- {totp} TOTP tokens accept what they show from a minute or two from now on."));
        if *jobs > 0 {
            lines.push(format!(
                "- {jobs} provisioning jobs were under way: wipe these slots (fobd call job/search)."
            ));
        }
        lines.push(
            "- Operators, passwords, tokens of programs and PINs are as they were then: repeat what was changed since."
                .to_owned(),
        );
        lines.join("\n") + "\n"
    }
}
