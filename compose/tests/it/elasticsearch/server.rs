//! An Elasticsearch of our own: real HTTP on a port of this machine, that goes wrong as a script says.

use std::convert::Infallible;
use std::io::Read as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::script::{Fault, Request, Script};
use super::store::Store;

/// A port that was left may be in use for a moment.
const BOUND_WITHIN: Duration = Duration::from_secs(10);

/// A node. Several of one cluster share what they hold, and each has a script of its own.
pub struct Server {
    /// Where it listens, or did before it was stopped.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    tls: Option<TlsAcceptor>,
    listening: tokio::sync::Mutex<JoinSet<()>>,
}

struct Shared {
    store: Arc<Mutex<Store>>,
    script: Mutex<Script>,
    requests: Mutex<Vec<Request>>,
}

/// The connection ends here.
#[derive(Debug, thiserror::Error)]
#[error("cut on purpose")]
struct Cut;

type Answer = hyper::Response<UnsyncBoxBody<Bytes, Cut>>;

impl Server {
    /// Starts a cluster of one node.
    pub async fn start() -> Server {
        Server::listen(Arc::default(), None).await
    }

    /// Starts a cluster of one node that is spoken to over TLS.
    pub async fn start_with_tls(tls: TlsAcceptor) -> Server {
        Server::listen(Arc::default(), Some(tls)).await
    }

    /// Starts another node of this one's cluster.
    pub async fn another_node(&self) -> Server {
        Server::listen(Arc::clone(&self.shared.store), None).await
    }

    async fn listen(store: Arc<Mutex<Store>>, tls: Option<TlsAcceptor>) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let server = Server {
            address: listener.local_addr().expect("it is bound"),
            shared: Arc::new(Shared {
                store,
                script: Mutex::new(Box::new(|_| Fault::None)),
                requests: Mutex::default(),
            }),
            tls,
            listening: tokio::sync::Mutex::default(),
        };
        server.accept(listener).await;
        server
    }

    async fn accept(&self, listener: TcpListener) {
        let (shared, tls) = (Arc::clone(&self.shared), self.tls.clone());
        self.listening.lock().await.spawn(async move {
            // Connections end with the listener.
            let mut connections = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { continue };
                let (shared, tls) = (Arc::clone(&shared), tls.clone());
                connections.spawn(serve_plain_or_tls(stream, shared, tls));
                while connections.try_join_next().is_some() {}
            }
        });
    }

    /// From now on connections are refused, and those there are end.
    pub async fn stop(&self) {
        self.listening.lock().await.shutdown().await;
    }

    /// Listens again where it did before.
    pub async fn resume(&self) {
        let bound = async {
            loop {
                match TcpListener::bind(self.address).await {
                    Ok(listener) => return listener,
                    Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
                }
            }
        };
        let listener = tokio::time::timeout(BOUND_WITHIN, bound).await.expect("the port is free again");
        self.accept(listener).await;
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> url::Url {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        format!("{scheme}://{}", self.address).parse().expect("a URL")
    }

    /// From now on each request goes by the script.
    pub fn go_by(&self, script: impl FnMut(&Request) -> Fault + Send + 'static) {
        *lock(&self.shared.script) = Box::new(script);
    }

    /// Each request that writes products goes by the script; others are answered as they should be.
    pub fn products_go_by(&self, mut script: impl FnMut(&Request) -> Fault + Send + 'static) {
        self.go_by(move |request| if request.writes_products() { script(request) } else { Fault::None });
    }

    /// From now on nothing goes wrong.
    pub fn heal(&self) {
        self.go_by(|_| Fault::None);
    }

    /// What is held.
    pub fn store(&self) -> MutexGuard<'_, Store> {
        lock(&self.shared.store)
    }

    /// All requests so far.
    pub fn requests(&self) -> Vec<Request> {
        lock(&self.shared.requests).clone()
    }

    /// The ids of each request so far that wrote products.
    pub fn product_writes(&self) -> Vec<Vec<String>> {
        let requests = lock(&self.shared.requests);
        requests.iter().filter(|request| request.writes_products()).map(Request::ids).collect()
    }
}

fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve_plain_or_tls(stream: TcpStream, shared: Arc<Shared>, tls: Option<TlsAcceptor>) {
    match tls {
        None => serve(stream, shared).await,
        // A client that does not trust this server goes away here.
        Some(tls) => {
            if let Ok(stream) = tls.accept(stream).await {
                serve(stream, shared).await;
            }
        }
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin + 'static, shared: Arc<Shared>) {
    let service = service_fn(move |request| answer(Arc::clone(&shared), request));
    // An error is one that was asked for, or a client that went away.
    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
}

async fn answer(shared: Arc<Shared>, request: hyper::Request<Incoming>) -> Result<Answer, Cut> {
    let request = take_in(request).await?;
    lock(&shared.requests).push(request.clone());
    let fault = (lock(&shared.script))(&request);
    let carry_out = || {
        let (status, body) = lock(&shared.store).answer(&request, &|_| None);
        (status, body.to_string())
    };
    match fault {
        Fault::None => Ok(whole(carry_out())),
        Fault::Answer(status, body) => Ok(whole((status, body))),
        Fault::Hang => std::future::pending().await,
        Fault::Cut => Err(Cut),
        Fault::CutAfterwards => {
            carry_out();
            Err(Cut)
        }
        Fault::Truncated(length) => {
            let (status, body) = carry_out();
            let part = Bytes::from(body).slice(..length);
            let frames = futures_util::stream::iter([Ok(Frame::data(part)), Err(Cut)]);
            Ok(response(status, StreamBody::new(frames).boxed_unsync()))
        }
        Fault::Garbled(garble) => {
            let (status, body) = carry_out();
            Ok(whole((status, garble(body))))
        }
        Fault::Late(delay) => {
            let answer = carry_out();
            tokio::time::sleep(delay).await;
            Ok(whole(answer))
        }
        Fault::After(deed) => {
            deed(&mut lock(&shared.store));
            Ok(whole(carry_out()))
        }
        Fault::Items(judge) => {
            let (status, body) = lock(&shared.store).answer(&request, &*judge);
            Ok(whole((status, body.to_string())))
        }
    }
}

async fn take_in(request: hyper::Request<Incoming>) -> Result<Request, Cut> {
    let (head, body) = request.into_parts();
    let wire = body.collect().await.map_err(|_| Cut)?.to_bytes();
    let header = |(name, value): (&hyper::header::HeaderName, &hyper::header::HeaderValue)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let headers: std::collections::BTreeMap<_, _> = head.headers.iter().map(header).collect();
    let mut unpacked = Vec::new();
    if headers.get("content-encoding").map(String::as_str) == Some("gzip") {
        flate2::read::GzDecoder::new(&wire[..])
            .read_to_end(&mut unpacked)
            .expect("a body as its header says");
    } else {
        unpacked.extend_from_slice(&wire);
    }
    Ok(Request {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        query: head.uri.query().unwrap_or_default().to_owned(),
        headers,
        body: unpacked,
        wire_bytes: wire.len(),
    })
}

fn whole((status, body): (u16, String)) -> Answer {
    let never = |never: Infallible| match never {};
    response(status, Full::new(Bytes::from(body)).map_err(never).boxed_unsync())
}

fn response(status: u16, body: UnsyncBoxBody<Bytes, Cut>) -> Answer {
    let response = hyper::Response::builder().status(status).header("content-type", "application/json");
    response.body(body).expect("a status and a header")
}
