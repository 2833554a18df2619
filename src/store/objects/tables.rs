//! The objects of the API and where their attributes are kept. Secrets, PINs and sealed values have no entry
//! here, so no request can ask for them.

use super::{Attribute, Collection, Counted, Extra, Kind, Link, Narrowed, Object, Visibility, Within};

const fn attribute(name: &'static str, column: &'static str, kind: Kind, about: &'static str) -> Attribute {
    Attribute { name, about, kind, column, extra: None, by_prefix: false }
}

const fn extra(
    name: &'static str,
    column: &'static str,
    kind: Kind,
    extra: Extra,
    about: &'static str,
) -> Attribute {
    Attribute { name, about, kind, column, extra: Some(extra), by_prefix: false }
}

const fn link(
    name: &'static str,
    column: &'static str,
    target: &'static Object,
    about: &'static str,
) -> Link {
    Link { name, about, target, column, few: false }
}

const fn by_prefix(attribute: Attribute) -> Attribute {
    Attribute { by_prefix: true, ..attribute }
}

const fn few(link: Link) -> Link {
    Link { few: true, ..link }
}

/// Every kind of object, in the order of the documentation.
pub static ALL: &[&Object] =
    &[&DOMAIN, &USER, &PRODUCT, &REPOSITORY, &TOKEN, &ASSIGNMENT, &JOB, &OPERATOR, &CLIENT, &GROUP, &AGENT];

/// Rows of an unfinished import are there and must not be seen.
const PUBLISHED: Option<Visibility> = Some(Visibility {
    shown: "({}.import_id IS NULL OR {}.import_id NOT IN (SELECT id FROM imports))",
    hidden: "{}.import_id IN (SELECT id FROM imports)",
});

/// What an assignment that may be seen joins.
macro_rules! assigned {
    ($column:literal, $condition:literal) => {
        concat!(
            "{}.id IN (SELECT ",
            $column,
            " FROM assignments WHERE ",
            $condition,
            " AND (import_id IS NULL OR import_id NOT IN (SELECT id FROM imports)))"
        )
    };
}

const TOKEN_STATE: Extra = Extra { name: "state", table: "token_states", key: "token_id" };
const CREDENTIAL: Extra = Extra { name: "credential", table: "credentials", key: "token_id" };
const USER_STATE: Extra = Extra { name: "state", table: "user_states", key: "user_id" };

/// `domain`.
pub static DOMAIN: Object = Object {
    name: "domain",
    about: "A name space for users.",
    letter: 'd',
    table: "domains",
    attributes: &[
        attribute("id", "{}.id", Kind::Id('d'), "Id, `d` and a number."),
        attribute("name", "{}.name", Kind::AnyCase("{}.name_key"), "Name; unique, in any case."),
        attribute("description", "{}.description", Kind::Text, "Free text."),
        attribute("dateCreated", "{}.created_ms", Kind::Time, "When it was made."),
    ],
    links: &[],
    collections: &[],
    visibility: None,
    narrowed: Narrowed::By(&[Within::Domain("{}.id")]),
    counted: None,
};

/// `user`.
pub static USER: Object = Object {
    name: "user",
    about: "Somebody who logs in with tokens.",
    letter: 'u',
    table: "users",
    attributes: &[
        attribute("id", "{}.id", Kind::Id('u'), "Id, `u` and a number."),
        attribute(
            "loginName",
            "{}.login_name",
            Kind::AnyCase("{}.login_key"),
            "Login name; unique in its domain, in any case.",
        ),
        attribute("firstName", "{}.first_name", Kind::Text, "First name."),
        attribute("lastName", "{}.last_name", Kind::Text, "Last name."),
        attribute("email", "{}.email", Kind::Text, "E-mail address."),
        attribute("mobile", "{}.mobile", Kind::Text, "Number of the mobile telephone."),
        attribute("telephone", "{}.telephone", Kind::Text, "Telephone number."),
        attribute(
            "userPrincipalName",
            "{}.principal_name",
            Kind::Text,
            "Name in a directory, such as `john@example.com`.",
        ),
        attribute(
            "status",
            "{}.status",
            Kind::Text,
            "`ACTIVE`, `INACTIVE`, `LOCKED` or `DISABLED`; only ACTIVE users are let in.",
        ),
        extra("failCount", "{}_state.failures", Kind::Integer, USER_STATE, "Failed verifies in a row."),
        extra(
            "lockedUntil",
            "{}_state.locked_until_ms",
            Kind::Time,
            USER_STATE,
            "End of the lock after too many failures, empty if only an unlock ends it; null if there was none.",
        ),
        attribute("dateCreated", "{}.created_ms", Kind::Time, "When it was made."),
    ],
    links: &[few(link("domain", "{}.domain_id", &DOMAIN, "Where the user belongs."))],
    collections: &[
        Collection {
            name: "tokens",
            about: "Tokens assigned to the user.",
            target: &TOKEN,
            condition: assigned!("token_id", "user_id = ?1"),
        },
        Collection {
            name: "tokenAssignments",
            about: "The assignments of these tokens.",
            target: &ASSIGNMENT,
            condition: "{}.user_id = ?1",
        },
    ],
    visibility: None,
    narrowed: Narrowed::By(&[Within::Domain("{}.domain_id")]),
    counted: None,
};

