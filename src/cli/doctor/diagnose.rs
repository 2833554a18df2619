//! From facts to findings. Pure.
//!
//! For each known key on USB: is the interface that its driver needs switched on, is its node there and open, does pcscd
//! know it, does another program hold it. For each other reader: is there a card. Then what a server says.

use fobd_drivers::models::usb::{Interface as Kind, needs};
use fobd_drivers::models::{self, MODELS, Sight};
use fobd_drivers::transport::Candidate;
use fobd_drivers::transport::pcsc::readers::Reader;
use serde_json::Value;

use super::facts::{Access, Facts, HidNode, Me, Readers, Server, UsbDevice};

/// How serious it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It can be reached.
    Well,
    /// Nothing is wrong, but nobody can use it like that.
    Note,
    /// Something is in the way.
    Problem,
}

impl Verdict {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Note => "note",
            Self::Problem => "problem",
        }
    }
}

/// What was found of one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Finding {
    /// The key, reader or service.
    pub(super) about: String,
    /// How serious it is.
    pub(super) verdict: Verdict,
    /// For programs.
    pub(super) code: &'static str,
    /// For people.
    pub(super) what: String,
    /// What to do.
    pub(super) help: Option<String>,
}

fn finding(about: &str, verdict: Verdict, code: &'static str, what: impl Into<String>) -> Finding {
    Finding { about: about.to_owned(), verdict, code, what: what.into(), help: None }
}

impl Finding {
    fn help(self, help: impl Into<String>) -> Self {
        Self { help: Some(help.into()), ..self }
    }
}

/// Judges everything.
pub(super) fn diagnose(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut claimed = Vec::new();
    for device in &facts.usb {
        let about = called(device);
        for need in needs(device.vendor, device.product) {
            let found = match need.interface {
                Kind::Hid => by_hid(facts, device, &about, need.driver),
                Kind::Card => by_card(facts, device, &about, &mut claimed),
            };
            findings.extend(found.unwrap_or_else(|| vec![off(&about, need.interface, need.switch_on)]));
        }
    }
    findings.extend(service(facts));
    if let Readers::Listed(readers) = &facts.readers {
        for reader in readers.iter().filter(|reader| !claimed.contains(&reader.name)) {
            findings.push(reader_alone(facts, reader));
        }
    }
    findings.extend(server(&facts.server));
    if findings.is_empty() {
        findings.push(
            finding("tokens", Verdict::Note, "nothing_found", "no known token and no reader is plugged in")
                .help("cards and NFC tokens need a reader and pcscd"),
        );
    }
    findings
}

fn called(device: &UsbDevice) -> String {
    let UsbDevice { port, vendor, product, name, .. } = device;
    let known = MODELS.iter().find(|model| match model.sight {
        Sight::Hid { vendor: known, products, .. } => known == *vendor && products.contains(product),
        Sight::Card { .. } => false,
    });
    let name = match (name.is_empty(), known) {
        (false, _) => name.clone(),
        (true, Some(model)) => model.full_name(),
        (true, None) => "a key".to_owned(),
    };
    format!("{name} ({vendor:04x}:{product:04x} at {port})")
}

fn off(about: &str, interface: Kind, switch_on: Option<&str>) -> Finding {
    let what = match interface {
        Kind::Hid => "its HID interface for one-time passwords is not there",
        Kind::Card => "its card interface (CCID) is not there",
    };
    match switch_on {
        Some(how) => finding(
            about,
            Verdict::Note,
            "interface_off",
            format!("{what}: switched off, or a model without"),
        )
        .help(how),
        None => finding(about, Verdict::Problem, "interface_missing", what)
            .help("plug it in again, at another port"),
    }
}

/// `None` if the key has no such interface.
fn by_hid(facts: &Facts, device: &UsbDevice, about: &str, driver: &str) -> Option<Vec<Finding>> {
    let is_its = |node: &&HidNode| {
        let candidate = &node.candidate;
        (candidate.vendor_id, candidate.product_id) == (device.vendor, device.product)
            && models::of(&Candidate::Hid(candidate.clone())).any(|model| model.driver == driver)
    };
    let nodes: Vec<&HidNode> = facts.hid.iter().filter(is_its).collect();
    if nodes.is_empty()
        && device.classes.contains(&HID_CLASS)
        && !facts.hid.iter().any(|node| same_key(node, device))
    {
        // The interface is there, and the kernel has made no node of it.
        let text = "the kernel has no hidraw node for it";
        return Some(vec![
            finding(about, Verdict::Problem, "no_hidraw", text)
                .help("load the module `hidraw`, and `usbhid`"),
        ]);
    }
    (!nodes.is_empty()).then(|| nodes.iter().map(|node| by_node(facts, about, node)).collect())
}

/// How the kernel makes a node.
const ROOT_ONLY: &str = "root:root 0600";

