//! Products and repositories.

use rusqlite::OptionalExtension as _;

use super::hot::{one_row, parameter_columns, read_parameters};
use super::{Reader, StoreError, Tx};
use crate::model::id::{ProductId, RepositoryId};
use crate::otp::credential::Parameters;

/// The stock that takes every token which is given no other.
pub const DEFAULT_REPOSITORY: &str = "Default";

/// A product to be.
#[derive(Clone, Debug)]
pub struct NewProduct {
    /// For people.
    pub name: String,
    /// With the product code, its key.
    pub manufacturer_code: String,
    /// With the manufacturer code, its key.
    pub product_code: String,
    /// What its tokens compute, unless an import says otherwise.
    pub parameters: Parameters,
    /// The driver that programs its tokens; empty for none.
    pub driver: String,
    /// Its tokens live in an app: their secret is made here and can be handed out once.
    pub software: bool,
}

/// Which attributes of a product to write; the others stay. Its tokens keep what they were made with.
#[derive(Clone, Debug, Default)]
pub struct ProductChanges {
    /// New name.
    pub name: Option<String>,
    /// New driver.
    pub driver: Option<String>,
    /// What new tokens compute.
    pub parameters: Option<Parameters>,
}

/// Which attributes of a repository to write; the others stay.
#[derive(Clone, Debug, Default)]
pub struct RepositoryChanges {
    /// New name.
    pub name: Option<String>,
    /// New description.
    pub description: Option<String>,
    /// New parent; `Some(None)` makes it a root.
    pub parent: Option<Option<RepositoryId>>,
}

/// A product as the use cases need it.
#[derive(Clone, Debug)]
pub struct Product {
    /// What its tokens compute.
    pub parameters: Parameters,
    /// The driver that programs its tokens; empty for none.
    pub driver: String,
    /// Start of the serials that are made for it.
    pub code: String,
    /// Its tokens live in an app.
    pub software: bool,
}

impl Tx<'_> {
    /// Adds the products that come with the program and are not there yet. One that an admin has changed stays as
    /// it is; one that an admin has deleted comes back at the next start.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be written.
    pub fn add_catalogue(&self, products: &[NewProduct]) -> Result<(), StoreError> {
        let mut known = self
            .connection()
            .prepare_cached("SELECT 1 FROM products WHERE manufacturer_code = ?1 AND product_code = ?2")?;
        for product in products {
            if !known.exists((&product.manufacturer_code, &product.product_code))? {
                self.insert_product(product)?;
            }
        }
        Ok(())
    }

    /// Adds a product.
    ///
    /// # Errors
    /// [`StoreError`] also if its codes are taken.
    pub fn insert_product(&self, product: &NewProduct) -> Result<ProductId, StoreError> {
        let mut insert = self.connection().prepare_cached(
            "INSERT INTO products (name, manufacturer_code, product_code, kind, hash, digits, time_step_seconds,
             driver, software, created_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)",
        )?;
        let (kind, hash, digits, step) = parameter_columns(&product.parameters);
        Ok(ProductId(insert.insert((
            &product.name,
            &product.manufacturer_code,
            &product.product_code,
            kind,
            hash,
            digits,
            step,
            &product.driver,
            product.software,
            self.now().as_millis(),
        ))?))
    }

    /// Adds a repository.
    ///
    /// # Errors
    /// [`StoreError`] also if the name is taken.
    pub fn insert_repository(
        &self,
        name: &str,
        description: &str,
        parent: Option<RepositoryId>,
    ) -> Result<RepositoryId, StoreError> {
        self.guard_new(self.reader.scope.repositories().is_some(), &super::objects::REPOSITORY)?;
        let mut insert = self.connection().prepare_cached(
            "INSERT INTO repositories (name, description, parent_id, created_ms) VALUES (?1, ?2, ?3, ?4)",
        )?;
        let parent = parent.map(|id| id.0);
        Ok(RepositoryId(insert.insert((name, description, parent, self.now().as_millis()))?))
    }

    /// Changes a product.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such product.
    pub fn change_product(&self, product: ProductId, changes: &ProductChanges) -> Result<(), StoreError> {
        let connection = self.connection();
        let mut update = connection.prepare_cached(
            "UPDATE products SET name = coalesce(?2, name), driver = coalesce(?3, driver) WHERE id = ?1",
        )?;
        one_row(update.execute((product.0, &changes.name, &changes.driver))?)?;
        if let Some(parameters) = &changes.parameters {
            let (kind, hash, digits, step) = parameter_columns(parameters);
            let mut update = connection.prepare_cached(
                "UPDATE products SET kind = ?2, hash = ?3, digits = ?4, time_step_seconds = ?5 WHERE id = ?1",
            )?;
            one_row(update.execute((product.0, kind, hash, digits, step))?)?;
        }
        Ok(())
    }

    /// Changes a repository.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such repository, or the name is taken.
    pub fn change_repository(
        &self,
        repository: RepositoryId,
        changes: &RepositoryChanges,
    ) -> Result<(), StoreError> {
        self.guard(repository)?;
        let connection = self.connection();
        let mut update = connection.prepare_cached(
            "UPDATE repositories SET name = coalesce(?2, name), description = coalesce(?3, description)
             WHERE id = ?1",
        )?;
        one_row(update.execute((repository.0, &changes.name, &changes.description))?)?;
        if let Some(parent) = changes.parent {
            let mut update =
                connection.prepare_cached("UPDATE repositories SET parent_id = ?2 WHERE id = ?1")?;
            one_row(update.execute((repository.0, parent.map(|id| id.0)))?)?;
        }
        Ok(())
    }

    /// Removes a product that has no tokens.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such product, or it has tokens.
    pub fn delete_product(&self, product: ProductId) -> Result<(), StoreError> {
        let mut delete = self.connection().prepare_cached("DELETE FROM products WHERE id = ?1")?;
        one_row(delete.execute([product.0])?)
    }

    /// Removes a repository that has neither tokens nor children.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such repository, or it is not empty.
    pub fn delete_repository(&self, repository: RepositoryId) -> Result<(), StoreError> {
        self.guard(repository)?;
        let mut delete = self.connection().prepare_cached("DELETE FROM repositories WHERE id = ?1")?;
        one_row(delete.execute([repository.0])?)
    }
}

