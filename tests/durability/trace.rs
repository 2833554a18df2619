//! What strace wrote, and what it says about the order of write, fdatasync and send.
//!
//! `strace -f -yy` writes one line for each call, or two where another thread's line came in between:
//!
//! ```text
//! 71 fdatasync(9</data/fobd.db-wal> <unfinished ...>
//! 72 sendto(11<TCP:[127.0.0.1:8480->127.0.0.1:9]>, "HTTP/1.1 200 OK..", 99, MSG_NOSIGNAL, NULL, 0) = 99
//! 71 <... fdatasync resumed>)             = 0
//! ```
//! A call starts at its first line and ends at its second. What starts after a call has ended came after it.

use std::collections::HashMap;
use std::path::Path;

/// Line numbers order the calls of all threads.
type Moment = usize;

/// One system call.
#[derive(Debug, Default)]
struct Call {
    start: Moment,
    end: Moment,
    name: String,
    /// All between the parentheses. Buffers that the kernel fills are in it too.
    arguments: String,
    /// Empty if the call never ended.
    result: String,
}

/// The calls of a run, in the order of their starts.
#[derive(Debug, Default)]
pub struct Trace(Vec<Call>);

/// Why an acceptance was sent too early.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// An answer without a question: the trace cannot be understood.
    NoRequest,
    /// Nothing was written to the write-ahead log between the request and its answer.
    NotWritten,
    /// What was written there had not been synced when the answer left.
    NotSynced,
}

impl Call {
    /// The file or socket that the first argument, a descriptor, stands for.
    fn target(&self) -> Option<&str> {
        let (_, rest) = self.arguments.split_once('<')?;
        // Sockets have `->` inside the brackets.
        let end = rest.find(">,").or_else(|| rest.rfind('>'))?;
        rest.get(..end)
    }

    fn is_on(&self, path: &Path) -> bool {
        self.target() == path.to_str()
    }

    fn is_write(&self) -> bool {
        matches!(&*self.name, "write" | "writev" | "pwrite64" | "pwritev" | "pwritev2" | "sendto" | "sendmsg")
    }

    fn is_sync(&self) -> bool {
        matches!(&*self.name, "fsync" | "fdatasync") && self.result == "0"
    }

    fn is_on_log(&self) -> bool {
        self.target().is_some_and(|target| target.ends_with("/fobd.db-wal"))
    }

    /// The connection, if this is a call on one.
    fn connection(&self) -> Option<&str> {
        self.target().filter(|target| target.starts_with("TCP"))
    }

