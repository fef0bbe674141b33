//! The watchlist: read from the user's file, merged into the catalog, stored as it changes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use shared::domain::{Asin, UnixMillis};
use shared::ports::Catalog;
use shared::ports::catalog::{CatalogError, Condition, StateKind, StateQuery, StateRecord, Version, Write, WriteOutcome};
use shared::wire::state::WatchedAsin;

use crate::plan::{Plan, merged};

/// `added_by` of what stands in the user's file.
pub const BY_FILE: &str = "watchlist";
/// `added_by` of the simulator's articles.
pub const BY_DEMO: &str = "demo";

/// Records per page when loading, and per write.
const PAGE: usize = 500;

/// What a watchlist file holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WatchlistFile {
    /// In the order of the file, once each.
    pub asins: Vec<Asin>,
    /// Lines that hold no ASIN.
    pub bad_lines: Vec<BadLine>,
}

/// A line that is no ASIN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// From 1.
    pub number: usize,
    /// What stands there, cut to 40 characters.
    pub text: String,
}

/// The file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum WatchlistError {
    /// Missing, a folder, not allowed.
    #[error("{path} cannot be read: {source}")]
    Unreadable {
        /// Which file.
        path: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A table without a column of that name.
    #[error("{path} is a table without a column asin: its columns are {columns}")]
    NoColumn {
        /// Which file.
        path: String,
        /// Those it has.
        columns: String,
    },
    /// Bad lines only.
    #[error("{path} holds no ASIN; line {} is {:?}", .first.number, .first.text)]
    NoAsin {
        /// Which file.
        path: String,
        /// The first bad line.
        first: BadLine,
    },
}

/// Reads a watchlist file: one ASIN a line, `#` begins a comment; or CSV with a column `asin`. An empty one is a watchlist
/// too: containers mount `/dev/null` where their operator has none.
///
/// # Errors
/// A file that cannot be read, or whose lines hold no ASIN; it is named.
pub fn read(path: &Path) -> Result<WatchlistFile, WatchlistError> {
    let name = || path.display().to_string();
    let bytes = std::fs::read(path).map_err(|source| WatchlistError::Unreadable { path: name(), source })?;
    let file = parse(&String::from_utf8_lossy(&bytes)).map_err(|columns| WatchlistError::NoColumn { path: name(), columns })?;
    if file.asins.is_empty()
        && let Some(first) = file.bad_lines.first()
    {
        let first = first.clone();
        return Err(WatchlistError::NoAsin { path: name(), first });
    }
    Ok(file)
}

/// The columns of a table that has none named `asin`.
type Columns = String;

fn parse(text: &str) -> Result<WatchlistFile, Columns> {
    let text = text.strip_prefix('\u{FEFF}').unwrap_or(text);
    let lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
    let mut lines = lines.filter(|(_, line)| !without_comment(line).is_empty()).peekable();
    let table = match lines.peek() {
        Some((_, header)) => Table::of_header(header)?,
        None => None,
    };
    if table.is_some() {
        lines.next();
    }
    let mut file = WatchlistFile::default();
    let mut seen = BTreeSet::new();
    for (number, line) in lines {
        let text = table.as_ref().map_or_else(|| without_comment(line).to_owned(), |table| table.cell(line));
        match text.parse::<Asin>() {
            Ok(asin) if seen.insert(asin) => file.asins.push(asin),
            Ok(_) => {}
            Err(_) => file.bad_lines.push(BadLine {
                number,
                text: text.chars().take(40).collect(),
            }),
        }
    }
    Ok(file)
}

fn without_comment(line: &str) -> &str {
    line.split('#').next().unwrap_or_default().trim()
}

/// How a CSV file is laid out.
struct Table {
    separator: char,
    column: usize,
}

impl Table {
    /// A first line is a header if it names a column `asin`, or has several columns of which none is an ASIN.
    fn of_header(header: &str) -> Result<Option<Self>, Columns> {
        let header = header.trim();
        let separator = [';', '\t', ','].into_iter().find(|separator| header.contains(*separator)).unwrap_or(',');
        let cells = cells(header, separator);
        if let Some(column) = cells.iter().position(|cell| cell.eq_ignore_ascii_case("asin")) {
            return Ok(Some(Table { separator, column }));
        }
        let is_table = cells.len() > 1 && !without_comment(header).contains(char::is_whitespace);
        let is_data = cells.first().is_some_and(|cell| cell.parse::<Asin>().is_ok());
        if is_table && !is_data {
            Err(cells.join(", ").chars().take(200).collect())
        } else {
            Ok(None)
        }
    }

    fn cell(&self, line: &str) -> String {
        cells(line, self.separator).into_iter().nth(self.column).unwrap_or_default()
    }
}

