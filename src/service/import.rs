//! Import: tokens with their secrets from a file. All rows or none; a serial that is known refuses the file.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Write as _;
use std::io::{Cursor, Read};
use std::sync::Arc;

use serde_json::Value as Json;
use zeroize::Zeroizing;

use super::error::{Error, Kind};
use super::inventory::Selector;
use super::{chunks, create};
use crate::access::Caller;
use crate::app::App;

use crate::formats::error::FormatError;
use crate::formats::seed::Reading;
use crate::formats::{self, Format, ImportedCredential, Location};
use crate::model::id::{ProductId, RepositoryId};
use crate::otp::algorithm::Algorithm;
use crate::otp::credential::{Credential, Kind as Otp, Parameters};
use crate::otp::passcode::Digits;
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
    /// How the seeds of a CSV file are written, if not in hexadecimal; `token/solve` finds that out.
    pub reading: Option<Reading>,
    /// What is said of the tokens here wins over the file.
    pub said: Said,
}

/// What is known better than the file says it.
#[derive(Clone, Copy, Default)]
pub struct Said {
    /// HOTP or TOTP with its time step.
    pub kind: Option<Otp>,
    /// The hash function.
    pub algorithm: Option<Algorithm>,
    /// The length of a passcode.
    pub digits: Option<Digits>,
}

impl Said {
    fn over(self, read: Parameters) -> Parameters {
        Parameters {
            kind: self.kind.unwrap_or(read.kind),
            algorithm: self.algorithm.unwrap_or(read.algorithm),
            digits: self.digits.unwrap_or(read.digits),
        }
    }
}

/// Imports a file. Answers with the number of tokens and what the caller wants to see of each, as JSON text: as
/// values, the rows would take more memory than all the rest.
///
/// # Errors
/// [`Kind::ImportRefused`] names the row and field; [`Kind::Exists`] the serial. Nothing is imported then.
pub async fn import(
    app: &Arc<App>,
    caller: &Caller,
    request: ImportRequest,
    wanted: Vec<Json>,
) -> Result<String, Error> {
    let ImportRequest { product, repository, data, reading, said } = request;
    let (file, total) = tokio::task::spawn_blocking(move || File::check(data, reading))
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
    let caller = caller.clone();
    let import = chunks::write_all(
        app,
        "token/import",
        file.rows(),
        move |tx, import, row| insert(tx, import, row?, (product, &model, said), repository),
        move |tx, import| {
            let mut entry = caller.did("token/import");
            entry.outcome = "imported";
            entry.detail = format!("{total} tokens of product {product}");
            tx.audit(entry);
            Ok(import)
        },
    )
    .await?;
    show(app, import, total, wanted).await
}

/// Reads back what the caller wants to see, page by page.
async fn show(app: &App, import: ImportId, total: usize, wanted: Vec<Json>) -> Result<String, Error> {
    let mut text = format!("{{\"total\":{total},\"rows\":[");
    let (mut shown, mut after) = (0, 0);
    while shown < total {
        let wanted = wanted.clone();
        let (page, last) = app
            .store
            .read(move |reader| {
                let page = (after, SHOWN_AT_ONCE);
                Ok::<_, Error>(objects::imported(reader, &objects::TOKEN, import, &wanted, page)?)
            })
            .await?;
        after = last;
        // Somebody may have deleted some of them in the meantime.
        if page.is_empty() {
            break;
        }
        for row in page {
            let comma = if shown == 0 { "" } else { "," };
            let _ = write!(text, "{comma}{row}");
            shown += 1;
        }
    }
    text.push_str("]}");
    Ok(text)
}

/// A file that was read to its end once, and found good.
struct File {
    text: Zeroizing<Vec<u8>>,
    format: Format,
    reading: Option<Reading>,
}

impl File {
    /// Reads the whole file first: a mistake in its last row must not cost the writer anything. What it holds is not
    /// kept: the rows are read again as they are written. Returns their number too.
    fn check(text: String, reading: Option<Reading>) -> Result<(Self, usize), Error> {
        let text = Zeroizing::new(text.into_bytes());
        let is_document = text.trim_ascii_start().starts_with(b"<");
        let format = match reading {
            Some(_) if is_document => {
                let text = "belongs to CSV: a PSKC or DualShield file says itself how its seeds are written";
                return Err(Error::invalid("attrs.reading", text));
            }
            // A file of other seeds does not look like one of hexadecimal ones.
            Some(_) => Format::OathCsv,
            None => formats::detect::detect(text.as_slice()).map_err(refused)?,
        };
        let file = Self { text, format, reading };
        let mut seen: HashMap<String, Location> = HashMap::new();
        for row in file.records(file.text.as_slice()) {
            let ImportedCredential { location, serial, .. } = row.map_err(refused)?;
            if seen.len() == MOST_TOKENS {
                let text = format!("{location}: one file may hold at most {MOST_TOKENS} tokens");
                return Err(Error::new(Kind::ImportRefused, text));
            }
            match seen.entry(serial) {
                Entry::Vacant(entry) => drop(entry.insert(location)),
                Entry::Occupied(first) => {
                    let text =
                        format!("{location}: serial {} stands at {} already", first.key(), first.get());
                    return Err(Error::new(Kind::ImportRefused, text));
                }
            }
        }
        if seen.is_empty() {
            return Err(Error::new(Kind::ImportRefused, "the file holds no tokens"));
        }
        Ok((file, seen.len()))
    }

    fn records<R: Read>(&self, input: R) -> formats::Records<R> {
        match self.reading {
            Some(reading) => formats::read_csv_as(input, reading),
            None => formats::read(input, self.format),
        }
    }

    fn rows(mut self) -> impl Iterator<Item = Result<ImportedCredential, Error>> + Send + 'static {
        let text = std::mem::take(&mut self.text);
        self.records(Cursor::new(text)).map(|row| row.map_err(refused))
    }
}

fn refused(error: FormatError) -> Error {
    Error::new(Kind::ImportRefused, error.to_string())
}

fn insert(
    tx: &Tx<'_>,
    import: ImportId,
    row: ImportedCredential,
    (product, model, said): (ProductId, &Product, Said),
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
    let parameters = said.over(row.parameters(model.parameters));
    let token = NewToken {
        identifier: row.serial.clone(),
        serial: row.serial,
        product,
        repository,
        description: row.description.unwrap_or_default(),
        import: Some(import),
    };
    tx.insert_token_with(&token, &Credential { secret: row.secret, parameters }, row.counter.unwrap_or(0))?;
    Ok(())
}
