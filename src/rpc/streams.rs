//! What a client can listen to: the table of streams of server-sent events, beside that of the methods. `GET` of its
//! path gives one; the permission check, `/openrpc.json` and `docs/api.md` read it.

use schemars::{JsonSchema, Schema, SchemaGenerator};

use crate::model::role::Permission;
use crate::service::shown::{AttachedShown, DetachedShown, DeviceShown, JobShown, SnapshotShown, TouchShown};

/// One stream.
pub struct Stream {
    /// `object/noun`.
    pub name: &'static str,
    /// Where it is.
    pub path: &'static str,
    /// What the caller must be allowed.
    pub permission: Permission,
    /// One sentence.
    pub about: &'static str,
    /// What comes.
    pub events: &'static [EventKind],
}

/// A kind of event.
pub struct EventKind {
    /// Its name, in `event:`.
    pub name: &'static str,
    /// One sentence.
    pub about: &'static str,
    /// The schema of the object in `data:`.
    pub data: fn(&mut SchemaGenerator) -> Schema,
}

const fn event<T: JsonSchema>(name: &'static str, about: &'static str) -> EventKind {
    EventKind { name, about, data: data_of::<T> }
}

fn data_of<T: JsonSchema>(generator: &mut SchemaGenerator) -> Schema {
    generator.subschema_for::<T>()
}

/// What happens to devices, and to the jobs that work on them.
pub static DEVICE_EVENTS: Stream = Stream {
    name: "device/events",
    path: "/rpc/device/events",
    permission: Permission::DeviceRead,
    about: "Tells what happens to devices and jobs, as it happens.",
    events: &[
        event::<SnapshotShown<'_>>(
            "snapshot",
            "Everything as it is now. The first event, unless one is resumed.",
        ),
        event::<AttachedShown<'_>>("attached", "Something is plugged in, and being asked what it is."),
        event::<DeviceShown<'_>>("opened", "A device said what it is, or its interfaces have changed."),
        event::<DeviceShown<'_>>("state", "A device is in another state."),
        event::<TouchShown>("touch", "A device waits for a touch."),
        event::<DetachedShown<'_>>("detached", "Something is no longer plugged in."),
        event::<JobShown<'_>>("job", "A job was begun or is in another state."),
    ],
};

/// Every stream, in the order of the documentation.
pub static STREAMS: &[&Stream] = &[&DEVICE_EVENTS];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::role::Role;

    #[test]
    fn who_may_follow_devices_may_see_the_jobs_that_are_told_with_them() {
        for (role, name) in Role::ALL {
            assert!(
                !role.grants(DEVICE_EVENTS.permission) || role.grants(Permission::TokenRead),
                "{name} may not call job/get"
            );
        }
    }
}
