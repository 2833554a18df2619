//! Roles and permissions. Each method of the API names one permission; each role has a list of them.

/// What a method needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Permission {
    /// See domains, users, products, repositories.
    DirectoryRead,
    /// Make and change domains and users.
    DirectoryWrite,
    /// Make and change products and repositories.
    CatalogueWrite,
    /// Change what verification is run with.
    PolicyWrite,
    /// See tokens, assignments, jobs and policies.
    TokenRead,
    /// Make, change, assign, import, sync and reset tokens.
    TokenWrite,
    /// Set a counter back (RFC 4226 §7.2 forbids it to anybody else).
    TokenRewind,
    /// Allow the hand-out of a confined secret again.
    TokenRelease,
    /// Have the secret of a software token.
    TokenExport,
    /// Remove tokens from the inventory.
    TokenDelete,
    /// Ask which token shows a passcode. Who may ask that often enough learns passcodes, so it is counted.
    TokenFind,
    /// Ask how the seed of a token was meant, by passcodes that it shows, and read it again so.
    TokenSolve,
    /// Ask whether a passcode is right.
    Verify,
    /// See devices and their slots.
    DeviceRead,
    /// Write and erase slots.
    DeviceProgram,
    /// Let a device tell the passcode of a credential: the power to log in as its user.
    DeviceCalculate,
    /// See, make and change operators, groups and agents, and what lets programs in.
    OperatorManage,
    /// See whether the server's clock is trusted.
    ClockRead,
    /// Say that the server's clock is right.
    ClockAccept,
    /// What needs no login at all: to register by a pre-auth token.
    Anybody,
    /// What an agent does for itself.
    AgentSelf,
    /// Read the audit log.
    AuditRead,
    /// Take old rows out of the audit log.
    AuditPrune,
    /// Change the keys that seal the database.
    KeyRotate,
    /// Take a copy of the whole database.
    Backup,
    /// Read the metrics.
    MetricsRead,
}

/// What an operator is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// May do everything.
    Admin,
    /// Hands out, repairs and takes back tokens.
    Helpdesk,
    /// Looks, and changes nothing.
    Auditor,
    /// A program that asks whether passcodes are right.
    Verifier,
    /// A workstation that lends its ports.
    Station,
    /// A program that collects metrics: its password lies in a file of its own, and opens nothing else.
    Monitor,
}

impl Role {
    /// Every role with its name.
    pub const ALL: &'static [(Self, &'static str)] = &[
        (Self::Admin, "admin"),
        (Self::Helpdesk, "helpdesk"),
        (Self::Auditor, "auditor"),
        (Self::Verifier, "verifier"),
        (Self::Station, "station"),
        (Self::Monitor, "monitor"),
    ];

    /// The name in the table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::Helpdesk => "helpdesk",
            Self::Auditor => "auditor",
            Self::Verifier => "verifier",
            Self::Station => "station",
            Self::Monitor => "monitor",
        }
    }

    /// Reads a name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.iter().find(|(_, name)| *name == text).map(|(role, _)| *role)
    }

    /// Whether the role has the permission.
    #[must_use]
    pub fn grants(self, permission: Permission) -> bool {
        use Permission::{
            AgentSelf, Anybody, AuditRead, ClockRead, DeviceProgram, DeviceRead, DirectoryRead,
            DirectoryWrite, MetricsRead, TokenFind, TokenRead, TokenSolve, TokenWrite, Verify,
        };
        match self {
            _ if permission == Anybody => true,
            Self::Admin => true,
            Self::Helpdesk => matches!(
                permission,
                DirectoryRead
                    | DirectoryWrite
                    | TokenRead
                    | TokenWrite
                    | TokenFind
                    | TokenSolve
                    | DeviceRead
                    | DeviceProgram
                    | Verify
                    | ClockRead
            ),
            Self::Auditor => {
                matches!(
                    permission,
                    DirectoryRead | TokenRead | DeviceRead | AuditRead | MetricsRead | ClockRead
                )
            }
            Self::Verifier => permission == Verify,
            // A station lends its ports over a surface of its own; of the methods, it has those about itself.
            Self::Station => permission == AgentSelf,
            Self::Monitor => permission == MetricsRead,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_admin_may_rewind_read_a_users_passcode_off_a_device_change_keys_or_copy_everything() {
        use Permission::{Backup, DeviceCalculate, KeyRotate, TokenRewind};
        for (role, _) in Role::ALL {
            for permission in [TokenRewind, DeviceCalculate, KeyRotate, Backup] {
                assert_eq!(role.grants(permission), *role == Role::Admin, "{role:?} {permission:?}");
            }
        }
    }

    #[test]
    fn a_verifier_cannot_ask_what_tells_more_of_a_passcode_than_yes_and_no() {
        for permission in [Permission::TokenFind, Permission::TokenSolve] {
            for (role, _) in Role::ALL {
                let may = matches!(role, Role::Admin | Role::Helpdesk);
                assert_eq!(role.grants(permission), may, "{role:?} {permission:?}");
            }
        }
    }

    #[test]
    fn audit_log_and_metrics_are_for_those_who_watch_and_pruning_is_for_the_admin() {
        let who = |permission| Role::ALL.iter().map(|(role, _)| *role).filter(move |r| r.grants(permission));
        assert!(who(Permission::AuditRead).eq([Role::Admin, Role::Auditor]));
        assert!(who(Permission::AuditPrune).eq([Role::Admin]));
        assert!(who(Permission::MetricsRead).eq([Role::Admin, Role::Auditor, Role::Monitor]));
    }

    #[test]
    fn every_role_survives_the_table() {
        for (role, name) in Role::ALL {
            assert_eq!((Role::parse(name), role.as_str()), (Some(*role), *name));
        }
    }
}
