//! The part of the inventory that an operator sees: all of it, or some domains and some repositories.
//!
//! Domains narrow users and their assignments, repositories narrow tokens; each for itself. A set is exactly what it
//! names: a repository does not bring those that lie in it, and one that is deleted leaves the set smaller, never
//! wider. What is outside does not exist for that operator: it is "not found", never "forbidden".
//!
//! The rule is applied in three places and nowhere else: to every statement built from the table of objects (searches,
//! `get`, selectors, links, collections), to every change of a row (`Tx::guard`), and to the rows that a decision sees
//! (`Rows::seen_by`). All three are in `store`.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::id::{DomainId, RepositoryId};

/// What an operator sees.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    domains: Option<Arc<BTreeSet<DomainId>>>,
    repositories: Option<Arc<BTreeSet<RepositoryId>>>,
}

/// Everything.
pub static ALL: Scope = Scope { domains: None, repositories: None };

impl Scope {
    /// A scope; `None` is all of them, an empty set is none.
    #[must_use]
    pub fn new(domains: Option<BTreeSet<DomainId>>, repositories: Option<BTreeSet<RepositoryId>>) -> Self {
        Self { domains: domains.map(Arc::new), repositories: repositories.map(Arc::new) }
    }

    /// Whether nothing is left out.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.domains.is_none() && self.repositories.is_none()
    }

    /// The domains, if not all.
    #[must_use]
    pub fn domains(&self) -> Option<&BTreeSet<DomainId>> {
        self.domains.as_deref()
    }

    /// The repositories, if not all.
    #[must_use]
    pub fn repositories(&self) -> Option<&BTreeSet<RepositoryId>> {
        self.repositories.as_deref()
    }

    /// Whether it holds a domain.
    #[must_use]
    pub fn has_domain(&self, id: DomainId) -> bool {
        self.domains.as_ref().is_none_or(|domains| domains.contains(&id))
    }

    /// Whether it holds a repository.
    #[must_use]
    pub fn has_repository(&self, id: RepositoryId) -> bool {
        self.repositories.as_ref().is_none_or(|repositories| repositories.contains(&id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_set_holds_nothing_and_no_set_holds_all() {
        let none = Scope::new(Some(BTreeSet::new()), None);
        assert!(!none.has_domain(DomainId(1)) && none.has_repository(RepositoryId(1)) && !none.is_all());
        assert!(ALL.has_domain(DomainId(1)) && ALL.is_all() && ALL == Scope::default());
    }
}
