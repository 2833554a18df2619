//! `kill -9` under load: what the clients were told is what the next start finds.
//!
//! Client threads verify fresh passcodes, make users and import small files, and keep a history of their own. At a
//! random moment the server is killed and started again on the same directory. Then, from that history alone:
//! each change that was acknowledged is there, one that was not is there wholly or not at all, and no passcode
//! that was accepted once is accepted again. `SEED=` repeats the random choices, though not the moment within the
//! server at which the kill arrives.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fobd::otp::algorithm::Algorithm;
use serde_json::{Value as Json, json};

use crate::otp_oracle::passcode;
use crate::support::client::Client;
use crate::support::program::Installation;
use crate::support::{furnish, import_hotp};

const ROUNDS: usize = 5;
const TOKENS: usize = 48;
const VERIFIERS: usize = 6;
/// Tokens of one import file.
const FILE_ROWS: u64 = 3;

/// A generator of the `SplitMix64` kind: small, and the same on every machine.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// One token as its clients know it.
struct Token {
    number: usize,
    /// The counter whose passcode the device shows next.
    next: u64,
    /// Counters whose passcodes were accepted.
    accepted: Vec<u64>,
    /// The counter of a passcode that was sent and never answered.
    unanswered: Option<u64>,
}

impl Token {
    fn secret(&self) -> String {
        format!("secret of token {:04}", self.number)
    }

    fn serial(&self) -> String {
        format!("T{:04}", self.number)
    }

    /// Every second one is assigned to a user and has a PIN.
    fn pin(&self) -> Option<&'static str> {
        self.number.is_multiple_of(2).then_some("2468")
    }

    fn user(&self) -> Json {
        json!({"domain": {"name": "acme"}, "loginName": format!("owner{}", self.number)})
    }

    /// Ten digits: of six, one in some thousands is by chance that of another counter in the window, which would look
    /// like a passcode that was accepted again.
    fn question(&self, counter: u64) -> Json {
        let passcode = passcode(self.secret().as_bytes(), Algorithm::Sha1, 10, counter);
        match self.pin() {
            Some(pin) => {
                json!({"user": self.user(), "credential": {"otp": format!("{pin}{passcode}")}})
            }
            None => json!({"token": {"serial": self.serial()}, "credential": {"otp": passcode}}),
        }
    }

    fn is_accepted(&self, client: &Client, counter: u64) -> bool {
        client.ok("auth/verify", self.question(counter))["accepted"] == json!(true)
    }
}

/// Names of things that were asked for, by whether the server said that it made them.
#[derive(Default)]
struct Made {
    acknowledged: BTreeSet<String>,
    unanswered: BTreeSet<String>,
}

impl Made {
    /// What is there must be what was acknowledged, and besides only what was never answered.
    fn check(&self, what: &str, there: &BTreeSet<String>) {
        let lost: Vec<_> = self.acknowledged.difference(there).collect();
        assert!(lost.is_empty(), "acknowledged and lost: {what} {lost:?}");
        let strange: Vec<_> = there.iter().filter(|name| !self.knows(name)).collect();
        assert!(strange.is_empty(), "nobody asked for {what} {strange:?}");
    }

    fn knows(&self, name: &str) -> bool {
        self.acknowledged.contains(name) || self.unanswered.contains(name)
    }
}

#[derive(Default)]
struct History {
    tokens: Vec<Mutex<Token>>,
    users: Mutex<Made>,
    imports: Mutex<Made>,
    names: AtomicU64,
    /// The server is being killed: from now on a broken connection is no fault.
    killed: AtomicBool,
}

impl History {
    /// Sends a call that must succeed if it is answered. `None` if the server died before it answered.
    fn call(&self, client: &Client, method: &str, params: &Json) -> Option<Json> {
        match client.try_call(method, params) {
            Ok(Ok(result)) => Some(result),
            Ok(Err(error)) => panic!("{method}: {error:?}"),
            Err(_) if self.killed.load(Ordering::SeqCst) => None,
            Err(error) => panic!("{method}: {error}, and nobody has killed the server"),
        }
    }