/// USB classes.
const HID_CLASS: u8 = 0x03;
const CARD_CLASS: u8 = 0x0B;

fn same_key(node: &HidNode, device: &UsbDevice) -> bool {
    (node.candidate.vendor_id, node.candidate.product_id) == (device.vendor, device.product)
}

fn by_node(facts: &Facts, about: &str, node: &HidNode) -> Finding {
    let path = &node.candidate.path;
    match &node.access {
        Access::Granted => {
            let what = format!("HID: {path} can be opened");
            let others: Vec<String> =
                node.holders.iter().map(|(name, process)| format!("{name} ({process})")).collect();
            if facts.me.root && node.owner == ROOT_ONLY {
                let what = format!("HID: root may open {path}, and nobody else ({})", node.owner);
                return finding(about, Verdict::Note, "node_root_only", what).help(
                    "let a server that is not root in: install the rules that --udev-rules group prints",
                );
            }
            if others.is_empty() {
                return finding(about, Verdict::Well, "hid_ready", what);
            }
            // A server of ours has it open all the time.
            let ours = node.holders.iter().all(|(name, _)| name == "fobd");
            let verdict = if ours { Verdict::Well } else { Verdict::Note };
            finding(about, verdict, "hid_in_use", format!("{what}, and {} has it open", others.join(", ")))
        }
        Access::Missing => {
            finding(about, Verdict::Problem, "node_missing", format!("HID: {path} is not there"))
                .help("in a container: hand the node in; else restart udev")
        }
        Access::Failed(why) => finding(about, Verdict::Problem, "node_failed", format!("HID: {path}: {why}")),
        Access::Denied => {
            let who = if facts.me.user.is_empty() { "this user" } else { &facts.me.user };
            let what = format!("HID: {who} may not open {path} ({})", node.owner);
            finding(about, Verdict::Problem, "node_denied", what).help(way_in(&facts.rules, &facts.me))
        }
    }
}

/// How somebody gets at a node that is closed.
fn way_in(rules: &[String], me: &Me) -> String {
    const RULES: &str = "fobd device doctor --udev-rules group | sudo tee /etc/udev/rules.d/70-fobd.rules, then \
                         `sudo udevadm control --reload && sudo udevadm trigger --subsystem-match=hidraw`";
    let mut steps = Vec::new();
    let for_group = rules.iter().any(|rule| rule.contains("70-fobd"));
    if rules.is_empty() {
        steps.push(format!("install the rules: {RULES}"));
    }
    if !rules.is_empty() && !for_group {
        // Only those for the seat are there: nobody sits here.
        steps.push(format!("nobody sits at this machine, so for a server or over ssh: {RULES}"));
    }
    if !me.group_exists {
        steps.push("make the group: sudo groupadd --system fobd".to_owned());
    }
    if !me.in_group {
        let user = if me.user.is_empty() { "USER" } else { &me.user };
        steps.push(format!("sudo usermod --append --groups fobd {user}, and log in again"));
    }
    if steps.is_empty() {
        steps.push("plug it in again: the rules are there, but were not applied to it".to_owned());
    }
    steps.join("; ")
}

/// `None` if the key has no such interface.
fn by_card(
    facts: &Facts,
    device: &UsbDevice,
    about: &str,
    claimed: &mut Vec<String>,
) -> Option<Vec<Finding>> {
    if !device.classes.contains(&CARD_CLASS) {
        return None;
    }
    // What is wrong with pcscd itself is said once.
    let Readers::Listed(readers) = &facts.readers else { return Some(Vec::new()) };
    let is_free = |reader: &&Reader| !claimed.contains(&reader.name) && is_reader_of(reader, device);
    let Some(reader) = readers.iter().find(is_free) else {
        let text = "pcscd does not know its card interface";
        return Some(vec![
            finding(about, Verdict::Problem, "no_reader", text).help(without_reader(&facts.programs)),
        ]);
    };
    claimed.push(reader.name.clone());
    let what = format!("card: reader `{}`", reader.name);
    Some(vec![if reader.exclusive {
        finding(about, Verdict::Problem, "exclusive", format!("{what} is held by another program"))
            .help(let_go(&facts.programs))
    } else if reader.card.is_none() {
        finding(about, Verdict::Problem, "mute", format!("{what} does not answer"))
            .help(format!("plug it in again; {}", let_go(&facts.programs)))
    } else {
        finding(about, Verdict::Well, "card_ready", format!("{what} answers"))
    }])
}

/// Whether a reader is that key: pcscd takes its name from the key.
fn is_reader_of(reader: &Reader, device: &UsbDevice) -> bool {
    let name = reader.name.to_lowercase();
    let by_name = !device.name.is_empty() && name.contains(&device.name.to_lowercase());
    let maker = match device.vendor {
        0x1050 => "yubico",
        0x20A0 if device.product == 0x42D4 => "canokey",
        0x20A0 => "nitrokey",
        0x1209 => "solo",
        0x349E => "token2",
        _ => return by_name,
    };
    by_name || name.contains(maker)
}

