//! A Keepa that does what a test says, request by request, and remembers what it was asked.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::sync::{Arc, Mutex};

use poem::listener::{Acceptor as _, Listener as _, TcpListener};
use poem::{Endpoint, Request, Response, Server};
use shared::domain::{Asin, Marketplace};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// One product request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    pub market: Marketplace,
    pub asins: Vec<Asin>,
    pub history: bool,
}

/// What it does, and what it saw.
#[derive(Debug, Default)]
pub struct Script {
    /// ASINs whose presence makes a batch a 400.
    pub bad: BTreeSet<Asin>,
    /// ASINs that answers leave out.
    pub unknown: BTreeSet<Asin>,
    /// The key is refused.
    pub bad_key: bool,
    /// There is no `/token`.
    pub no_token_endpoint: bool,
    /// A status for everything, with an envelope of zeros.
    pub status: Option<u16>,
    pub product_requests: Vec<Asked>,
    pub requests: BTreeMap<String, usize>,
    pub refused: usize,
    pub tokens: i64,
    pub lowest: i64,
}

/// The server.
pub struct Double {
    pub url: String,
    pub script: Arc<Mutex<Script>>,
    end: CancellationToken,
    task: JoinSet<()>,
}

impl Double {
    pub async fn start() -> Double {
        let script = Arc::new(Mutex::new(Script {
            tokens: 100_000,
            lowest: 100_000,
            ..Script::default()
        }));
        let acceptor = TcpListener::bind("127.0.0.1:0").into_acceptor().await.unwrap();
        let url = format!("http://{}", acceptor.local_addr()[0].as_socket_addr().unwrap());
        let end = CancellationToken::new();
        let mut task = JoinSet::new();
        let (answers, ended) = (Answers(Arc::clone(&script)), end.clone());
        task.spawn(async move {
            let signal = async move { ended.cancelled().await };
            Server::new_with_acceptor(acceptor)
                .run_with_graceful_shutdown(answers, signal, Some(std::time::Duration::ZERO))
                .await
                .unwrap();
        });
        Double { url, script, end, task }
    }

    pub fn change(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script.lock().unwrap());
    }

    pub fn product_requests(&self) -> Vec<Asked> {
        self.script.lock().unwrap().product_requests.clone()
    }

    /// How often a path was asked, refusals included.
    pub fn requests(&self, path: &str) -> usize {
        self.script.lock().unwrap().requests.get(path).copied().unwrap_or(0)
    }

    pub async fn stop(mut self) {
        self.end.cancel();
        while self.task.join_next().await.is_some() {}
    }
}

struct Answers(Arc<Mutex<Script>>);

impl Endpoint for Answers {
    type Output = Response;

    async fn call(&self, request: Request) -> poem::Result<Response> {
        let path = request.uri().path().trim_matches('/').to_owned();
        let parameters: BTreeMap<String, String> = url::form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
        let (status, body) = self.0.lock().unwrap().answer(&path, &parameters);
        // Compressed without a header that says so: it happens.
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(body.as_bytes()).unwrap();
        let status = poem::http::StatusCode::from_u16(status).unwrap();
        Ok(Response::builder().status(status).body(encoder.finish().unwrap()))
    }
}

impl Script {
    fn answer(&mut self, path: &str, parameters: &BTreeMap<String, String>) -> (u16, String) {
        *self.requests.entry(path.to_owned()).or_default() += 1;
        let error = |status, kind: &str, tail: &str| {
            let body = format!(
                r#"{{"error":{{"type":"{kind}","message":"refused {tail}","details":""}},"timestamp":1,"tokensLeft":0,"refillIn":0,"refillRate":0,"tokenFlowReduction":0.0,"tokensConsumed":0}}"#
            );
            (status, body)
        };
        // Servers may quote what they were asked: the key must not get into logs and errors that way either.
        let key = parameters.get("key").cloned().unwrap_or_default();
        if let Some(status) = self.status {
            return error(status, "scripted", &key);
        }
        if self.bad_key {
            self.refused += 1;
            return error(400, "invalidParameter", &key);
        }
        match path {
            "token" if self.no_token_endpoint => error(404, "notFound", ""),
            "token" => (200, self.envelope(0, "")),
            "product" => self.products(parameters).unwrap_or_else(|| error(400, "invalidParameter", &key)),
            "bestsellers" => {
                let category: usize = parameters["category"].parse().unwrap();
                let asins: Vec<String> = (0..30).map(|number| format!(r#""B{:09}""#, category * 1_000 + number)).collect();
                (200, self.envelope(50, &format!(r#","bestSellersList":{{"asinList":[{}]}}"#, asins.join(","))))
            }
            "category" => (
                200,
                self.envelope(1, r#","categories":{"1":{"catId":1,"name":"A"},"2":{"catId":2,"name":"B"}}"#),
            ),
            _ => error(404, "notFound", ""),
        }
    }

    fn products(&mut self, parameters: &BTreeMap<String, String>) -> Option<(u16, String)> {
        let domain: i64 = parameters["domain"].parse().unwrap();
        let asins: Vec<Asin> = parameters["asin"].split(',').map(|asin| asin.parse().unwrap()).collect();
        let history = parameters["history"] == "1";
        assert!(asins.len() <= if history { 20 } else { 100 });
        assert_eq!((parameters["stats"].as_str(), parameters["buybox"].as_str()), ("90", "1"));
        let asked = Asked {
            market: Marketplace::from_keepa_id(domain).unwrap(),
            asins: asins.clone(),
            history,
        };
        if asins.iter().any(|asin| self.bad.contains(asin)) {
            self.refused += 1;
            return None;
        }
        self.product_requests.push(asked);
        // Last to first: nobody may rely on the order.
        let known = asins.iter().rev().filter(|asin| !self.unknown.contains(asin));
        let products: Vec<String> = known
            .map(|asin| format!(r#"{{ "asin":"{asin}","domainId":{domain},"lastUpdate":7000000,"odd": 1.50}}"#))
            .collect();
        let cost = 3 * i64::try_from(asins.len()).unwrap();
        Some((200, self.envelope(cost, &format!(r#","products":[{}]"#, products.join(",")))))
    }

    fn envelope(&mut self, cost: i64, payload: &str) -> String {
        self.tokens -= cost;
        self.lowest = self.lowest.min(self.tokens);
        let left = self.tokens;
        format!(r#"{{"timestamp":1,"tokensLeft":{left},"refillIn":30000,"refillRate":2000,"tokenFlowReduction":0.0,"tokensConsumed":{cost}{payload}}}"#)
    }
}