/// The cells of a line; a cell in double quotes may hold separators, and quotes written twice.
fn cells(line: &str, separator: char) -> Vec<String> {
    let mut cells = vec![String::new()];
    let mut quoted = false;
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        let cell = cells.last_mut().expect("there is always a cell");
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                cell.push('"');
            }
            '"' => quoted = !quoted,
            _ if character == separator && !quoted => cells.push(String::new()),
            _ => cell.push(character),
        }
    }
    cells.into_iter().map(|cell| cell.trim().to_owned()).collect()
}

/// The watchlist in the catalog.
#[derive(Debug, Default)]
pub struct WatchlistStore {
    versions: BTreeMap<Asin, Version>,
}

impl WatchlistStore {
    /// Fills the plan: what is stored, then what the file and the demo add, then what is new is stored.
    ///
    /// Articles that stand in the catalog because of a file or a demo, and no longer in it, are not watched any more.
    ///
    /// # Errors
    /// As the catalog's; the plan may be filled in part then.
    pub async fn load(&mut self, catalog: &dyn Catalog, plan: &mut Plan, wanted: &[(&str, &[Asin])], now: UnixMillis) -> Result<(), CatalogError> {
        let stored = self.list(catalog).await?;
        let named: BTreeSet<Asin> = wanted.iter().flat_map(|(_, asins)| asins.iter().copied()).collect();
        for (added_by, asins) in wanted {
            for &asin in *asins {
                plan.watch(asin, stored.get(&asin).cloned(), added_by, now);
            }
        }
        for (asin, record) in stored {
            if !named.contains(&asin) && ![BY_FILE, BY_DEMO].contains(&record.added_by.as_str()) {
                plan.watch(asin, Some(record), "", now);
            }
        }
        Ok(())
    }

    async fn list(&mut self, catalog: &dyn Catalog) -> Result<BTreeMap<Asin, WatchedAsin>, CatalogError> {
        let mut stored = BTreeMap::new();
        let mut query = StateQuery {
            group: None,
            status: None,
            ascending: true,
            limit: PAGE,
            cursor: None,
        };
        loop {
            let page = catalog.list_states(StateKind::Watchlist, &query).await?;
            for item in page.items {
                let Ok(asin) = item.value.id.parse::<Asin>() else {
                    tracing::warn!(id = item.value.id, "watchlist record is not of an asin");
                    continue;
                };
                self.versions.insert(asin, item.version);
                let record = serde_json::from_value(item.value.body).unwrap_or_else(|error| {
                    tracing::warn!(%asin, %error, "watchlist record cannot be read and starts anew");
                    WatchedAsin::default()
                });
                stored.insert(asin, record);
            }
            query.cursor = page.next_cursor;
            if query.cursor.is_none() {
                return Ok(stored);
            }
        }
    }

    /// Stores what changed in the plan, conditionally: where somebody else wrote, the newer of each fact is kept.
    ///
    /// # Errors
    /// As the catalog's; what was not stored is unsaved in the plan again.
    pub async fn save(&mut self, catalog: &dyn Catalog, plan: &mut Plan) -> Result<(), CatalogError> {
        let mut unsaved = plan.take_unsaved();
        while !unsaved.is_empty() {
            let chunk: Vec<(Asin, WatchedAsin)> = unsaved.drain(..unsaved.len().min(PAGE)).collect();
            if let Err(error) = self.save_chunk(catalog, plan, &chunk).await {
                plan.not_saved(chunk.into_iter().chain(unsaved).map(|(asin, _)| asin));
                return Err(error);
            }
        }
        Ok(())
    }

    async fn save_chunk(&mut self, catalog: &dyn Catalog, plan: &mut Plan, chunk: &[(Asin, WatchedAsin)]) -> Result<(), CatalogError> {
        let mut left: Vec<(Asin, WatchedAsin)> = chunk.to_vec();
        let mut refused = None;
        for _ in 0..5 {
            let writes: Vec<Write<StateRecord>> = left.iter().map(|(asin, record)| self.write(*asin, record)).collect();
            let outcomes = catalog.write_states(StateKind::Watchlist, &writes).await?;
            let mut conflicts = Vec::new();
            let mut again = Vec::new();
            for ((asin, record), outcome) in left.into_iter().zip(outcomes) {
                match outcome {
                    WriteOutcome::Written(version) => {
                        self.versions.insert(asin, version);
                    }
                    WriteOutcome::Conflict => conflicts.push((asin, record)),
                    WriteOutcome::Retry { reason } => {
                        refused = Some(reason);
                        again.push((asin, record));
                    }
                    WriteOutcome::Refused { reason } => tracing::error!(%asin, reason, "catalog refuses a watchlist record"),
                }
            }
            for (asin, record) in self.reread(catalog, conflicts).await? {
                plan.absorb(asin, &record);
                again.push((asin, record));
            }
            left = again;
            if left.is_empty() {
                return Ok(());
            }
        }
        Err(CatalogError::Unavailable {
            reason: refused.unwrap_or_else(|| "somebody else keeps writing the watchlist".to_owned()),
        })
    }

