//! Products and repositories.

use rusqlite::OptionalExtension as _;

use super::hot::{parameter_columns, read_parameters};
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
}

impl Tx<'_> {
    /// Adds a product.
    ///
    /// # Errors
    /// [`StoreError`] also if its codes are taken.
    pub fn insert_product(&self, product: &NewProduct) -> Result<ProductId, StoreError> {
        let mut insert = self.connection().prepare_cached(
            "INSERT INTO products (name, manufacturer_code, product_code, kind, hash, digits, time_step_seconds,
             driver, created_ms) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
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
            self.now().as_millis(),
        ))?))
    }

    /// Adds a repository.
    ///
    /// # Errors
    /// [`StoreError`] also if the name is taken.
    pub fn insert_repository(&self, name: &str, description: &str) -> Result<RepositoryId, StoreError> {
        let mut insert = self
            .connection()
            .prepare_cached("INSERT INTO repositories (name, description, created_ms) VALUES (?1, ?2, ?3)")?;
        Ok(RepositoryId(insert.insert((name, description, self.now().as_millis()))?))
    }
}

impl Reader<'_> {
    /// Reads a product.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn product(&self, id: ProductId) -> Result<Option<Product>, StoreError> {
        let mut select = self.connection.prepare_cached(
            "SELECT kind, hash, digits, time_step_seconds, driver, manufacturer_code || product_code
             FROM products WHERE id = ?1",
        )?;
        let found = select.query_row([id.0], |row| {
            Ok(Product { parameters: read_parameters(row, 0)?, driver: row.get(4)?, code: row.get(5)? })
        });
        Ok(found.optional()?)
    }
}