/// `product`.
pub static PRODUCT: Object = Object {
    name: "product",
    about: "A model of token: what its tokens compute and which driver writes them.",
    letter: 'p',
    table: "products",
    attributes: &[
        attribute("id", "{}.id", Kind::Id('p'), "Id, `p` and a number."),
        attribute("name", "{}.name", Kind::Text, "Name."),
        attribute(
            "manufacturerCode",
            "{}.manufacturer_code",
            Kind::Text,
            "Code of the maker; with `productCode` unique.",
        ),
        attribute("productCode", "{}.product_code", Kind::Text, "Code of the model."),
        attribute(
            "algorithm",
            "'OATH ' || {}.kind",
            Kind::Text,
            "`OATH HOTP` (RFC 4226) or `OATH TOTP` (RFC 6238).",
        ),
        attribute("hash", "{}.hash", Kind::Text, "`SHA1`, `SHA256` or `SHA512`."),
        attribute("digits", "{}.digits", Kind::Integer, "Digits of a passcode."),
        attribute(
            "timer",
            "{}.time_step_seconds",
            Kind::Integer,
            "Time step of TOTP in seconds; null for HOTP.",
        ),
        attribute("driver", "{}.driver", Kind::Text, "Driver that programs its tokens; empty if none does."),
        attribute(
            "software",
            "{}.software",
            Kind::Bool,
            "Whether its tokens are apps: they get a secret when they are made, and it can be handed out.",
        ),
        attribute("dateCreated", "{}.created_ms", Kind::Time, "When it was made."),
    ],
    links: &[],
    collections: &[],
    visibility: None,
    narrowed: Narrowed::Not,
    counted: None,
};

/// `repository`.
pub static REPOSITORY: Object = Object {
    name: "repository",
    about: "A stock of tokens; repositories nest.",
    letter: 'r',
    table: "repositories",
    attributes: &[
        attribute("id", "{}.id", Kind::Id('r'), "Id, `r` and a number."),
        attribute("name", "{}.name", Kind::Text, "Name; unique."),
        attribute("description", "{}.description", Kind::Text, "Free text."),
        attribute("dateCreated", "{}.created_ms", Kind::Time, "When it was made."),
    ],
    links: &[link("parent", "{}.parent_id", &REPOSITORY, "The repository that it lies in.")],
    collections: &[Collection {
        name: "children",
        about: "The repositories that lie in it.",
        target: &REPOSITORY,
        condition: "{}.parent_id = ?1",
    }],
    visibility: None,
    narrowed: Narrowed::By(&[Within::Repository("{}.id")]),
    counted: None,
};