    /// Reads records that somebody else wrote and keeps the newer of each fact.
    async fn reread(&mut self, catalog: &dyn Catalog, ours: Vec<(Asin, WatchedAsin)>) -> Result<Vec<(Asin, WatchedAsin)>, CatalogError> {
        if ours.is_empty() {
            return Ok(Vec::new());
        }
        let ids: Vec<String> = ours.iter().map(|(asin, _)| asin.to_string()).collect();
        let theirs = catalog.read_states(StateKind::Watchlist, &ids).await?;
        let mut merged_records = Vec::new();
        for ((asin, ours), theirs) in ours.into_iter().zip(theirs) {
            let Some(theirs) = theirs else {
                self.versions.remove(&asin);
                merged_records.push((asin, ours));
                continue;
            };
            let record = serde_json::from_value::<WatchedAsin>(theirs.value.body).unwrap_or_default();
            self.versions.insert(asin, theirs.version);
            merged_records.push((asin, merged(&ours, &record)));
        }
        Ok(merged_records)
    }

    fn write(&self, asin: Asin, record: &WatchedAsin) -> Write<StateRecord> {
        let value = StateRecord {
            id: asin.to_string(),
            group: Some(record.added_by.clone()),
            status: None,
            at: record.last_asked_at.unwrap_or(UnixMillis(0)),
            body: serde_json::to_value(record).expect("a watchlist record is a plain struct"),
        };
        let condition = self.versions.get(&asin).cloned().map_or(Condition::Absent, Condition::Unchanged);
        Write { value, condition }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Vec<String>, Vec<usize>) {
        let file = parse(text).unwrap();
        (
            file.asins.iter().map(ToString::to_string).collect(),
            file.bad_lines.iter().map(|bad| bad.number).collect(),
        )
    }

    fn asins(list: &[&str]) -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn one_asin_a_line_with_comments() {
        let text = "# mine\nB0D1XD1ZV3\n\n  0441013597  # a book\nb0d1xd1zv3\nnope\n055299068X\r\nB0D1XD1ZV";
        assert_eq!(parsed(text), (asins(&["B0D1XD1ZV3", "0441013597", "055299068X"]), vec![6, 8]));
    }

    #[test]
    fn csv_with_a_column_asin() {
        for text in [
            "title,ASIN,price\n\"Lamp, red\",B0D1XD1ZV3,1\nx,0441013597,2\nx,,3",
            "\u{FEFF}asin;note\nB0D1XD1ZV3;a,b\n0441013597;\n;",
            "# export\nno\tasin\n1\tB0D1XD1ZV3\n2\t\"0441013597\"\n3\tshort",
            "Asin\nB0D1XD1ZV3\n0441013597\nno asin",
        ] {
            let (found, bad) = parsed(text);
            assert_eq!(found, asins(&["B0D1XD1ZV3", "0441013597"]), "{text}");
            assert_eq!(bad.len(), 1, "{text}");
        }
        assert_eq!(parse("name;price\nx;1").unwrap_err(), "name, price");
        assert_eq!(parsed("B0D1XD1ZV3,x\n").1, [1], "no header: a line with more than an ASIN is a bad line");
    }

    #[test]
    fn a_file_of_no_use_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing.txt");
        assert!(read(&missing).unwrap_err().to_string().contains("missing.txt"));
        let bad = folder.path().join("bad.txt");
        std::fs::write(&bad, "# nothing\nnone\n").unwrap();
        let error = read(&bad).unwrap_err().to_string();
        assert!(error.contains("bad.txt") && error.contains("line 2") && error.contains("none"), "{error}");
        let table = folder.path().join("table.csv");
        std::fs::write(&table, "a;b\n1;2\n").unwrap();
        assert!(read(&table).unwrap_err().to_string().contains("a, b"));
        let binary = folder.path().join("binary");
        std::fs::write(&binary, [0xff, 0xfe, 0, 10, 0xff]).unwrap();
        assert!(matches!(read(&binary), Err(WatchlistError::NoAsin { .. })));
    }

    #[test]
    fn an_empty_file_is_a_watchlist_without_articles() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("list.txt");
        for text in ["", "\n", "# nothing yet\n", "asin;note\n"] {
            std::fs::write(&file, text).unwrap();
            assert_eq!(read(&file).unwrap(), WatchlistFile::default(), "{text:?}");
        }
    }
}
