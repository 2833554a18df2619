//! What the clients asked for and what they were told, line by line on the console of the guest: the one thing of
//! theirs that a power cut leaves.
//!
//! A line is JSON. The question is written before it is sent, the answer once it is there; so what was asked and not
//! told may have been done or not, and what was told must have been.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::tokens::{FIRST_PIN, Token};

/// What a client can ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Deed {
    /// The passcode of this moving factor is accepted.
    Verify { token: Token, factor: u64 },
    /// A resync by two passcodes; `floor` is the factor after them.
    Sync { token: Token, floor: u64 },
    /// A reset that moves the counter to `floor`.
    Reset { token: Token, floor: u64 },
    /// A new PIN.
    Pin { token: Token, pin: String },
    /// An import, by its number.
    Import(u64),
    /// A token without a device, by its number.
    Create(u64),
    /// A signed head of the audit log: all rows up to it are promised.
    Head(Option<String>),
}

/// How the server was caught.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    /// A passcode that was accepted once was accepted again.
    AcceptedTwice,
    /// Something that a client was told is not there.
    Lost,
    /// Something is there in part, or nobody asked for it, or what must be taken is refused.
    Wrong,
}

/// A line of the console.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Line {
    /// The disk is mounted; the server is about to start.
    Mounted,
    /// A client is about to send this.
    Asked(Deed),
    /// A client has got the answer that it is done.
    Told(Deed),
    /// What the server says after a cut: from here on nothing that was asked before is in doubt.
    Seen { token: Token, floor: u64 },
    /// The server was caught.
    Found(Fault, String),
    /// The server was compared with all lines before; the load begins.
    Checked,
}

impl Line {
    /// Reads a line. A torn one at the end of a console is none.
    pub fn read(text: &str) -> Option<Self> {
        serde_json::from_str(text.strip_suffix('\n')?).ok()
    }

    /// The line with its end.
    pub fn text(&self) -> String {
        serde_json::to_string(self).unwrap() + "\n"
    }
}

/// One token as its clients know it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// All factors below are spent.
    pub told: u64,
    /// No factor from here on was ever sent.
    pub asked: u64,
    /// The factors that were let in.
    pub accepted: Vec<u64>,
    /// Whether any was spent since the last cut.
    pub used: bool,
    /// Resyncs and resets that were done.
    pub synced: usize,
    pub reset: usize,
    /// The PIN, the one before, and one that may have come after.
    pub pin: String,
    pub former_pin: Option<String>,
    pub asked_pin: Option<String>,
}

impl Default for Known {
    fn default() -> Self {
        let pin = FIRST_PIN.to_owned();
        Self {
            told: 0,
            asked: 0,
            accepted: Vec::new(),
            used: false,
            synced: 0,
            reset: 0,
            pin,
            former_pin: None,
            asked_pin: None,
        }
    }
}

impl Known {
    fn has_pin(&mut self, pin: String) {
        self.asked_pin = None;
        if self.pin != pin {
            self.former_pin = Some(std::mem::replace(&mut self.pin, pin));
        }
    }
}

/// Numbers by whether a client was told that they were made.
#[derive(Clone, Debug, Default)]
pub struct Made {
    pub asked: BTreeSet<u64>,
    pub told: BTreeSet<u64>,
}

impl Made {
    fn asked(&mut self, number: u64) {
        self.asked.insert(number);
    }

    fn told(&mut self, number: u64) {
        self.asked(number);
        self.told.insert(number);
    }

    /// A number that was never asked for.
    pub fn next(&self) -> u64 {
        self.asked.last().map_or(0, |last| last + 1)
    }
}

/// All lines so far, folded.
#[derive(Clone, Debug)]
pub struct History {
    pub tokens: Vec<Known>,
    pub imports: Made,
    pub creations: Made,
    pub heads: Vec<String>,
}

impl Default for History {
    fn default() -> Self {
        let tokens = Token::all().map(|_| Known::default()).collect();
        Self { tokens, imports: Made::default(), creations: Made::default(), heads: Vec::new() }
    }
}

