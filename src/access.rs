//! Who is calling and what they may.

pub mod attempts;
pub mod login;
pub mod password;

use crate::model::role::Role;

/// Who is calling.
#[derive(Clone, Debug)]
pub struct Caller {
    /// Name of the operator, as the audit log shows it.
    pub name: String,
    /// What the operator may do.
    pub role: Role,
}