impl Reader<'_> {
    /// Reads a product.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn product(&self, id: ProductId) -> Result<Option<Product>, StoreError> {
        let mut select = self.connection.prepare_cached(
            "SELECT kind, hash, digits, time_step_seconds, driver, manufacturer_code || product_code, software
             FROM products WHERE id = ?1",
        )?;
        let found = select.query_row([id.0], |row| {
            Ok(Product {
                parameters: read_parameters(row, 0)?,
                driver: row.get(4)?,
                code: row.get(5)?,
                software: row.get(6)?,
            })
        });
        Ok(found.optional()?)
    }

    /// Whether a product has tokens.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn product_has_tokens(&self, product: ProductId) -> Result<bool, StoreError> {
        let mut select = self.connection.prepare_cached("SELECT 1 FROM tokens WHERE product_id = ?1")?;
        Ok(select.exists([product.0])?)
    }

    /// Whether a repository has tokens or children.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn repository_is_used(&self, repository: RepositoryId) -> Result<bool, StoreError> {
        let mut tokens = self.connection.prepare_cached("SELECT 1 FROM tokens WHERE repository_id = ?1")?;
        let mut children =
            self.connection.prepare_cached("SELECT 1 FROM repositories WHERE parent_id = ?1")?;
        Ok(tokens.exists([repository.0])? || children.exists([repository.0])?)
    }

    /// Whether `repository` is `above`, or lies anywhere below it.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn repository_lies_in(
        &self,
        repository: RepositoryId,
        above: RepositoryId,
    ) -> Result<bool, StoreError> {
        let mut select = self.connection.prepare_cached(
            "WITH RECURSIVE up (id) AS (
               SELECT ?1 UNION SELECT r.parent_id FROM repositories r JOIN up ON r.id = up.id
             ) SELECT 1 FROM up WHERE id = ?2",
        )?;
        Ok(select.exists((repository.0, above.0))?)
    }

    /// The name of a repository.
    ///
    /// # Errors
    /// [`StoreError`] if there is no such repository.
    pub fn repository_name(&self, repository: RepositoryId) -> Result<String, StoreError> {
        let mut select = self.connection.prepare_cached("SELECT name FROM repositories WHERE id = ?1")?;
        Ok(select.query_row([repository.0], |row| row.get(0))?)
    }
}
