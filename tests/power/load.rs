//! The load: holders that log in, a helpdesk, imports, new tokens and an auditor, all at once and without an end.

use std::sync::{Mutex, TryLockError};

use serde_json::{Value as Json, json};

use super::guest::Guest;
use super::history::{Deed, Fault, Line};
use super::tokens::Token;

const HOLDERS: usize = 5;
/// Tokens of one import: enough for several pieces of the writer.
pub const FILE_ROWS: u64 = 60;

/// A generator of the `SplitMix64` kind: small, and the same on every machine.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// The load on one server.
struct Load<'g> {
    guest: &'g Guest,
    /// Who works with a token has it in the hand.
    hands: Vec<Mutex<()>>,
}

/// Works until the power is cut.
pub fn load(guest: &Guest, seed: u64) {
    let load = &Load { guest, hands: Token::all().map(|_| Mutex::new(())).collect() };
    let mut random = Random(seed);
    std::thread::scope(|scope| {
        for _ in 0..HOLDERS {
            let mut random = Random(random.next());
            scope.spawn(move || guest.for_ever(|| load.log_in(&mut random)));
        }
        let mut random = Random(random.next());
        scope.spawn(move || guest.for_ever(|| load.help(&mut random)));
        scope.spawn(move || guest.for_ever(|| load.import()));
        scope.spawn(move || guest.for_ever(|| load.create()));
        scope.spawn(move || guest.for_ever(|| load.sign()));
    });
}

impl Load<'_> {
    fn with_a_token(&self, random: &mut Random, work: impl FnOnce(Token, &mut Random)) {
        loop {
            let token = Token(random.below(self.hands.len() as u64) as usize);
            match self.hands[token.0].try_lock() {
                Ok(_held) => return work(token, random),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Poisoned(_)) => panic!("somebody has failed"),
            }
        }
    }

    fn log_in(&self, random: &mut Random) {
        self.with_a_token(random, |token, _| {
            let known = self.guest.known(token);
            let Some(factor) = token.next_factor(known.asked, 0) else { return };
            if !self.guest.is_let_in(token, &known.pin, factor) {
                self.guest.found(Fault::Wrong, format!("{} is not let in with {factor}", token.serial()));
            }
        });
    }

    /// What a helpdesk does with counter-based tokens.
    fn help(&self, random: &mut Random) {
        self.with_a_token(random, |token, random| {
            if token.is_timed() {
                return;
            }
            let known = self.guest.known(token);
            let params = |name: &str, value: Json| json!({"token": token.selector(), name: value});
            match random.below(4) {
                0 => {
                    let (first, second) = (known.asked + 2, known.asked + 3);
                    let passcodes = format!("{},{}", token.passcode(first), token.passcode(second));
                    let deed = Deed::Sync { token, floor: second + 1 };
                    self.guest.does(deed, "token/syncToken", params("credential", passcodes.into()));
                }
                1 => {
                    let floor = known.asked + 5;
                    let attrs = json!({ "counter": floor });
                    self.guest.does(Deed::Reset { token, floor }, "token/reset", params("attrs", attrs));
                }
                _ if !token.has_pin() => {}
                way => {
                    let pin = (known.pin.parse::<u32>().expect("a PIN") + 1).to_string();
                    let deed = Deed::Pin { token, pin: pin.clone() };
                    let mut params = params("attrs", json!({ "pin": pin }));
                    params["user"] = token.user();
                    if way == 2 {
                        params["attrs"]["oldPin"] = known.pin.into();
                        self.guest.does(deed, "token/changePin", params);
                    } else {
                        self.guest.does(deed, "token/setPin", params);
                    }
                }
            }
        });
    }

    fn import(&self) {
        let file = self.guest.recall(|history| history.imports.next());
        let data: String = (0..FILE_ROWS).map(|row| format!("I{file}-{row},{:040x}\n", file + row)).collect();
        let product = json!({"manufacturerCode": "YK", "productCode": "OH"});
        let params = json!({"attrs": {"product": product, "data": data}});
        self.guest.does(Deed::Import(file), "token/import", params);
    }

    fn create(&self) {
        let number = self.guest.recall(|history| history.creations.next());
        let product = json!({"manufacturerCode": "YK", "productCode": "OH"});
        let params = json!({"attrs": {"product": product, "serial": format!("C{number}")}});
        self.guest.does(Deed::Create(number), "token/create", params);
    }

    /// Takes a signed head of the audit log away.
    fn sign(&self) {
        self.guest.say(Line::Asked(Deed::Head(None)));
        let (status, head) = self.guest.client.get_as("/audit/head").expect("an answer");
        assert_eq!(status, 200, "{head}");
        let head: Json = serde_json::from_str(&head).expect("JSON");
        self.guest.say(Line::Told(Deed::Head(Some(head.to_string()))));
    }
}