/// `token`.
pub static TOKEN: Object = Object {
    name: "token",
    about: "A hardware token, or an app that works like one.",
    letter: 't',
    table: "tokens",
    attributes: &[
        attribute("id", "{}.id", Kind::Id('t'), "Id, `t` and a number."),
        by_prefix(attribute("serial", "{}.serial", Kind::Text, "Serial number; unique.")),
        attribute(
            "identifier",
            "{}.identifier",
            Kind::Text,
            "The maker's name of it; the serial if none was given.",
        ),
        attribute(
            "status",
            "{}.status",
            Kind::Text,
            "`ACTIVE`, `DISABLED` or `DECEASED` (out of service for good).",
        ),
        attribute("description", "{}.description", Kind::Text, "Free text."),
        attribute(
            "device",
            "{}.device",
            Kind::Text,
            "Device that holds its secret, such as `ykoath:12345678`; null if none does.",
        ),
        attribute("slot", "{}.slot", Kind::Text, "Slot of that device."),
        attribute("exportable", "{}.exportable", Kind::Bool, "Whether its secret can be handed out."),
        attribute("confined", "{}.confined", Kind::Bool, "Whether the hand-out of its secret is forbidden."),
        extra(
            "programmed",
            "({}_credential.token_id IS NOT NULL)",
            Kind::Bool,
            CREDENTIAL,
            "Whether it has a secret.",
        ),
        extra(
            "algorithm",
            "'OATH ' || {}_credential.kind",
            Kind::Text,
            CREDENTIAL,
            "`OATH HOTP` or `OATH TOTP`; null without a secret.",
        ),
        extra("hash", "{}_credential.hash", Kind::Text, CREDENTIAL, "`SHA1`, `SHA256` or `SHA512`."),
        extra("digits", "{}_credential.digits", Kind::Integer, CREDENTIAL, "Digits of a passcode."),
        extra(
            "timer",
            "{}_credential.time_step_seconds",
            Kind::Integer,
            CREDENTIAL,
            "Time step of TOTP in seconds; null for HOTP.",
        ),
        extra(
            "tokenIdentifier",
            "{}_credential.token_identifier",
            Kind::Text,
            CREDENTIAL,
            "What it types before each passcode (OATH token identifier); null for nothing.",
        ),
        extra(
            "counter",
            "{}_state.next_factor",
            Kind::Unsigned,
            TOKEN_STATE,
            "HOTP: the next counter that is accepted. TOTP: the next time step.",
        ),
        extra(
            "drift",
            "{}_state.drift_steps",
            Kind::Integer,
            TOKEN_STATE,
            "How far the clock of the token is ahead of the server, in time steps.",
        ),
        extra(
            "needsSync",
            "{}_state.needs_sync",
            Kind::Bool,
            TOKEN_STATE,
            "Whether it is let in only after a resync.",
        ),
        extra("failCount", "{}_state.failures", Kind::Integer, TOKEN_STATE, "Failed verifies in a row."),
        extra(
            "lockedUntil",
            "{}_state.locked_until_ms",
            Kind::Time,
            TOKEN_STATE,
            "End of the lock after too many failures, empty if only an unlock ends it; null if there was none.",
        ),
        attribute("dateCreated", "{}.created_ms", Kind::Time, "When it was made."),
        attribute("lastUpdated", "{}.updated_ms", Kind::Time, "When it was last changed."),
    ],
    links: &[
        few(link("product", "{}.product_id", &PRODUCT, "Its model.")),
        few(link("repository", "{}.repository_id", &REPOSITORY, "Its stock.")),
    ],
    collections: &[
        Collection {
            name: "users",
            about: "Users who have it.",
            target: &USER,
            condition: assigned!("user_id", "token_id = ?1"),
        },
        Collection {
            name: "assignedUsers",
            about: "Users who own it.",
            target: &USER,
            condition: assigned!("user_id", "token_id = ?1 AND is_owner = 1"),
        },
        Collection {
            name: "sharedUsers",
            about: "Users who share it without owning it.",
            target: &USER,
            condition: assigned!("user_id", "token_id = ?1 AND is_owner = 0"),
        },
        Collection {
            name: "tokenAssignments",
            about: "The assignments to these users.",
            target: &ASSIGNMENT,
            condition: "{}.token_id = ?1",
        },
    ],
    visibility: PUBLISHED,
    narrowed: Narrowed::By(&[Within::Repository("{}.repository_id")]),
    counted: Some(Counted {
        table: "token_counts",
        condition: "{}.import_id = 0",
        by: &["status", "product", "repository"],
    }),
};