fn without_reader(programs: &[(String, u32)]) -> String {
    let install = "install libccid and start pcscd again";
    if programs.is_empty() { install.to_owned() } else { format!("{}; else {install}", let_go(programs)) }
}

fn let_go(programs: &[(String, u32)]) -> String {
    let help = |(name, process): &(String, u32)| match name.as_str() {
        "scdaemon" => format!(
            "`gpgconf --kill scdaemon` (process {process}), and `disable-ccid` in ~/.gnupg/scdaemon.conf, so that GnuPG \
             uses pcscd, with `pcsc-shared`, so that it leaves room for others"
        ),
        _ => format!("end {name} (process {process})"),
    };
    if programs.is_empty() {
        return "end the program that uses it".to_owned();
    }
    programs.iter().map(help).collect::<Vec<_>>().join("; ")
}

/// What is wrong with pcscd, if somebody needs it.
fn service(facts: &Facts) -> Option<Finding> {
    let needed = facts.usb.iter().any(|device| device.classes.contains(&CARD_CLASS));
    // Without a card key nobody may want it; NFC tokens would.
    let verdict = if needed { Verdict::Problem } else { Verdict::Note };
    match &facts.readers {
        Readers::Listed(_) => None,
        Readers::Silent(detail) if facts.pcscd_socket => Some(
            finding("pcscd", verdict, "pcscd_silent", format!("its socket is there, but it does not answer ({detail})"))
                .help("restart it: sudo systemctl restart pcscd; in a container its version must be that of the client"),
        ),
        Readers::Silent(detail) => Some(
            finding("pcscd", verdict, "pcscd_absent", format!("it is not running ({detail}): no card can be reached"))
                .help("sudo apt install pcscd libccid && sudo systemctl enable --now pcscd.socket"),
        ),
        Readers::Denied(detail) => {
            let user = if facts.me.user.is_empty() { "fobd" } else { &facts.me.user };
            let rule = format!(
                "allow it by polkit, in /etc/polkit-1/rules.d/50-fobd.rules: polkit.addRule(function(action, subject) \
                 {{ if (action.id.indexOf(\"org.debian.pcsc-lite.\") == 0 && subject.user == \"{user}\") \
                 return polkit.Result.YES; }});"
            );
            Some(
                finding("pcscd", verdict, "pcscd_denied", format!("it does not let {user} in ({detail})")).help(rule),
            )
        }
    }
}

/// A reader that is no key known by USB.
fn reader_alone(facts: &Facts, reader: &Reader) -> Finding {
    let about = format!("reader {}", reader.name);
    if reader.exclusive {
        return finding(&about, Verdict::Problem, "exclusive", "its card is held by another program")
            .help(let_go(&facts.programs));
    }
    if reader.mute {
        return finding(&about, Verdict::Problem, "mute", "its card does not answer")
            .help("turn the card round, or lay it down again");
    }
    match reader.card {
        Some(_) => finding(&about, Verdict::Well, "card_ready", "there is a card, and it answers"),
        None => finding(&about, Verdict::Note, "no_card", "no card is in it")
            .help("put one in, or hold the token against it until the job is done"),
    }
}

/// What a server says of its devices.
fn server(server: &Server) -> Vec<Finding> {
    let list = match server {
        Server::NotAsked | Server::Absent => return Vec::new(),
        Server::Refuses(why) => return vec![finding("server", Verdict::Note, "server_refuses", why.clone())],
        Server::Tells(list) => list,
    };
    let text = |row: &Value, name: &str| row[name].as_str().unwrap_or_default().to_owned();
    let rows = |name: &str| list[name].as_array().cloned().unwrap_or_default();
    let mut findings = Vec::new();
    for bus in rows("buses") {
        if let Some(error) = bus["error"].as_str() {
            let what = format!("the server sees nothing over {}: {error}", text(&bus, "name"));
            findings.push(finding("server", Verdict::Note, "server_bus", what));
        }
    }
    for row in rows("rows") {
        let (state, about) = (text(&row, "state"), format!("{} in the server", text(&row, "id")));
        findings.push(match state.as_str() {
            "failed" => finding(&about, Verdict::Problem, "server_failed", text(&row, "error")),
            "ambiguous" => {
                finding(&about, Verdict::Problem, "server_ambiguous", "its serial is plugged in twice").help(
                    "pull one of the two out: one is a copy, or lies on a reader and sits in a port at once",
                )
            }
            _ => finding(&about, Verdict::Well, "server_sees", state),
        });
    }
    findings
}
