//! The whole log as lines of JSON ([`crate::audit::line`]), a page at a time. What is written while it runs is left
//! to the next export, which can go on after the last row of this one.

use std::sync::Arc;

use crate::app::App;
use crate::audit::line::{Beginning, Line, NodeLine, Place, RowLine};
use crate::service::error::{Error, Kind};

/// Rows of a page.
const PAGE: i64 = 1000;

/// An export under way.
pub struct Export {
    app: Arc<App>,
    /// The row that was written last.
    last: Place,
    /// Where it will end.
    until: i64,
    first: Option<Line>,
    ended: bool,
}

impl Export {
    /// Begins after a row, or at the beginning of what is there.
    ///
    /// # Errors
    /// `request.invalid` if there is no such row any more.
    pub async fn begin(app: Arc<App>, after: Option<i64>) -> Result<Self, Error> {
        let (nodes, cut, place, until) = app
            .store
            .read(move |reader| {
                let place = after.map(|after| reader.audit_row(after)).transpose()?.flatten();
                Ok::<_, Error>((reader.audit_nodes()?, reader.audit_cut()?, place, reader.audit_newest()?))
            })
            .await?;
        let after = after.filter(|after| *after != 0);
        let gone = cut.as_ref().map_or(0, |cut| cut.head.sequence);
        let place = place.filter(|row| row.sequence > gone).map(|row| Place::new(row.sequence, &row.hash));
        if after.is_some() && place.is_none() {
            return Err(Error::invalid("after", "names no row that is there"));
        }
        let last = match (&place, &cut) {
            (Some(place), _) => place.clone(),
            (None, Some(cut)) => Place::new(cut.head.sequence, &cut.head.hash),
            (None, None) => Place { sequence: 0, hash: String::new() },
        };
        let first = Line::Log(Beginning {
            version: 1,
            nodes: nodes.iter().map(NodeLine::from).collect(),
            cut: cut.filter(|_| place.is_none()),
            after: place,
        });
        Ok(Self { app, last, until, first: Some(first), ended: false })
    }

    /// The next lines; `None` once all were given.
    ///
    /// # Errors
    /// If the log cannot be read, or was pruned past the place where this export stands.
    pub async fn next(&mut self) -> Result<Option<String>, Error> {
        if let Some(first) = self.first.take() {
            return text(&[first]).map(Some);
        }
        if self.ended {
            return Ok(None);
        }
        let (after, until) = (self.last.sequence, self.until);
        let (rows, heads) = self
            .app
            .store
            .read(move |reader| {
                let mut rows = reader.audit_rows(after, PAGE)?;
                rows.retain(|row| row.sequence <= until);
                let last = rows.last().map_or(after, |row| row.sequence);
                Ok::<_, Error>((rows, reader.audit_heads(after, last)?))
            })
            .await?;
        let pruned = match rows.first() {
            Some(row) => row.sequence != after + 1 && after != 0,
            None => after < until,
        };
        if pruned {
            return Err(Error::new(Kind::Unavailable, "the log was pruned while it was exported"));
        }
        let mut heads = heads.into_iter().peekable();
        let mut lines = Vec::with_capacity(rows.len() + 1);
        for row in rows {
            self.last = Place::new(row.sequence, &row.hash);
            let sequence = row.sequence;
            lines.push(Line::Row(RowLine::from(row)));
            while let Some(head) = heads.next_if(|head| head.head.sequence <= sequence) {
                lines.push(Line::Head(head));
            }
        }
        if self.last.sequence >= until {
            self.ended = true;
            lines.push(Line::End(self.last.clone()));
        }
        text(&lines).map(Some)
    }
}

fn text(lines: &[Line]) -> Result<String, Error> {
    let mut text = String::new();
    for line in lines {
        let line = serde_json::to_string(line)
            .map_err(|error| Error::new(Kind::Internal, format!("a line cannot be written: {error}")))?;
        text.push_str(&line);
        text.push('\n');
    }
    Ok(text)
}
