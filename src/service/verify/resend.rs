//! A verify that is sent again: the same caller, name and content get the answer that stands.

use super::{Answer, METHOD, Question, Verify};
use crate::access::Caller;
use crate::otp::resend::{Kept, Mark, Resend};
use crate::otp::time::Timestamp;
use crate::service::guards::{self, Guards};
use crate::store::audit;
use crate::store::hot::{Decision, Rows};
use crate::store::resends::Decided;

/// Marks a question that has a name.
pub(super) fn mark(guards: &Guards, caller: &Caller, question: &Question) -> Option<Mark> {
    let name = question.request.as_deref()?;
    let source = question.source.as_deref().unwrap_or_default();
    let mut content = vec![METHOD.as_bytes(), question.words.as_bytes(), source.as_bytes()];
    content.extend(question.new_pin.as_ref().map(|new_pin| new_pin.text().as_bytes()));
    Some(guards.mark(caller, name, &content, &question.typed))
}

impl Verify {
    /// Answers a request whose name was used within the last minute.
    pub(super) fn again(
        &self,
        rows: &Rows,
        now: Timestamp,
    ) -> Option<(<Self as Decision>::Reply, audit::Entry)> {
        let mark = self.mark?;
        let resend = rows.resends.get(&mark.request)?.compare(&mark, now)?;
        let mut entry = audit::Entry {
            operator: self.operator.clone(),
            action: METHOD,
            token: self.question.token,
            user: self.question.user,
            outcome: "resent",
            detail: String::new(),
        };
        let Resend::Same(decision) = resend else {
            entry.outcome = "request_reused";
            return Some((Err(guards::reused()), entry));
        };
        let (answer, said) = match decision {
            Decided::Accepted { token, user } => {
                (entry.token, entry.user) = (Some(token), user);
                (Answer::Accepted { token, user }, "accepted")
            }
            Decided::PinChangeDue => (Answer::PinChangeDue, "pin_change_due"),
            Decided::Rejected => (Answer::Rejected, ""),
        };
        said.clone_into(&mut entry.detail);
        Some((Ok((answer, entry.outcome)), entry))
    }

    /// Keeps the answer for who asks again. A new PIN that was refused has changed nothing: the next one is another
    /// question.
    pub(super) fn keep(&self, rows: &mut Rows, answer: &Answer, now: Timestamp) {
        let Some(Mark { request, content }) = self.mark else { return };
        let decision = match answer {
            Answer::Accepted { token, user } => Decided::Accepted { token: *token, user: *user },
            Answer::PinChangeDue => Decided::PinChangeDue,
            Answer::Rejected => Decided::Rejected,
            Answer::NewPinRefused(_) => return,
        };
        rows.resends.keep(request, Kept { content, at: now, decision });
    }
}
