//! An Elasticsearch that asks for a password: `export $(compose/servers up --only elasticsearch --secure)`.
//!
//! With these variables all other tests of the catalog run with the role that `compose/grant-access` gives to the services.
//! Here is what it is enough for at a glance, what it is not enough for, and what a lost user means.

use std::process::Command;

use elasticsearch::http::Method;
use serde_json::{Value, json};
use shared::adapters::elastic::reindex::{Documents, Plan};
use shared::adapters::elastic::{ElasticCatalog, ElasticConfig, ElasticCredentials};
use shared::config::Secret;
use shared::ports::Catalog as _;
use shared::ports::catalog::{CatalogError, StateKind};
use tokio_util::sync::CancellationToken;

use super::indices::{operate, request_as};
use super::samples::{asin, at, opportunities, opportunity_query, product_query, products, state, state_query};
use super::{all_written, creates, elasticsearch, update};
use crate::servers::said_by;

/// The one of all tests: there is one role, and whoever grants it at the same time grants the same.
const PREFIX: &str = "test-*";

/// A user of the services, made as containers make theirs.
struct Granted {
    config: ElasticConfig,
    user: (String, String),
}

impl Granted {
    /// None where no superuser's password is known.
    fn services(test: &str) -> Option<Granted> {
        let superuser = said_by("ELASTIC_PASSWORD", test)?;
        let mut config = elasticsearch(test)?;
        let user = (format!("test-{:016x}", rand::random::<u64>()), format!("{:032x}", rand::random::<u128>()));
        // Harmless when repeated.
        for _ in 0..2 {
            let granted = Command::new("bash")
                .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../compose/grant-access"))
                .env("ELASTICSEARCH_URL", config.urls[0].as_str().trim_end_matches('/'))
                .env("ELASTIC_PASSWORD", &superuser)
                .env("SERVICES_USERNAME", &user.0)
                .env("SERVICES_PASSWORD", &user.1)
                .env("INDEX_PREFIX", PREFIX)
                .output()
                .unwrap();
            let said = String::from_utf8([granted.stdout, granted.stderr].concat()).unwrap();
            assert!(granted.status.success(), "{said}");
            assert!(!said.contains(&superuser) && !said.contains(&user.1), "a password is shown");
        }
        config.credentials = Some(credentials(&user.0, &user.1));
        Some(Granted { config, user })
    }

    fn connect(&self) -> ElasticCatalog {
        ElasticCatalog::connect(self.config.clone()).unwrap()
    }

    /// What the services' user is answered.
    async fn ask(&self, method: Method, path: &str, body: Option<Value>) -> (u16, String) {
        request_as(Some(self.user.clone()), &self.config, method, path, body).await
    }

    /// A change of the user, by the superuser.
    async fn change(&self, method: Method, what: &str) {
        let path = format!("/_security/user/{}{what}", self.user.0);
        let (status, text) = operate(&self.config, method, &path, None).await;
        assert_eq!(status, 200, "{text}");
    }
}

fn credentials(name: &str, password: &str) -> ElasticCredentials {
    ElasticCredentials::Basic {
        username: name.into(),
        password: Secret::new(password),
    }
}

#[tokio::test]
async fn the_role_of_the_services_is_enough_for_all_that_they_do() {
    let Some(granted) = Granted::services("the_role_of_the_services_is_enough_for_all_that_they_do") else {
        return;
    };
    // A server that may not be asked this is taken for one without analyzers, with nothing but a warning.
    let analyzed = granted.ask(Method::Post, "/_analyze", Some(json!({"analyzer": "standard", "text": "a"}))).await;
    assert_eq!(analyzed.0, 200, "{}", analyzed.1);

    let catalog = granted.connect();
    for _start in 0..2 {
        catalog.prepare().await.unwrap();
        catalog.check().await.unwrap();
    }
    let mut stored = products(1, 3);
    all_written(&catalog.write_products(&creates(&stored)).await.unwrap());
    all_written(&catalog.write_opportunities(&creates(&opportunities(1, 3))).await.unwrap());
    for kind in StateKind::ALL {
        all_written(&catalog.write_states(kind, &creates(&[state("a", None, None, 1)])).await.unwrap());
    }
    for documents in [Documents::Products, Documents::Opportunities] {
        let done = catalog.reindex(&Plan::of(documents), &CancellationToken::new(), &mut |_| {}).await.unwrap();
        assert!(done.is_some_and(|done| done.to.ends_with("-v2")));
    }
    let read = catalog.read_products(&[asin(0)]).await.unwrap().remove(0).expect("it is there");
    stored[0].revision = read.value.revision + 1;
    all_written(&catalog.write_products(&[update(stored[0].clone(), read.version)]).await.unwrap());
    catalog.refresh().await.unwrap();
    assert_eq!(catalog.search_products(&product_query()).await.unwrap().total.value, 3);
    assert!(catalog.search_opportunities(&opportunity_query()).await.unwrap().total.value > 0);
    assert_eq!(catalog.list_states(StateKind::Runs, &state_query()).await.unwrap().total.value, 1);
    catalog.statistics(at(0), at(0)).await.unwrap();

    // What a run that was killed has left: the services open the index again.
    let index = format!("{}products-v2", granted.config.index_prefix);
    let closing = json!({"actions": [{"add": {"index": index, "alias": format!("{index}-closing-1-ab")}}]});
    assert_eq!(operate(&granted.config, Method::Post, "/_aliases", Some(closing)).await.0, 200);
    assert_eq!(operate(&granted.config, Method::Put, &format!("/{index}/_block/write"), None).await.0, 200);
    catalog.check().await.unwrap();
    let read = catalog.read_products(&[asin(0)]).await.unwrap().remove(0).expect("it is there");
    stored[0].revision += 1;
    all_written(&catalog.write_products(&[update(stored[0].clone(), read.version)]).await.unwrap());

    catalog.remove_everything().await.unwrap();
    granted.change(Method::Delete, "").await;
}

