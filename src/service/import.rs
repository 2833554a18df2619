//! Import: tokens with their secrets from a file. All rows or none; a serial that is known refuses the file.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value as Json;

use super::error::{Error, Kind};
use super::inventory::Selector;
use super::{chunks, create};
use crate::access::Caller;
use crate::app::App;
use crate::formats::error::FormatError;
use crate::formats::{self, ImportedCredential};
use crate::model::id::{ProductId, RepositoryId};
use crate::otp::credential::Credential;
use crate::store::Tx;
use crate::store::catalogue::Product;
use crate::store::imports::ImportId;
use crate::store::objects;
use crate::store::tokens::NewToken;

/// Most tokens of one file.
const MOST_TOKENS: usize = 200_000;
/// Tokens read back in one go.
const SHOWN_AT_ONCE: u64 = 1000;

/// A file to import.
pub struct ImportRequest {
    /// The model of its tokens. What the file says of digits, hash and time step wins over the product.
    pub product: Selector,
    /// Their stock; the default one if none is named.
    pub repository: Option<Selector>,
    /// The text of the file.
    pub data: String,
}

/// Imports a file. Answers with the number of tokens and what the caller wants to see of each.
///
/// # Errors
/// [`Kind::ImportRefused`] names the row and field; [`Kind::Exists`] the serial. Nothing is imported then.
pub async fn import(
    app: &Arc<App>,
    caller: &Caller,
    request: ImportRequest,
    wanted: Vec<Json>,
) -> Result<Json, Error> {
    let ImportRequest { product, repository, data } = request;
    let rows = tokio::task::spawn_blocking(move || read(&data))
        .await
        .map_err(|_| Error::new(Kind::Internal, "reading the file ended early"))??;
    let home = app
        .store
        .read(move |reader| {
            let product = ProductId(product.find(reader, &objects::PRODUCT)?);
            let repository = create::repository_or_default(reader, repository.as_ref())?;
            let model = reader.product(product)?.ok_or_else(|| Error::not_found("product"))?;
            // A wrong `return` list must not be found out only when everything is done.
            objects::get(reader, &objects::TOKEN, 0, &wanted)?;
            Ok::<_, Error>((product, repository, model, wanted))
        })
        .await?;
    let (product, repository, model, wanted) = home;
    let (total, caller) = (rows.len(), caller.clone());
    let import = chunks::write_all(
        app,
        "token/import",
        rows,
        move |tx, import, row| insert(tx, import, row, (product, &model), repository),
        move |tx, import| {
            let mut entry = caller.did("token/import");
            entry.outcome = "imported";
            entry.detail = format!("{total} tokens of product {product}");
            tx.audit(entry);
            Ok(import)
        },
    )
    .await?;
    let rows = show(app, import, total, wanted).await?;
    Ok(serde_json::json!({ "total": total, "rows": rows }))
}

/// Reads back what the caller wants to see, page by page.
async fn show(app: &App, import: ImportId, total: usize, wanted: Vec<Json>) -> Result<Vec<Json>, Error> {
    let mut rows = Vec::with_capacity(total);
    while rows.len() < total {
        let (from, wanted) = (rows.len() as u64, wanted.clone());
        let page = app
            .store
            .read(move |reader| {
                let page = from..from + SHOWN_AT_ONCE;
                Ok::<_, Error>(objects::imported(reader, &objects::TOKEN, import, &wanted, page)?)
            })
            .await?;
        // Somebody may have deleted some of them in the meantime.
        if page.is_empty() {
            break;
        }
        rows.extend(page);
    }
    Ok(rows)
}

/// Reads the whole file first: a mistake in its last row must not cost the writer anything.
fn read(data: &str) -> Result<Vec<ImportedCredential>, Error> {
    let refused = |error: FormatError| Error::new(Kind::ImportRefused, error.to_string());
    let format = formats::detect::detect(data.as_bytes()).map_err(refused)?;
    let mut rows = Vec::new();
    let mut seen: HashMap<String, String> = HashMap::new();
    for row in formats::read(data.as_bytes(), format) {
        let row = row.map_err(refused)?;
        let place = row.location.to_string();
        if let Some(first) = seen.insert(row.serial.clone(), place.clone()) {
            let text = format!("{place}: serial {} stands at {first} already", row.serial);
            return Err(Error::new(Kind::ImportRefused, text));
        }
        if rows.len() == MOST_TOKENS {
            let text = format!("{place}: one file may hold at most {MOST_TOKENS} tokens");
            return Err(Error::new(Kind::ImportRefused, text));
        }
        rows.push(row);
    }
    if rows.is_empty() {
        return Err(Error::new(Kind::ImportRefused, "the file holds no tokens"));
    }
    Ok(rows)
}

fn insert(
    tx: &Tx<'_>,
    import: ImportId,
    row: ImportedCredential,
    (product, model): (ProductId, &Product),
    repository: RepositoryId,
) -> Result<(), Error> {
    let at = |problem: &str| Error::new(Kind::ImportRefused, format!("{}: {problem}", row.location));
    create::check_name("serial", &row.serial).map_err(|error| at(&error.message))?;
    if tx.reader().has_serial(&row.serial)? {
        let error = create::serial_taken(&row.serial);
        return Err(Error::new(error.kind, format!("{}: {}", row.location, error.message)));
    }
    if let Some(codes) = &row.product_codes
        && format!("{}{}", codes.manufacturer, codes.product) != model.code
    {
        return Err(at(&format!("the file is of product {}/{}", codes.manufacturer, codes.product)));
    }
    let parameters = row.parameters(model.parameters);
    let token = tx.insert_token(&NewToken {
        serial: row.serial.clone(),
        identifier: row.serial.clone(),
        product,
        repository,
        description: row.description.unwrap_or_default(),
        import: Some(import),
    })?;
    let counter = row.counter.unwrap_or(0);
    tx.put_credential(token, &Credential { secret: row.secret, parameters }, counter, 0)?;
    Ok(())
}
