//! What a test tells the fake server to do, request by request.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;

use super::store::Store;

/// A request as it came in, its body unpacked.
#[derive(Debug, Clone)]
pub struct Request {
    /// Upper case.
    pub method: String,
    /// Without the query.
    pub path: String,
    /// Without the question mark.
    pub query: String,
    /// Lower-case names.
    pub headers: BTreeMap<String, String>,
    /// What was sent, unpacked.
    pub body: Vec<u8>,
    /// Bytes on the wire.
    pub wire_bytes: usize,
}

/// One item of a bulk request.
#[derive(Debug, Clone)]
pub struct Item {
    /// `create` or `index`.
    pub action: String,
    /// The document's.
    pub id: String,
    /// Sequence number and primary term that it must have.
    pub condition: Option<(u64, u64)>,
    /// The document.
    pub source: Value,
}

impl Request {
    /// Whether products are written.
    pub fn writes_products(&self) -> bool {
        self.path == "/products/_bulk"
    }

    /// The items of a bulk request; empty if it is none.
    pub fn items(&self) -> Vec<Item> {
        if !self.path.ends_with("/_bulk") {
            return Vec::new();
        }
        let lines: Vec<Value> = self
            .body
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).expect("lines of JSON"))
            .collect();
        let item = |pair: &[Value]| {
            let (action, of) = pair[0].as_object().and_then(|action| action.iter().next()).expect("an action");
            Item {
                action: action.clone(),
                id: of["_id"].as_str().expect("an id").to_owned(),
                condition: of["if_seq_no"].as_u64().zip(of["if_primary_term"].as_u64()),
                source: pair[1].clone(),
            }
        };
        lines.chunks_exact(2).map(item).collect()
    }

    /// The ids of a bulk request.
    pub fn ids(&self) -> Vec<String> {
        self.items().into_iter().map(|item| item.id).collect()
    }
}

/// An answer of its own for an item, or none.
pub type Answers = Box<dyn Fn(&Item) -> Option<Value> + Send>;

/// What goes wrong with one request.
pub enum Fault {
    /// Nothing.
    None,
    /// Not carried out, answered like this.
    Answer(u16, String),
    /// Not carried out, never answered.
    Hang,
    /// Not carried out, the connection is closed.
    Cut,
    /// Carried out, the connection is closed instead of an answer.
    CutAfterwards,
    /// Carried out, and of the answer only so many bytes arrive.
    Truncated(usize),
    /// Carried out, the answer becomes what this makes of it.
    Garbled(Box<dyn FnOnce(String) -> String + Send>),
    /// Carried out at once, answered so much later.
    Late(Duration),
    /// Somebody else does this first; then it is carried out.
    After(Box<dyn FnOnce(&mut Store) + Send>),
    /// Items with an answer here get it and are not carried out.
    Items(Answers),
}

impl Fault {
    /// An error in Elasticsearch's own words.
    pub fn error(status: u16, kind: &str, reason: &str) -> Fault {
        let (status, body) = super::store::error(status, kind, reason);
        Fault::Answer(status, body.to_string())
    }
}

/// Decides on each request.
pub type Script = Box<dyn FnMut(&Request) -> Fault + Send>;