    fn verify(&self, client: &Client, random: &mut Random) -> Option<()> {
        let mut token = loop {
            let pick = random.below(self.tokens.len() as u64) as usize;
            // One that another thread is busy with is left to it: it has one device, and that has one user.
            if let Ok(token) = self.tokens[pick].try_lock() {
                break token;
            }
        };
        let counter = token.next;
        token.next += 1;
        match self.call(client, "auth/verify", &token.question(counter)) {
            Some(answer) => {
                assert_eq!(answer, json!({"accepted": true}), "{} at {counter}", token.serial());
                token.accepted.push(counter);
                Some(())
            }
            None => {
                token.unanswered = Some(counter);
                None
            }
        }
    }

    fn make(&self, made: &Mutex<Made>, name: &str, send: impl FnOnce() -> Option<Json>) -> Option<()> {
        let answer = send();
        let mut made = made.lock().unwrap();
        let set = if answer.is_some() { &mut made.acknowledged } else { &mut made.unanswered };
        set.insert(name.to_owned());
        answer.map(|_| ())
    }

    fn make_user(&self, client: &Client) -> Option<()> {
        let name = format!("made{}", self.names.fetch_add(1, Ordering::Relaxed));
        let attrs = json!({"attrs": {"domain.name": "acme", "loginName": name}});
        self.make(&self.users, &name, || self.call(client, "user/create", &attrs))
    }

    fn import(&self, client: &Client) -> Option<()> {
        let file = self.names.fetch_add(1, Ordering::Relaxed);
        let data: String = (0..FILE_ROWS).map(|row| format!("I{file}-{row},{:040x}\n", file + row)).collect();
        let product = json!({"manufacturerCode": "YK", "productCode": "OH"});
        let params = json!({"attrs": {"product": product, "data": data}});
        self.make(&self.imports, &format!("I{file}"), || self.call(client, "token/import", &params))
    }

    /// Compares the server with what its clients remember, and goes on from what it says.
    fn check(&self, client: &Client, random: &mut Random) {
        let all = json!({"return": ["loginName"], "max": 10_000});
        self.users.lock().unwrap().check("users", &made_names(client, "user/search", &all, "loginName"));
        let all = json!({"return": ["serial"], "max": 10_000});
        let rows = made_names(client, "token/search", &all, "serial");
        let files: BTreeSet<String> =
            rows.iter().filter_map(|row| Some(row.split_once('-')?.0.to_owned())).collect();
        self.imports.lock().unwrap().check("imports", &files);
        assert_eq!(rows.len(), files.len() * FILE_ROWS as usize, "an import is there in part");
        for token in &self.tokens {
            check_token(client, &mut token.lock().unwrap(), random);
        }
    }
}

/// The names of what the load has made, without what was there before.
fn made_names(client: &Client, method: &str, params: &Json, name: &str) -> BTreeSet<String> {
    let found = client.ok(method, params.clone());
    let rows = found["rows"].as_array().expect("rows");
    assert_eq!(found["total"], json!(rows.len()), "all rows on one page");
    let names = rows.iter().map(|row| row[name].as_str().expect("a name").to_owned());
    names.filter(|name| name.starts_with("made") || name.starts_with('I')).collect()
}