    fn is_acceptance(&self) -> bool {
        self.is_write() && self.connection().is_some() && self.arguments.contains(r#"\"accepted\":true"#)
    }

    fn is_request(&self) -> bool {
        let reads = matches!(&*self.name, "read" | "readv" | "recvfrom" | "recvmsg");
        reads && self.connection().is_some() && self.arguments.contains(r#"\"auth/verify\""#)
    }
}

impl Trace {
    /// Reads what strace wrote. Lines that are no calls are left out.
    pub fn parse(text: &str) -> Self {
        let mut calls: Vec<Call> = Vec::new();
        let mut unfinished: HashMap<&str, usize> = HashMap::new();
        for (moment, line) in text.lines().enumerate() {
            // Short process ids are padded.
            let Some((pid, rest)) = line.split_once(' ') else { continue };
            let rest = rest.trim_start();
            if let Some(resumed) = rest.strip_prefix("<... ") {
                let Some((_, more)) = resumed.split_once(" resumed>") else { continue };
                let Some(call) = unfinished.remove(pid).and_then(|index| calls.get_mut(index)) else {
                    continue;
                };
                call.end = moment;
                let (arguments, result) = split_result(more);
                call.arguments.push_str(arguments);
                result.clone_into(&mut call.result);
            } else if let Some((name, more)) = rest.split_once('(') {
                let mut call =
                    Call { start: moment, end: Moment::MAX, name: name.to_owned(), ..Call::default() };
                if let Some(arguments) = more.strip_suffix(" <unfinished ...>") {
                    arguments.clone_into(&mut call.arguments);
                    unfinished.insert(pid, calls.len());
                } else {
                    let (arguments, result) = split_result(more);
                    (call.end, call.arguments, call.result) =
                        (moment, arguments.to_owned(), result.to_owned());
                }
                calls.push(call);
            }
        }
        Self(calls)
    }

    /// When a file was written to last.
    pub fn last_write_to(&self, path: &Path) -> Option<Moment> {
        self.0.iter().filter(|call| call.is_write() && call.is_on(path)).map(|call| call.end).next_back()
    }

    /// When the first sync of a file or directory ended that began after a moment.
    pub fn sync_after(&self, path: &Path, after: Moment) -> Option<Moment> {
        self.0
            .iter()
            .find(|call| call.start > after && call.is_sync() && call.is_on(path))
            .map(|call| call.end)
    }

    /// When a file got a new name.
    pub fn rename(&self, from: &Path, to: &Path) -> Option<Moment> {
        let (from, to) = (format!("\"{}\"", from.display()), format!("\"{}\"", to.display()));
        self.0
            .iter()
            .find(|call| {
                call.name.starts_with("rename")
                    && call.result == "0"
                    && call.arguments.contains(&from)
                    && call.arguments.contains(&to)
            })
            .map(|call| call.end)
    }

    /// When the program first wrote to its standard output.
    pub fn first_write_to_stdout(&self) -> Option<Moment> {
        self.0.iter().find(|call| call.name == "write" && call.arguments.starts_with("1<")).map(|c| c.start)
    }
}

/// `ARGUMENTS) = RESULT`, of which the error's name and what a descriptor stands for are left out.
fn split_result(text: &str) -> (&str, &str) {
    let (arguments, result) = text.rsplit_once(" = ").unwrap_or((text, ""));
    let arguments = arguments.trim_end();
    (arguments.strip_suffix(')').unwrap_or(arguments), result.split([' ', '<']).next().unwrap_or_default())
}

/// Counts the acceptances, each of which must have left after a sync of the write-ahead log, and that sync must
/// have begun after a write which came after the request. Where no other request was under way, nothing may be
/// written and not synced at that moment.
pub fn check(trace: &Trace) -> Result<usize, Violation> {
    let calls = &trace.0;
    let writes: Vec<&Call> = calls.iter().filter(|call| call.is_write() && call.is_on_log()).collect();
    let syncs: Vec<&Call> = calls.iter().filter(|call| call.is_sync() && call.is_on_log()).collect();
    let requests: Vec<&Call> = calls.iter().filter(|call| call.is_request()).collect();
    let acceptances: Vec<&Call> = calls.iter().filter(|call| call.is_acceptance()).collect();
    for (answered, acceptance) in acceptances.iter().enumerate() {
        let sent = acceptance.start;
        let asked = requests
            .iter()
            .rfind(|request| request.connection() == acceptance.connection() && request.end < sent)
            .ok_or(Violation::NoRequest)?
            .end;
        let since: Vec<&&Call> =
            writes.iter().filter(|write| asked < write.start && write.start < sent).collect();
        let (Some(first), Some(last)) = (since.first(), since.last()) else {
            return Err(Violation::NotWritten);
        };
        let under_way = requests.iter().filter(|request| request.start < sent).count() - answered;
        // With others under way, the last write may be of a batch that this answer does not wait for.
        let must_be_synced = if under_way == 1 { last } else { first };
        let synced = syncs.iter().any(|sync| must_be_synced.end < sync.start && sync.end < sent);
        if !synced {
            return Err(Violation::NotSynced);
        }
    }
    Ok(acceptances.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: &str = r#"8 recvfrom(11<TCP:[127.0.0.1:80->127.0.0.1:9]>, "POST /rpc\r\n{\"method\":\"auth/verify\"}", 8192, 0, NULL, NULL) = 40"#;
    const WRITE: &str = r#"7 pwrite64(9</d/fobd.db-wal>, "\0\1"..., 4096, 56) = 4096"#;
    const SYNC: &str = "7 fdatasync(9</d/fobd.db-wal>)       = 0";
    const SEND: &str = r#"8 sendto(11<TCP:[127.0.0.1:80->127.0.0.1:9]>, "HTTP/1.1 200 OK\r\n{\"accepted\":true}", 40, MSG_NOSIGNAL, NULL, 0) = 40"#;

    fn verdict(lines: &[&str]) -> Result<usize, Violation> {
        check(&Trace::parse(&lines.join("\n")))
    }

    #[test]
    fn an_answer_after_write_and_sync_passes() {
        assert_eq!(verdict(&[REQUEST, WRITE, WRITE, SYNC, SEND]), Ok(1));
        let two = [REQUEST, WRITE, SYNC, SEND, REQUEST, WRITE, SYNC, SEND];
        assert_eq!(verdict(&two), Ok(2));
    }

    #[test]
    fn a_sync_that_is_missing_early_of_another_file_or_failed_is_caught() {
        let database = "7 fdatasync(8</d/fobd.db>) = 0";
        let failed = "7 fdatasync(9</d/fobd.db-wal>) = -1 EIO (Input/output error)";
        let bad: [&[&str]; 6] = [
            &[REQUEST, WRITE, SEND],
            &[REQUEST, WRITE, SEND, SYNC],
            &[REQUEST, SYNC, WRITE, SEND],
            &[REQUEST, WRITE, SYNC, WRITE, SEND],
            &[REQUEST, WRITE, database, SEND],
            &[REQUEST, WRITE, failed, SEND],
        ];
        for lines in bad {
            assert_eq!(verdict(lines), Err(Violation::NotSynced), "{lines:?}");
        }
    }

    #[test]
    fn a_sync_that_ends_after_the_answer_left_is_caught() {
        let (begins, ends) =
            ("7 fdatasync(9</d/fobd.db-wal> <unfinished ...>", "7 <... fdatasync resumed>)  = 0");
        assert_eq!(verdict(&[REQUEST, WRITE, begins, ends, SEND]), Ok(1));
        assert_eq!(verdict(&[REQUEST, WRITE, begins, SEND, ends]), Err(Violation::NotSynced));
    }

    #[test]
    fn an_answer_without_a_write_since_its_request_is_caught() {
        assert_eq!(verdict(&[REQUEST, SEND]), Err(Violation::NotWritten));
        assert_eq!(verdict(&[WRITE, SYNC, REQUEST, SEND]), Err(Violation::NotWritten));
        let other_connection = REQUEST.replace(":9]", ":10]");
        assert_eq!(verdict(&[&other_connection, WRITE, SYNC, SEND]), Err(Violation::NoRequest));
    }

    #[test]
    fn beside_others_an_answer_waits_for_its_own_batch_only() {
        let (other_request, other_send) = (REQUEST.replace(":9]", ":10]"), SEND.replace(":9]", ":10]"));
        let overlapping = [REQUEST, WRITE, SYNC, &other_request, WRITE, SEND, SYNC, &other_send];
        assert_eq!(verdict(&overlapping), Ok(2));
        let early = [REQUEST, WRITE, SYNC, &other_request, WRITE, SEND, &other_send];
        assert_eq!(verdict(&early), Err(Violation::NotSynced));
    }
}
