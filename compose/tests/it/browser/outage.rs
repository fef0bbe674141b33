//! A catalog that can be taken away: the embedded one, whose file somebody else holds, or an Elasticsearch behind a proxy.

use std::path::Path;
use std::time::Duration;

use shared::adapters::elastic::{ElasticCatalog, ElasticConfig};

use crate::cluster::proxy::{Fault, Proxy};

/// The catalog of a stage.
pub struct Catalog {
    /// What leads the product to it.
    pub variables: Vec<(String, String)>,
    kind: Kind,
}

enum Kind {
    Embedded(Option<Holder>),
    Elasticsearch(Proxy, Box<ElasticCatalog>),
}

/// Somebody who holds the file, as a backup that hangs would.
struct Holder {
    connection: libsql::Connection,
    // libsql closes the last handle of a connection twice; a statement that goes after it keeps that from happening.
    _last_handle: libsql::Statement,
}

impl Catalog {
    /// The one the product brings along.
    pub fn embedded() -> Catalog {
        Catalog {
            variables: Vec::new(),
            kind: Kind::Embedded(None),
        }
    }

    /// Indices of its own on this server.
    pub async fn elasticsearch(server: &str) -> Catalog {
        let url: url::Url = server.parse().expect("ELASTICSEARCH_URL is a URL");
        let host = url.host_str().expect("a host");
        let proxy = Proxy::start(&format!("{host}:{}", url.port_or_known_default().expect("a port"))).await;
        let prefix = format!("browser-{:016x}-", rand::random::<u64>());
        let direct = ElasticCatalog::connect(ElasticConfig {
            index_prefix: prefix.clone(),
            ..ElasticConfig::open(url)
        });
        Catalog {
            variables: vec![
                ("ELASTICSEARCH_URL".to_owned(), format!("http://{}", proxy.address)),
                ("INDEX_PREFIX".to_owned(), prefix.clone()),
            ],
            kind: Kind::Elasticsearch(proxy, Box::new(direct.expect("a client"))),
        }
    }

    /// From now on the product cannot use it.
    pub async fn take_away(&mut self, data: &Path) {
        match &mut self.kind {
            Kind::Embedded(holder) => *holder = Some(hold(data).await),
            Kind::Elasticsearch(proxy, _) => proxy.set(Fault {
                refuse: true,
                ..Fault::default()
            }),
        }
    }

    /// It is there again.
    pub async fn bring_back(&mut self) {
        match &mut self.kind {
            Kind::Embedded(holder) => {
                let holder = holder.take().expect("it was taken away");
                holder.connection.execute("ROLLBACK", ()).await.expect("let go");
            }
            Kind::Elasticsearch(proxy, _) => proxy.set(Fault::default()),
        }
    }

    /// Leaves nothing behind on a server.
    pub async fn remove(self) {
        if let Kind::Elasticsearch(_, direct) = self.kind {
            direct.remove_everything().await.expect("our own indices");
        }
    }
}

async fn hold(data: &Path) -> Holder {
    let path = catalog_file(data);
    let database = libsql::Builder::new_local(&path).build().await.expect("the file is there");
    let connection = database.connect().expect("a connection");
    let last_handle = connection.prepare("SELECT 1").await.expect("a statement");
    connection.busy_timeout(Duration::from_secs(10)).expect("set");
    connection.execute("BEGIN IMMEDIATE", ()).await.expect("nobody holds it for long");
    Holder {
        connection,
        _last_handle: last_handle,
    }
}

/// The product keeps it in a folder for the kind of its data.
fn catalog_file(data: &Path) -> std::path::PathBuf {
    let folders = std::fs::read_dir(data).expect("the data folder").map(|entry| entry.expect("an entry").path());
    let mut files = folders.map(|folder| folder.join("catalog.db")).filter(|file| file.is_file());
    files.next().unwrap_or_else(|| panic!("no catalog below {}", data.display()))
}