/// `tokenAssignment`.
pub static ASSIGNMENT: Object = Object {
    name: "tokenAssignment",
    about: "That a user has a token, with the PIN for it.",
    letter: 'a',
    table: "assignments",
    attributes: &[
        attribute("id", "{}.id", Kind::Id('a'), "Id, `a` and a number."),
        attribute(
            "status",
            "{}.status",
            Kind::Text,
            "`ACTIVE`, `INACTIVE`, `LOCKED` or `DISABLED`; only ACTIVE ones are let in.",
        ),
        attribute(
            "priority",
            "{}.priority",
            Kind::Integer,
            "Order among the tokens of the user; the smallest number first.",
        ),
        attribute(
            "isOwner",
            "{}.is_owner",
            Kind::Bool,
            "Whether the user owns the token; false if it is shared.",
        ),
        attribute("starts", "{}.starts_ms", Kind::Time, "Not valid before; null for no limit."),
        attribute("expires", "{}.expires_ms", Kind::Time, "Not valid from then on; null for no limit."),
        attribute(
            "usageLimit",
            "{}.usage_limit",
            Kind::Integer,
            "How many logins it allows; 0 for no limit.",
        ),
        attribute("used", "{}.used", Kind::Integer, "How many logins it has seen."),
        attribute(
            "hasPin",
            "({}.pin_mac IS NOT NULL)",
            Kind::Bool,
            "Whether a PIN stands in front of the passcode.",
        ),
        attribute(
            "mustChangePin",
            "{}.must_change_pin",
            Kind::Bool,
            "Whether the PIN must be changed before the next login.",
        ),
        attribute(
            "pinNeverExpires",
            "{}.pin_never_expires",
            Kind::Bool,
            "Whether the PIN is left out where policy lets PINs age.",
        ),
        attribute(
            "lastChangePin",
            "{}.last_change_pin_ms",
            Kind::Time,
            "When the PIN was last set; null for never.",
        ),
        attribute("dateCreated", "{}.created_ms", Kind::Time, "When it was made."),
        attribute("lastUpdated", "{}.updated_ms", Kind::Time, "When it was last changed."),
    ],
    links: &[
        link("token", "{}.token_id", &TOKEN, "The token."),
        link("user", "{}.user_id", &USER, "The user."),
    ],
    collections: &[],
    visibility: PUBLISHED,
    narrowed: Narrowed::By(&[Within::UserOfDomain("{}.user_id"), Within::TokenOfRepository("{}.token_id")]),
    counted: None,
};

/// `job`.
pub static JOB: Object = Object {
    name: "job",
    about: "Programming or erasing a slot of a device; outlives the request that started it.",
    letter: 'j',
    table: "jobs",
    attributes: &[
        attribute("id", "{}.id", Kind::Id('j'), "Id, `j` and a number."),
        attribute("action", "{}.action", Kind::Text, "`program` or `erase`."),
        attribute(
            "state",
            "{}.state",
            Kind::Text,
            "`reserved`, `writing`, `proving`, `awaiting_passcode`, `awaiting_touch`, `ready`, `undone` or `wipe_before_use`.",
        ),
        attribute("device", "{}.device", Kind::Text, "The device, such as `ykoath:12345678`."),
        attribute("slot", "{}.slot", Kind::Text, "The slot."),
        attribute("error", "{}.error", Kind::Text, "Why it is not ready; empty if all went well."),
        attribute("operator", "{}.operator", Kind::Text, "Who started it."),
        attribute("dateCreated", "{}.created_ms", Kind::Time, "When it was started."),
        attribute("lastUpdated", "{}.updated_ms", Kind::Time, "When its state last changed."),
    ],
    links: &[link("token", "{}.token_id", &TOKEN, "Its token.")],
    collections: &[],
    visibility: None,
    narrowed: Narrowed::By(&[Within::TokenOfRepository("{}.token_id")]),
    counted: None,
};

