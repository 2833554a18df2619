//! An emulated YubiKey behind a real pcscd, steered by lines: for people without hardware.
//!
//! It connects to a vpcd that listens already, or starts a private pcscd itself. The device's flash lives in
//! memory only. It ends with its standard input, so that a script that dies leaves none behind.

use std::io::{self, BufRead, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::SplitWhitespace;
use std::time::{Duration, SystemTime};

use firmware_fixtures::card::{Human, VirtualCard};
use firmware_fixtures::credential::Kind;
use firmware_fixtures::firmware::Firmware;
use firmware_fixtures::pcscd::{PcscdError, PrivatePcscd, Setup};
use firmware_fixtures::vpcd::VpcdCard;

const HELP: &str = "\
An emulated YubiKey behind a real pcscd.

Usage: virtual-token --pcscd DIR [OPTIONS]
       virtual-token --port PORT [OPTIONS]

Options:
  --pcscd DIR     start a private pcscd with its socket in DIR (made if absent,
                  path under 90 bytes); needs the packages pcscd, vsmartcard-vpcd
  --port PORT     TCP port of a vpcd slot; with --pcscd, the first of two
  --model MODEL   which device [default: yubikey-5.4.3]
  --serial N      the number printed on it [default: 12345678]
  --touch WHEN    now, never, or seconds until a touch [default: now]
  --keep          go on when standard input ends
  --help          this text

Lines on standard input:
  insert          plug the key in (it is at the start)
  remove          pull it out
  press NAME      read the next HOTP passcode from the key's own program
  show NAME [T]   read the TOTP passcode of unix time T [default: now]
  touch WHEN      now, never, or seconds until a touch
  list            name the credentials
  help            name these commands
  quit            end

Examples:
  virtual-token --pcscd /tmp/vt
      prints a line `export PCSCLITE_CSOCK_NAME=/tmp/vt/run/pcscd.comm`; with
      that in its environment any PC/SC program sees the key:
      ykman --reader 'CCID 00 00' oath accounts list
  virtual-token --port 35963 --model yubikey-neo-3.4.9 --touch never

Exit codes: 0 ended as told, 1 pcscd or vpcd failed, 2 wrong usage.";

const COMMANDS: &str =
    "insert | remove | press NAME | show NAME [UNIXTIME] | touch now|never|SECONDS | list | quit";

fn main() -> ExitCode {
    let options = match Options::parse(std::env::args().skip(1)) {
        Ok(Some(options)) => options,
        Ok(None) => {
            println!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Err(problem) => {
            eprintln!("virtual-token: {problem}\nTry --help.");
            return ExitCode::from(2);
        }
    };
    match run(options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("virtual-token: {problem}");
            ExitCode::FAILURE
        }
    }
}

#[derive(Debug, PartialEq)]
struct Options {
    pcscd: Option<PathBuf>,
    port: Option<u16>,
    firmware: Firmware,
    serial: u32,
    human: Human,
    keep: bool,
}

impl Options {
    /// `None` if help was asked for.
    fn parse(arguments: impl Iterator<Item = String>) -> Result<Option<Self>, String> {
        let mut options = Self {
            pcscd: None,
            port: None,
            firmware: Firmware::YUBIKEY_5_4_3,
            serial: 12_345_678,
            human: Human::TouchesAtOnce,
            keep: false,
        };
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            let (flag, attached) = match argument.split_once('=') {
                Some((flag, value)) => (flag, Some(value.to_owned())),
                None => (argument.as_str(), None),
            };
            let mut value =
                || attached.clone().or_else(|| arguments.next()).ok_or(format!("{flag} wants a value"));
            match flag {
                "--help" | "-h" => return Ok(None),
                "--keep" => options.keep = true,
                "--pcscd" => options.pcscd = Some(value()?.into()),
                "--port" => options.port = Some(number(flag, &value()?)?),
                "--serial" => options.serial = number(flag, &value()?)?,
                "--touch" => options.human = parse_touch(&value()?)?,
                "--model" => {
                    let model = value()?;
                    let known = Firmware::ALL.map(|firmware| firmware.model).join(", ");
                    options.firmware = Firmware::named(&model)
                        .ok_or(format!("--model: no device is called `{model}`; there are {known}"))?;
                }
                _ => return Err(format!("`{flag}` is no option")),
            }
        }
        if options.pcscd.is_none() && options.port.is_none() {
            return Err("either --pcscd or --port is needed".to_owned());
        }
        Ok(Some(options))
    }
}

