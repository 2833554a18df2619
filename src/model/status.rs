//! Statuses as the API spells them. Each enum has one table, used in both directions.

macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal,)* })*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$vdoc])* $variant,)* }

        impl $name {
            /// Every value with its wire text.
            pub const ALL: &'static [(Self, &'static str)] = &[$((Self::$variant, $text),)*];

            /// The text on the wire and in the tables.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// Reads the exact wire text.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().find(|(_, t)| *t == text).map(|(value, _)| *value)
            }
        }
    )*};
}

statuses! {
    /// Status of a token (there is no locked token: locks belong to the assignment and to failures).
    TokenStatus {
        /// Usable.
        Active = "ACTIVE",
        /// Refused at verify until enabled again.
        Disabled = "DISABLED",
        /// Out of service for good.
        Deceased = "DECEASED",
    }

    /// Status of an assignment.
    AssignmentStatus {
        /// Usable.
        Active = "ACTIVE",
        /// Not activated yet.
        Inactive = "INACTIVE",
        /// Locked until somebody unlocks it.
        Locked = "LOCKED",
        /// Switched off.
        Disabled = "DISABLED",
    }

    /// Status of a user.
    UserStatus {
        /// May log in.
        Active = "ACTIVE",
        /// Not activated yet.
        Inactive = "INACTIVE",
        /// Locked until somebody unlocks the user.
        Locked = "LOCKED",
        /// Switched off.
        Disabled = "DISABLED",
    }

    /// Where a provisioning job stands.
    JobState {
        /// Serial, slot and secret are on disk; nothing was sent to the device.
        Reserved = "reserved",
        /// The secret is on its way into the device.
        Writing = "writing",
        /// The device computes a passcode that proves the secret.
        Proving = "proving",
        /// The device cannot tell the passcode itself: an operator has to type it.
        AwaitingPasscode = "awaiting_passcode",
        /// The device waits to be touched.
        AwaitingTouch = "awaiting_touch",
        /// Done: the token verifies.
        Ready = "ready",
        /// Given up before the device changed: everything is as it was.
        Undone = "undone",
        /// The device may hold the old or the new secret: wipe the slot before use.
        WipeBeforeUse = "wipe_before_use",
    }
}

impl JobState {
    /// Whether the job has come to its end.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Ready | Self::Undone | Self::WipeBeforeUse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_survives_the_wire() {
        for (state, text) in JobState::ALL {
            assert_eq!(JobState::parse(text), Some(*state));
            assert_eq!(state.as_str(), *text);
        }
        assert_eq!(TokenStatus::parse("active"), None);
    }
}
