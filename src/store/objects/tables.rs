//! The objects of the API and where their attributes are kept. Secrets, PINs and sealed values have no entry
//! here, so no request can ask for them.

use super::{Attribute, Collection, Counted, Extra, Kind, Link, Object};

const fn attribute(name: &'static str, column: &'static str, kind: Kind) -> Attribute {
    Attribute { name, column, kind, extra: None }
}

const fn extra(name: &'static str, column: &'static str, kind: Kind, extra: Extra) -> Attribute {
    Attribute { name, column, kind, extra: Some(extra) }
}

const fn link(name: &'static str, column: &'static str, target: &'static Object) -> Link {
    Link { name, column, target }
}

/// Rows of an unfinished import are there and must not be seen.
const PUBLISHED: Option<&str> =
    Some("({}.import_id IS NULL OR {}.import_id NOT IN (SELECT id FROM imports))");

const TOKEN_STATE: Extra = Extra { name: "state", table: "token_states", key: "token_id" };
const CREDENTIAL: Extra = Extra { name: "credential", table: "credentials", key: "token_id" };
const USER_STATE: Extra = Extra { name: "state", table: "user_states", key: "user_id" };

/// `domain`.
pub static DOMAIN: Object = Object {
    name: "domain",
    letter: 'd',
    table: "domains",
    attributes: &[
        attribute("id", "{}.id", Kind::Id('d')),
        attribute("name", "{}.name", Kind::AnyCase("{}.name_key")),
        attribute("description", "{}.description", Kind::Text),
        attribute("dateCreated", "{}.created_ms", Kind::Time),
    ],
    links: &[],
    collections: &[],
    visible: None,
    counted: None,
};

/// `user`.
pub static USER: Object = Object {
    name: "user",
    letter: 'u',
    table: "users",
    attributes: &[
        attribute("id", "{}.id", Kind::Id('u')),
        attribute("loginName", "{}.login_name", Kind::AnyCase("{}.login_key")),
        attribute("firstName", "{}.first_name", Kind::Text),
        attribute("lastName", "{}.last_name", Kind::Text),
        attribute("email", "{}.email", Kind::Text),
        attribute("mobile", "{}.mobile", Kind::Text),
        attribute("telephone", "{}.telephone", Kind::Text),
        attribute("userPrincipalName", "{}.principal_name", Kind::Text),
        attribute("status", "{}.status", Kind::Text),
        extra("failCount", "{}_state.failures", Kind::Integer, USER_STATE),
        extra("lockedUntil", "{}_state.locked_until_ms", Kind::Time, USER_STATE),
        attribute("dateCreated", "{}.created_ms", Kind::Time),
    ],
    links: &[link("domain", "{}.domain_id", &DOMAIN)],
    collections: &[
        Collection {
            name: "tokens",
            target: &TOKEN,
            condition: "{}.id IN (SELECT token_id FROM assignments WHERE user_id = ?1)",
        },
        Collection { name: "tokenAssignments", target: &ASSIGNMENT, condition: "{}.user_id = ?1" },
    ],
    visible: None,
    counted: None,
};

/// `product`.
pub static PRODUCT: Object = Object {
    name: "product",
    letter: 'p',
    table: "products",
    attributes: &[
        attribute("id", "{}.id", Kind::Id('p')),
        attribute("name", "{}.name", Kind::Text),
        attribute("manufacturerCode", "{}.manufacturer_code", Kind::Text),
        attribute("productCode", "{}.product_code", Kind::Text),
        attribute("algorithm", "'OATH ' || {}.kind", Kind::Text),
        attribute("hash", "{}.hash", Kind::Text),
        attribute("digits", "{}.digits", Kind::Integer),
        attribute("timer", "{}.time_step_seconds", Kind::Integer),
        attribute("driver", "{}.driver", Kind::Text),
        attribute("software", "{}.software", Kind::Bool),
        attribute("dateCreated", "{}.created_ms", Kind::Time),
    ],
    links: &[],
    collections: &[],
    visible: None,
    counted: None,
};

/// `repository`.
pub static REPOSITORY: Object = Object {
    name: "repository",
    letter: 'r',
    table: "repositories",
    attributes: &[
        attribute("id", "{}.id", Kind::Id('r')),
        attribute("name", "{}.name", Kind::Text),
        attribute("description", "{}.description", Kind::Text),
        attribute("dateCreated", "{}.created_ms", Kind::Time),
    ],
    links: &[link("parent", "{}.parent_id", &REPOSITORY)],
    collections: &[Collection { name: "children", target: &REPOSITORY, condition: "{}.parent_id = ?1" }],
    visible: None,
    counted: None,
};