/// `operator`.
pub static OPERATOR: Object = Object {
    name: "operator",
    about: "A person or a program that may call the API.",
    letter: 'o',
    table: "operators",
    attributes: &[
        attribute("id", "{}.id", Kind::Id('o'), "Id, `o` and a number."),
        attribute("name", "{}.name", Kind::Text, "Name to log in with; unique."),
        attribute(
            "role",
            "{}.role",
            Kind::Text,
            "`admin`, `helpdesk`, `auditor`, `verifier`, `station` or `monitor`.",
        ),
        attribute("disabled", "{}.disabled", Kind::Bool, "Whether it is let in no more."),
        attribute(
            "allDomains",
            "{}.all_domains",
            Kind::Bool,
            "Whether it sees the users of all domains; if not, those of `domains`.",
        ),
        attribute(
            "allRepositories",
            "{}.all_repositories",
            Kind::Bool,
            "Whether it sees the tokens of all repositories; if not, those of `repositories`.",
        ),
        attribute("dateCreated", "{}.created_ms", Kind::Time, "When it was made."),
    ],
    links: &[],
    collections: &[
        Collection {
            name: "domains",
            about: "The domains that it is narrowed to.",
            target: &DOMAIN,
            condition: "{}.id IN (SELECT domain_id FROM operator_domains WHERE operator_id = ?1)",
        },
        Collection {
            name: "repositories",
            about: "The repositories that it is narrowed to.",
            target: &REPOSITORY,
            condition: "{}.id IN (SELECT repository_id FROM operator_repositories WHERE operator_id = ?1)",
        },
    ],
    visibility: None,
    narrowed: Narrowed::Away,
    counted: None,
};

/// `client`.
pub static CLIENT: Object = Object {
    name: "client",
    about: "A program that gets its tokens by OAuth 2.0 and acts as an operator.",
    letter: 'c',
    table: "clients",
    attributes: &[
        attribute("id", "{}.id", Kind::Id('c'), "Id, `c` and a number."),
        attribute("name", "{}.name", Kind::Text, "Its client id in OAuth 2.0; unique."),
        attribute("dateCreated", "{}.created_ms", Kind::Time, "When it was made."),
    ],
    links: &[link("operator", "{}.operator_id", &OPERATOR, "Whom it acts as.")],
    collections: &[],
    visibility: None,
    narrowed: Narrowed::Away,
    counted: None,
};

/// `group`.
pub static GROUP: Object = Object {
    name: "group",
    about: "What agents register in: a name, and an authority that issues their certificates.",
    letter: 'g',
    table: "agent_groups",
    attributes: &[
        attribute("id", "{}.id", Kind::Id('g'), "Id, `g` and a number."),
        attribute("name", "{}.name", Kind::Text, "Its X.500 name; unique."),
        attribute(
            "hash",
            "{}.hash",
            Kind::Text,
            "Its holding identity hash, by which agents and the API of pre-auth tokens name it: the first 12 hexadecimal \
             digits of SHA-256 of its name and its UUID.",
        ),
        attribute("uuid", "{}.uuid", Kind::Text, "Its UUID, made with it."),
        attribute("dateCreated", "{}.created_ms", Kind::Time, "When it was made."),
    ],
    links: &[],
    collections: &[Collection {
        name: "agents",
        about: "Its agents, retired ones too.",
        target: &AGENT,
        condition: "{}.group_id = ?1",
    }],
    visibility: None,
    narrowed: Narrowed::Away,
    counted: None,
};

/// `agent`.
pub static AGENT: Object = Object {
    name: "agent",
    about: "A registered client of the API, or a station.",
    letter: 'n',
    table: "agents",
    attributes: &[
        attribute("id", "{}.id", Kind::Id('n'), "Id, `n` and a number; the `AgentId` of sessions."),
        attribute(
            "name",
            "{}.name",
            Kind::Text,
            "Its X.500 name; unique in its group among those that are active.",
        ),
        attribute("hash", "{}.hash", Kind::Text, "Its holding identity hash, made like that of a group."),
        attribute("status", "{}.status", Kind::Text, "`ACTIVE` or `RETIRED`."),
        attribute("expires", "{}.expires_ms", Kind::Time, "End of its newest certificate."),
        attribute("dateCreated", "{}.created_ms", Kind::Time, "When it registered."),
        attribute("dateRetired", "{}.retired_ms", Kind::Time, "When it was retired; null if it is active."),
    ],
    links: &[link("group", "{}.group_id", &GROUP, "Its group.")],
    collections: &[
        Collection {
            name: "operators",
            about: "Who may open sessions for it.",
            target: &OPERATOR,
            condition: "{}.id IN (SELECT operator_id FROM agent_operators WHERE agent_id = ?1)",
        },
        Collection {
            name: "repositories",
            about: "The repositories whose tokens it sees itself.",
            target: &REPOSITORY,
            condition: "{}.id IN (SELECT repository_id FROM agent_repositories WHERE agent_id = ?1)",
        },
    ],
    visibility: None,
    narrowed: Narrowed::Away,
    counted: None,
};