fn check_token(client: &Client, token: &mut Token, random: &mut Random) {
    let shown = client.ok("token/get", json!({"token": {"serial": token.serial()}, "return": ["counter"]}));
    let counter = shown["counter"].as_u64().expect("a counter");
    let acknowledged = token.accepted.last().map_or(0, |last| last + 1);
    let unanswered = token.unanswered.take().map(|counter| counter + 1);
    assert!(
        counter == acknowledged || Some(counter) == unanswered,
        "{}: counter {counter}, acknowledged {acknowledged}, unanswered {unanswered:?}",
        token.serial()
    );
    // A few of them, and the last: ten failures would lock the token.
    let mut replays: Vec<u64> = token.accepted.last().copied().into_iter().collect();
    if !token.accepted.is_empty() {
        replays.extend((0..2).map(|_| token.accepted[random.below(token.accepted.len() as u64) as usize]));
    }
    for replayed in replays {
        assert!(!token.is_accepted(client, replayed), "{}: {replayed} again", token.serial());
    }
    // An unanswered one is spent or not, as the counter says; the next one is right in any case, and its success
    // clears the failures.
    if let Some(unanswered) = unanswered {
        let spent = counter == unanswered;
        assert_eq!(token.is_accepted(client, unanswered - 1), !spent, "{}", token.serial());
        if !spent {
            token.accepted.push(unanswered - 1);
        }
    }
    assert!(token.is_accepted(client, token.next), "{}: {} is fresh", token.serial(), token.next);
    token.accepted.push(token.next);
    token.next += 1;
}

fn prepare(client: &Client) -> History {
    furnish(client);
    let tokens = (0..TOKENS).map(|number| Token { number, next: 0, accepted: Vec::new(), unanswered: None });
    let tokens: Vec<Token> = tokens.collect();
    let hex = |secret: String| secret.bytes().map(|byte| format!("{byte:02x}")).collect::<String>();
    let rows = tokens.iter().map(|token| format!("{},{},hotp,10\n", token.serial(), hex(token.secret())));
    import_hotp(client, &rows.collect::<String>());
    for token in &tokens {
        let Some(pin) = token.pin() else { continue };
        client.ok("user/create", json!({"attrs": token.user()}));
        let assign =
            json!({"token": {"serial": token.serial()}, "user": token.user(), "attrs": {"pin": pin}});
        client.ok("token/assign", assign);
    }
    History { tokens: tokens.into_iter().map(Mutex::new).collect(), ..History::default() }
}

#[test]
fn a_kill_9_under_load_loses_nothing_acknowledged_and_frees_no_passcode() {
    let seed = std::env::var("SEED").map_or_else(
        |_| SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64,
        |seed| seed.parse().expect("SEED is a number"),
    );
    println!("SEED={seed}");
    let mut random = Random(seed);
    let installation = Installation::new();
    let mut server = installation.start();
    let history = prepare(&server.client);
    for _ in 0..ROUNDS {
        history.killed.store(false, Ordering::SeqCst);
        let pause = Duration::from_millis(20 + random.below(500));
        std::thread::scope(|scope| {
            let (history, base) = (&history, server.client.base.clone());
            let start = |work: fn(&History, &Client, &mut Random) -> Option<()>, seed| {
                let client = Client::new(&base);
                scope.spawn(move || {
                    let mut random = Random(seed);
                    while work(history, &client, &mut random).is_some() {}
                });
            };
            for _ in 0..VERIFIERS {
                start(History::verify, random.next());
            }
            start(|history, client, _| history.make_user(client), 0);
            start(|history, client, _| history.import(client), 0);
            std::thread::sleep(pause);
            history.killed.store(true, Ordering::SeqCst);
            server.kill_9();
        });
        crate::audit::assert_intact(&installation.database());
        // A second crash, somewhere in the start that has to make good for the first.
        let mut starting = installation.spawn();
        std::thread::sleep(Duration::from_millis(random.below(40)));
        starting.kill().expect("kill");
        starting.wait().expect("wait");
        server = installation.start();
        history.check(&server.client, &mut random);
    }
    let accepted: usize = history.tokens.iter().map(|token| token.lock().unwrap().accepted.len()).sum();
    println!("{ROUNDS} crashes, {accepted} passcodes accepted once");
    assert!(accepted > ROUNDS * TOKENS, "the load never got going");
    server.stop();
    let report = crate::audit::assert_intact(&installation.database());
    assert_eq!(report.signed, report.last, "the end is signed");
}
