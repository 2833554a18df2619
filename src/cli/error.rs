//! What a command comes to, and the exit code for it.

use std::path::PathBuf;
use std::process::ExitCode;

use super::client::ClientError;

/// A command that was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done, or accepted.
    Done,
    /// The passcode was rejected.
    Rejected,
    /// A job goes on in the server.
    Unfinished,
    /// Something is in the way of a device.
    Trouble,
    /// The audit log is not what it was.
    NotIntact,
    /// The audit log may have been cut off.
    NotProven,
}

impl Outcome {
    /// The exit code.
    #[must_use]
    pub fn exit_code(self) -> ExitCode {
        ExitCode::from(match self {
            Self::Done => 0,
            Self::Rejected | Self::Trouble | Self::NotIntact => 1,
            Self::Unfinished => 6,
            Self::NotProven => 7,
        })
    }
}

/// Why a command was not carried out.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// The call failed.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The file that says whom to trust holds no certificate.
    #[error("{}: no certificate in PEM in it", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A call on behalf of a job failed; the job itself goes on.
    #[error("{source}")]
    Following {
        /// The job.
        job: String,
        /// What failed.
        #[source]
        source: ClientError,
    },
    /// The server answered, but not what the API says.
    #[error("the server's answer to {method} lacks `{member}`")]
    Reply {
        /// The method called.
        method: &'static str,
        /// What is missing.
        member: &'static str,
    },
    /// A job ended without success.
    #[error("job {job} ended as {state}: {detail}")]
    Job {
        /// The job.
        job: String,
        /// Its state.
        state: String,
        /// What the server says of it.
        detail: String,
    },
    /// A file cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A file holds no UTF-8 text.
    #[error("{} is not UTF-8 text", .path.display())]
    NotText {
        /// The file.
        path: PathBuf,
    },
    /// A file is too large for one request.
    #[error("{} has {bytes} bytes, which is more than one request takes", .path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: usize,
    },
    /// A file or an answer is empty.
    #[error("the {what} is empty")]
    Empty {
        /// What was to be given.
        what: &'static str,
    },
    /// Two answers should be equal.
    #[error("the two PINs differ")]
    PinsDiffer,
    /// Two answers should be equal.
    #[error("the two passwords differ")]
    PasswordsDiffer,
    /// The system gives no random bytes.
    #[error("the system gives no random bytes: give a password")]
    NoRandom,
    /// There is nobody to ask.
    #[error("cannot ask for the {what}: there is no terminal")]
    NoTerminal {
        /// What was to be asked.
        what: &'static str,
        /// The option to use.
        instead: &'static str,
    },
    /// Standard input cannot be read.
    #[error("cannot read standard input: {0}")]
    Input(#[source] std::io::Error),
    /// The parameters of `call` are no JSON.
    #[error("the parameters are not JSON: {0}")]
    Parameters(#[source] serde_json::Error),
    /// A file cannot be written.
    #[error("cannot write {}: {source}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// What the server sent ends too early.
    #[error("the answer was cut off")]
    CutOff,
    /// A file of the store cannot be used.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// A key or a head that was given is none.
    #[error("{what}: {problem}")]
    NotAProof {
        /// The option, or the file.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A file or directory cannot be used.
    #[error("{}: {problem}", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A token would cross the network in the open, or to nobody knows whom.
    #[error("{server} does not begin with https://, and agents speak TLS only")]
    NotHttps {
        /// The server.
        server: String,
    },
    /// The server shows another certificate than it should.
    #[error("{server} shows a certificate with the fingerprint {seen}: nothing was sent to it")]
    OtherServer {
        /// The server.
        server: String,
        /// The fingerprint of its certificate.
        seen: String,
    },
    /// A server that is known by its certificate does not answer.
    #[error("cannot reach {server}: {problem}")]
    NoAnswer {
        /// The server.
        server: String,
        /// What is in the way.
        problem: String,
    },
    /// Somebody said no.
    #[error("not confirmed, nothing was done")]
    NotConfirmed,
}

impl CliError {
    /// The exit code.
    #[must_use]
    pub fn exit_code(&self) -> ExitCode {
        ExitCode::from(self.code())
    }

    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Client(error) | Self::Following { source: error, .. } => match error {
                ClientError::Refused { .. } => 3,
                ClientError::BadServer { .. } | ClientError::PlainHttp { .. } => 2,
                ClientError::Unreachable { .. }
                | ClientError::Overloaded { .. }
                | ClientError::NotUnderstood { .. } => 4,
                ClientError::Unauthorised { .. } | ClientError::Forbidden { .. } => 5,
            },
            Self::Job { .. } => 3,
            Self::Reply { .. } | Self::CutOff | Self::OtherServer { .. } | Self::NoAnswer { .. } => 4,
            Self::Read { .. }
            | Self::Write { .. }
            | Self::Store(_)
            | Self::NotAProof { .. }
            | Self::NoCertificate { .. }
            | Self::NotText { .. }
            | Self::TooLarge { .. }
            | Self::Empty { .. }
            | Self::PinsDiffer
            | Self::PasswordsDiffer
            | Self::NoRandom
            | Self::NoTerminal { .. }
            | Self::Input(_)
            | Self::Parameters(_)
            | Self::Unusable { .. }
            | Self::NotHttps { .. }
            | Self::NotConfirmed => 2,
        }
    }

    /// What to do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Client(error) => error.hint(),
            Self::Following { job, .. } => {
                Some(format!("the job goes on in the server: `fobd job show {job}` tells how it stands"))
            }
            Self::Job { state, .. } if state == "wipe_before_use" => {
                Some("empty the slot before anything else: `fobd device erase`".to_owned())
            }
            Self::NotText { .. } => Some("convert it first, for example with `iconv -t UTF-8`".to_owned()),
            Self::TooLarge { .. } => Some("send it as a stream to POST /import".to_owned()),
            Self::NoTerminal { instead, .. } => Some(format!("use {instead}")),
            Self::OtherServer { .. } => {
                Some("ask an admin for `fobd group show`, and compare before you believe it".to_owned())
            }
            Self::NotConfirmed => Some("--yes confirms beforehand".to_owned()),
            _ => None,
        }
    }
}
