//! The nouns of the server as plain types: ids, statuses, kinds. No I/O and no SQL.

pub mod country;
pub mod duration;
pub mod id;
pub mod role;
pub mod scope;
pub mod status;
pub mod x500;