impl History {
    /// Reads a console.
    pub fn read(console: &str) -> Self {
        let mut history = Self::default();
        console.split_inclusive('\n').filter_map(Line::read).for_each(|line| history.note(line));
        history
    }

    /// Takes one more line.
    pub fn note(&mut self, line: Line) {
        match line {
            Line::Asked(deed) => self.asked(deed),
            Line::Told(deed) => self.told(deed),
            Line::Seen { token, floor } => {
                let known = &mut self.tokens[token.0];
                (known.told, known.asked, known.used) = (floor, floor, false);
            }
            Line::Mounted | Line::Found(..) | Line::Checked => {}
        }
    }

    fn asked(&mut self, deed: Deed) {
        match deed {
            Deed::Verify { token, factor } => self.may_reach(token, factor + 1),
            Deed::Sync { token, floor } | Deed::Reset { token, floor } => self.may_reach(token, floor),
            Deed::Pin { token, pin } => self.tokens[token.0].asked_pin = Some(pin),
            Deed::Import(number) => self.imports.asked(number),
            Deed::Create(number) => self.creations.asked(number),
            Deed::Head(_) => {}
        }
    }

    fn told(&mut self, deed: Deed) {
        match deed {
            Deed::Verify { token, factor } => self.reaches(token, factor + 1).accepted.push(factor),
            Deed::Sync { token, floor } => self.reaches(token, floor).synced += 1,
            Deed::Reset { token, floor } => self.reaches(token, floor).reset += 1,
            Deed::Pin { token, pin } => self.tokens[token.0].has_pin(pin),
            Deed::Import(number) => self.imports.told(number),
            Deed::Create(number) => self.creations.told(number),
            Deed::Head(head) => self.heads.extend(head),
        }
    }

    fn may_reach(&mut self, token: Token, floor: u64) {
        let known = &mut self.tokens[token.0];
        known.asked = known.asked.max(floor);
    }

    fn reaches(&mut self, token: Token, floor: u64) -> &mut Known {
        self.may_reach(token, floor);
        let known = &mut self.tokens[token.0];
        known.told = known.told.max(floor);
        known.used = true;
        known
    }
}

#[test]
fn a_line_that_the_cut_has_torn_says_nothing() {
    let line = Line::Told(Deed::Verify { token: Token(3), factor: 17 });
    let text = line.text();
    assert_eq!(Line::read(&text), Some(line));
    for end in 0..text.len() {
        assert_eq!(Line::read(&text[..end]), None, "{:?}", &text[..end]);
    }
}

#[test]
fn what_was_asked_is_in_doubt_until_it_was_told_or_seen() {
    let token = Token(3);
    let console = |lines: &[Line]| History::read(&lines.iter().map(Line::text).collect::<String>());
    let floors = |lines: &[Line]| {
        let history = console(lines);
        (history.tokens[3].told, history.tokens[3].asked)
    };
    let verify = Deed::Verify { token, factor: 4 };
    let reset = Deed::Reset { token, floor: 20 };
    let asked = [Line::Asked(verify.clone()), Line::Told(verify), Line::Asked(reset.clone())];
    assert_eq!(floors(&asked[..1]), (0, 5));
    assert_eq!(floors(&asked), (5, 20));
    assert_eq!(floors(&[&asked[..], &[Line::Told(reset)]].concat()), (20, 20));
    assert_eq!(floors(&[&asked[..], &[Line::Seen { token, floor: 5 }]].concat()), (5, 5));

    let pin = Deed::Pin { token, pin: "2222".to_owned() };
    let known = &console(&[Line::Asked(pin.clone())]).tokens[3];
    assert_eq!((known.pin.as_str(), known.asked_pin.as_deref()), (FIRST_PIN, Some("2222")));
    let known = &console(&[Line::Asked(pin.clone()), Line::Told(pin)]).tokens[3];
    assert_eq!(
        (known.pin.as_str(), known.former_pin.as_deref(), &known.asked_pin),
        ("2222", Some(FIRST_PIN), &None)
    );
}