#[tokio::test]
async fn the_role_of_the_services_is_enough_for_nothing_else() {
    let Some(granted) = Granted::services("the_role_of_the_services_is_enough_for_nothing_else") else {
        return;
    };
    let catalog = granted.connect();
    catalog.prepare().await.unwrap();
    let foreign = format!("foreign-{:016x}", rand::random::<u64>());
    let (status, text) = operate(&granted.config, Method::Put, &format!("/{foreign}"), None).await;
    assert_eq!(status, 200, "{text}");

    let own = format!("{}products-v1", granted.config.index_prefix);
    let document = || Some(json!({"a": 2}));
    let aliases = |index: &str, alias: &str| Some(json!({"actions": [{"add": {"index": index, "alias": alias}}]}));
    for (method, path, body) in [
        (Method::Get, format!("/{foreign}/_doc/1"), None),
        (Method::Get, format!("/{foreign}/_search"), None),
        (Method::Get, format!("/{foreign}/_settings"), None),
        (Method::Put, format!("/{foreign}/_doc/1"), document()),
        (Method::Delete, format!("/{foreign}"), None),
        (Method::Put, format!("/{foreign}-2"), None),
        (Method::Post, "/_aliases".into(), aliases(&foreign, &format!("{own}-a"))),
        (Method::Post, "/_aliases".into(), aliases(&own, &format!("{foreign}-a"))),
        // Documents are replaced, never deleted.
        (Method::Delete, format!("/{own}/_doc/1"), None),
        (Method::Get, "/_security/user".into(), None),
        (Method::Put, "/_security/role/services".into(), Some(json!({"cluster": ["all"]}))),
        (
            Method::Put,
            "/_cluster/settings".into(),
            Some(json!({"persistent": {"action.auto_create_index": "true"}})),
        ),
        (Method::Get, "/_nodes".into(), None),
    ] {
        let (status, text) = granted.ask(method, &path, body).await;
        assert_eq!(status, 403, "{method:?} {path}: {text}");
    }
    // Nor is it seen by a look at everything.
    let (status, text) = granted.ask(Method::Get, "/_all/_alias", None).await;
    assert!(status == 200 && text.contains(&own) && !text.contains(&foreign), "{text}");

    operate(&granted.config, Method::Delete, &format!("/{foreign}"), None).await;
    catalog.remove_everything().await.unwrap();
    granted.change(Method::Delete, "").await;
}

#[tokio::test]
async fn a_user_that_is_locked_out_is_a_configuration_fault_until_let_in_again() {
    let Some(granted) = Granted::services("a_user_that_is_locked_out_is_a_configuration_fault_until_let_in_again") else {
        return;
    };
    let catalog = granted.connect();
    catalog.prepare().await.unwrap();
    let stored = products(1, 1);

    let mut other = granted.config.clone();
    other.credentials = Some(credentials(&granted.user.0, "not-the-password"));
    let other = ElasticCatalog::connect(other).unwrap();
    granted.change(Method::Put, "/_disable").await;
    for refused in [
        other.check().await,
        catalog.check().await,
        catalog.prepare().await,
        catalog.read_products(&[asin(0)]).await.map(drop),
        catalog.write_products(&creates(&stored)).await.map(drop),
    ] {
        let Err(CatalogError::Misconfigured { reason }) = refused else {
            panic!("{refused:?}");
        };
        assert!(reason.contains("401") && !reason.contains(&granted.user.1), "{reason}");
    }
    granted.change(Method::Put, "/_enable").await;
    catalog.check().await.unwrap();
    all_written(&catalog.write_products(&creates(&stored)).await.unwrap());

    catalog.remove_everything().await.unwrap();
    granted.change(Method::Delete, "").await;
}
