//! An attempt that failed, as it is handed in to be looked at: what was typed, and what the decision knew.
//!
//! It lives in memory only, for as long as it waits, and has no `Debug`: what was typed may be half right.

use zeroize::Zeroizing;

use crate::model::id::{AssignmentId, TokenId, UserId};
use crate::otp::factor::FactorState;
use crate::otp::time::Timestamp;
use crate::otp::verify::Finding;

/// What was typed.
pub enum Typed {
    /// PIN and passcode of a login.
    Login(Zeroizing<String>),
    /// The passcodes of a resync.
    Passcodes(Vec<Zeroizing<String>>),
}

/// An attempt that failed.
pub struct Case {
    /// When it was decided.
    pub at: Timestamp,
    /// The method that was called.
    pub action: &'static str,
    /// How it ended, as the audit log has it.
    pub outcome: &'static str,
    /// The policies that decided.
    pub policy: String,
    /// What was typed.
    pub typed: Typed,
    /// Who it was for; none for nobody who is known.
    pub user: Option<UserId>,
    /// Until when that user is locked.
    pub user_locked: Option<Timestamp>,
    /// Whether the client address is locked.
    pub source_locked: bool,
    /// The tokens that were asked, in their order.
    pub tokens: Vec<Asked>,
}

/// A token that was asked.
pub struct Asked {
    /// The token.
    pub token: TokenId,
    /// Who has it.
    pub user: Option<UserId>,
    /// How it is assigned.
    pub assignment: Option<AssignmentId>,
    /// Where it stood before; none to look now.
    pub before: Option<FactorState>,
    /// Until when it is locked.
    pub locked: Option<Timestamp>,
    /// Whether a PIN is set.
    pub has_pin: bool,
    /// What it had to say; none for a resync, which asks no PIN.
    pub finding: Option<Finding>,
}

impl Case {
    /// Whom it may be counted on, so that one token or user is not looked at again and again.
    pub(super) fn key(&self) -> (Option<TokenId>, Option<UserId>) {
        match self.tokens.as_slice() {
            [only] => (Some(only.token), None),
            _ => (None, self.user),
        }
    }
}