/// `token`.
pub static TOKEN: Object = Object {
    name: "token",
    letter: 't',
    table: "tokens",
    attributes: &[
        attribute("id", "{}.id", Kind::Id('t')),
        attribute("serial", "{}.serial", Kind::Text),
        attribute("identifier", "{}.identifier", Kind::Text),
        attribute("status", "{}.status", Kind::Text),
        attribute("description", "{}.description", Kind::Text),
        attribute("device", "{}.device", Kind::Text),
        attribute("slot", "{}.slot", Kind::Text),
        attribute("exportable", "{}.exportable", Kind::Bool),
        attribute("confined", "{}.confined", Kind::Bool),
        extra("programmed", "({}_credential.token_id IS NOT NULL)", Kind::Bool, CREDENTIAL),
        extra("algorithm", "'OATH ' || {}_credential.kind", Kind::Text, CREDENTIAL),
        extra("hash", "{}_credential.hash", Kind::Text, CREDENTIAL),
        extra("digits", "{}_credential.digits", Kind::Integer, CREDENTIAL),
        extra("timer", "{}_credential.time_step_seconds", Kind::Integer, CREDENTIAL),
        extra("counter", "{}_state.next_factor", Kind::Unsigned, TOKEN_STATE),
        extra("drift", "{}_state.drift_steps", Kind::Integer, TOKEN_STATE),
        extra("needsSync", "{}_state.needs_sync", Kind::Bool, TOKEN_STATE),
        extra("failCount", "{}_state.failures", Kind::Integer, TOKEN_STATE),
        extra("lockedUntil", "{}_state.locked_until_ms", Kind::Time, TOKEN_STATE),
        attribute("dateCreated", "{}.created_ms", Kind::Time),
        attribute("lastUpdated", "{}.updated_ms", Kind::Time),
    ],
    links: &[link("product", "{}.product_id", &PRODUCT), link("repository", "{}.repository_id", &REPOSITORY)],
    collections: &[
        Collection {
            name: "users",
            target: &USER,
            condition: "{}.id IN (SELECT user_id FROM assignments WHERE token_id = ?1)",
        },
        Collection {
            name: "assignedUsers",
            target: &USER,
            condition: "{}.id IN (SELECT user_id FROM assignments WHERE token_id = ?1 AND is_owner = 1)",
        },
        Collection {
            name: "sharedUsers",
            target: &USER,
            condition: "{}.id IN (SELECT user_id FROM assignments WHERE token_id = ?1 AND is_owner = 0)",
        },
        Collection { name: "tokenAssignments", target: &ASSIGNMENT, condition: "{}.token_id = ?1" },
    ],
    visible: PUBLISHED,
    counted: Some(Counted {
        table: "token_counts",
        condition: "{}.import_id = 0",
        by: &["status", "product", "repository"],
    }),
};

/// `tokenAssignment`.
pub static ASSIGNMENT: Object = Object {
    name: "tokenAssignment",
    letter: 'a',
    table: "assignments",
    attributes: &[
        attribute("id", "{}.id", Kind::Id('a')),
        attribute("status", "{}.status", Kind::Text),
        attribute("priority", "{}.priority", Kind::Integer),
        attribute("isOwner", "{}.is_owner", Kind::Bool),
        attribute("starts", "{}.starts_ms", Kind::Time),
        attribute("expires", "{}.expires_ms", Kind::Time),
        attribute("usageLimit", "{}.usage_limit", Kind::Integer),
        attribute("used", "{}.used", Kind::Integer),
        attribute("hasPin", "({}.pin_mac IS NOT NULL)", Kind::Bool),
        attribute("mustChangePin", "{}.must_change_pin", Kind::Bool),
        attribute("pinNeverExpires", "{}.pin_never_expires", Kind::Bool),
        attribute("lastChangePin", "{}.last_change_pin_ms", Kind::Time),
        attribute("dateCreated", "{}.created_ms", Kind::Time),
        attribute("lastUpdated", "{}.updated_ms", Kind::Time),
    ],
    links: &[link("token", "{}.token_id", &TOKEN), link("user", "{}.user_id", &USER)],
    collections: &[],
    visible: PUBLISHED,
    counted: None,
};

/// `job`.
pub static JOB: Object = Object {
    name: "job",
    letter: 'j',
    table: "jobs",
    attributes: &[
        attribute("id", "{}.id", Kind::Id('j')),
        attribute("action", "{}.action", Kind::Text),
        attribute("state", "{}.state", Kind::Text),
        attribute("device", "{}.device", Kind::Text),
        attribute("slot", "{}.slot", Kind::Text),
        attribute("error", "{}.error", Kind::Text),
        attribute("operator", "{}.operator", Kind::Text),
        attribute("dateCreated", "{}.created_ms", Kind::Time),
        attribute("lastUpdated", "{}.updated_ms", Kind::Time),
    ],
    links: &[link("token", "{}.token_id", &TOKEN)],
    collections: &[],
    visible: None,
    counted: None,
};