fn number<T: std::str::FromStr>(flag: &str, text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{flag}: `{text}` is no number, or too large"))
}

fn parse_touch(text: &str) -> Result<Human, String> {
    match text {
        "now" => Ok(Human::TouchesAtOnce),
        "never" => Ok(Human::NeverTouches),
        seconds => number("touch", seconds).map(|seconds| Human::TouchesAfter(Duration::from_secs(seconds))),
    }
}

#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error(transparent)]
    Pcscd(#[from] PcscdError),
    #[error("vpcd on port {port}: {source}")]
    Vpcd { port: u16, source: io::Error },
    #[error("standard input or output: {0}")]
    Lines(#[from] io::Error),
}

fn run(options: Options) -> Result<(), Failure> {
    let card = VirtualCard::new(options.firmware, options.serial);
    card.set_human(options.human);
    let pcscd = match options.pcscd {
        Some(dir) => {
            let readers = vec![options.firmware.reader.to_owned()];
            let pcscd = PrivatePcscd::start_with(Setup { dir: Some(dir), port_base: options.port, readers })?;
            say(&format!("export PCSCLITE_CSOCK_NAME={}", pcscd.socket().display()))?;
            Some(pcscd)
        }
        None => None,
    };
    let port = pcscd.as_ref().map(|pcscd| pcscd.port(0)).or(options.port).unwrap_or_default();
    let mut desk = Desk { card, port, inserted: None };
    desk.insert()?;
    say(&format!("{} {} is in", options.firmware.model, options.serial))?;

    for line in io::stdin().lock().lines() {
        let line = line?;
        match desk.obey(line.split_whitespace())? {
            Some(answer) => say(&answer)?,
            None => return Ok(()),
        }
    }
    if options.keep {
        loop {
            std::thread::park();
        }
    }
    Ok(())
}

/// Prints at once, also into a pipe.
fn say(line: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// The key, and the slot it is in or not.
struct Desk {
    card: VirtualCard,
    port: u16,
    inserted: Option<VpcdCard>,
}

impl Desk {
    fn insert(&mut self) -> Result<(), Failure> {
        self.inserted = None;
        let inserted = VpcdCard::insert(&self.card, self.port);
        self.inserted = Some(inserted.map_err(|source| Failure::Vpcd { port: self.port, source })?);
        Ok(())
    }

    /// Does what a line says and returns what to print; `None` to end.
    fn obey(&mut self, mut words: SplitWhitespace<'_>) -> Result<Option<String>, Failure> {
        let answer = match words.next() {
            Some("quit") => return Ok(None),
            None => String::new(),
            Some("help") => COMMANDS.to_owned(),
            Some("insert") => {
                self.insert()?;
                "ok".to_owned()
            }
            Some("remove") => {
                self.inserted = None;
                "ok".to_owned()
            }
            Some("list") => self.list(),
            Some("touch") => match parse_touch(words.next().unwrap_or("now")) {
                Ok(human) => {
                    self.card.set_human(human);
                    "ok".to_owned()
                }
                Err(problem) => format!("error: {problem}"),
            },
            Some("press") => {
                let name = words.collect::<Vec<_>>().join(" ");
                self.card.press(&name).unwrap_or_else(|| format!("error: no HOTP credential `{name}`"))
            }
            Some("show") => {
                let rest: Vec<&str> = words.collect();
                self.show(&rest).unwrap_or_else(|| format!("error: no TOTP credential `{}`", rest.join(" ")))
            }
            Some(word) => format!("error: `{word}` is no command; there are {COMMANDS}"),
        };
        Ok(Some(answer))
    }

    fn list(&self) -> String {
        let line = |credential: &firmware_fixtures::credential::Credential| {
            let factor = match credential.kind {
                Kind::Hotp => format!("HOTP counter {}", credential.counter),
                Kind::Totp => format!("TOTP every {} s", credential.time_step_seconds()),
            };
            let touch = if credential.touch { ", touch" } else { "" };
            format!(
                "{}: {factor}, {:?}, {} digits{touch}",
                credential.name(),
                credential.hash,
                credential.digits
            )
        };
        let lines: Vec<String> = self.card.credentials().iter().map(line).collect();
        if lines.is_empty() { "no credentials".to_owned() } else { lines.join("\n") }
    }

    /// The passcode of a name that may have spaces, and may be followed by a time.
    fn show(&self, words: &[&str]) -> Option<String> {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |now| now.as_secs());
        let whole = words.join(" ");
        let (name, time) = match words {
            [name @ .., time] if self.card.credential(&whole).is_none() => {
                (name.join(" "), time.parse().ok()?)
            }
            _ => (whole, now),
        };
        let time_step = self.card.credential(&name)?.time_step_seconds();
        self.card.show(&name, time / time_step)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Option<Options>, String> {
        Options::parse(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn options_are_read_with_and_without_an_equals_sign() {
        let expected = Options {
            pcscd: Some("/tmp/vt".into()),
            port: Some(36_000),
            firmware: Firmware::YUBIKEY_NEO_3_4_9,
            serial: 7,
            human: Human::TouchesAfter(Duration::from_secs(3)),
            keep: true,
        };
        let line = "--pcscd /tmp/vt --port=36000 --model yubikey-neo-3.4.9 --serial=7 --touch 3 --keep";
        assert_eq!(parse(line), Ok(Some(expected)));
        assert_eq!(parse("--port 1 --help"), Ok(None));
    }

    #[test]
    fn wrong_usage_is_named() {
        for (line, word) in [
            ("", "--pcscd"),
            ("--port", "--port"),
            ("--port 70000", "70000"),
            ("--port 1 --model yubikey", "yubikey-5.4.3"),
            ("--port 1 --touch soon", "soon"),
            ("--prot 1", "--prot"),
        ] {
            let problem = parse(line).unwrap_err();
            assert!(problem.contains(word), "{line}: {problem}");
        }
    }

    #[test]
    fn lines_steer_the_key() {
        let card = VirtualCard::new(Firmware::YUBIKEY_5_4_3, 7);
        let secret = b"12345678901234567890";
        card.install(firmware_fixtures::credential::Credential::hotp("Corp: me", secret, 0));
        card.install(firmware_fixtures::credential::Credential::totp("60/web", secret));
        let mut desk = Desk { card, port: 0, inserted: None };
        let mut obey = |line: &str| desk.obey(line.split_whitespace()).unwrap();
        assert_eq!(obey("press Corp: me").as_deref(), Some("755224"));
        assert_eq!(obey("press Corp: me").as_deref(), Some("287082"));
        assert_eq!(obey("show 60/web 119").as_deref(), Some("287082"));
        assert_eq!(obey("show web 119").as_deref(), Some("error: no TOTP credential `web 119`"));
        let list = "Corp: me: HOTP counter 2, Sha1, 6 digits\n60/web: TOTP every 60 s, Sha1, 6 digits";
        assert_eq!(obey("list").as_deref(), Some(list));
        assert_eq!(obey("touch never").as_deref(), Some("ok"));
        assert_eq!(obey("quit"), None);
    }
}
