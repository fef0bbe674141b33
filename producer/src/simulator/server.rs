//! The HTTP side: keys, tokens, faults and compression around the endpoints.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use poem::http::{Method, StatusCode, header};
use poem::{Endpoint as HttpEndpoint, Request, Response, Server};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::bucket::{Reading, TokenBucket};
use super::config::SimulatorConfig;
use super::connection::{Connections, CuttableAcceptor};
use super::endpoints::{Call, Endpoint};
use super::envelope::{Rejection, envelope};
use super::faults::{Fault, FaultScript};
use super::parameters::Parameters;
use super::world::World;

/// How long open connections may take to end after the shutdown began.
const DRAIN: Duration = Duration::from_secs(2);
/// A selection is never longer.
const MOST_BODY_BYTES: usize = 1024 * 1024;

/// A simulator that is bound to its port, but answers only while [`Simulator::serve`] is polled.
#[derive(Debug)]
pub struct Simulator {
    listener: TcpListener,
    handle: SimulatorHandle,
}

/// Looks into a running simulator. Clones look into the same one.
#[derive(Debug, Clone)]
pub struct SimulatorHandle {
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    config: SimulatorConfig,
    local: SocketAddr,
    world: World,
    bucket: Mutex<TokenBucket>,
    script: FaultScript,
    connections: Connections,
    requests: AtomicU64,
}

/// Binds a simulator to its address.
///
/// # Errors
/// The address is not free.
pub async fn start(config: SimulatorConfig) -> io::Result<Simulator> {
    let listener = TcpListener::bind(config.listen).await?;
    let local = listener.local_addr()?;
    let capacity = config.capacity.unwrap_or(config.refill_rate.saturating_mul(60));
    let bucket = TokenBucket::new(
        config.refill_rate,
        capacity,
        config.initial_tokens,
        config.token_flow_reduction,
        config.tick,
        config.clock.now().0,
    );
    let state = State {
        world: World::with_speed(config.seed, config.products, config.speed),
        config,
        local,
        bucket: Mutex::new(bucket),
        script: FaultScript::default(),
        connections: Connections::default(),
        requests: AtomicU64::new(0),
    };
    Ok(Simulator {
        listener,
        handle: SimulatorHandle { state: Arc::new(state) },
    })
}

impl Simulator {
    /// What stays usable while the simulator serves.
    #[must_use]
    pub fn handle(&self) -> SimulatorHandle {
        self.handle.clone()
    }

    /// `http://127.0.0.1:port`.
    #[must_use]
    pub fn url(&self) -> String {
        self.handle.url()
    }

    /// Answers requests until the shutdown; open connections then get two seconds.
    ///
    /// # Errors
    /// The listener failed.
    pub async fn serve(self, shutdown: CancellationToken) -> io::Result<()> {
        let state = self.handle.state;
        let acceptor = CuttableAcceptor {
            listener: self.listener,
            local: state.local,
            connections: state.connections.clone(),
        };
        let signal = async move { shutdown.cancelled().await };
        Server::new_with_acceptor(acceptor)
            .run_with_graceful_shutdown(Api(state), signal, Some(DRAIN))
            .await
    }
}

impl SimulatorHandle {
    /// `http://127.0.0.1:port`.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.state.local)
    }

    /// Faults to order.
    #[must_use]
    pub fn faults(&self) -> &FaultScript {
        &self.state.script
    }

    /// The truth that the answers tell of.
    #[must_use]
    pub fn world(&self) -> &World {
        &self.state.world
    }

    /// How many requests came so far, failed ones included.
    #[must_use]
    pub fn requests_served(&self) -> u64 {
        self.state.requests.load(Ordering::Relaxed)
    }

    /// The balance of the bucket.
    #[must_use]
    pub fn tokens_left(&self) -> i64 {
        self.state.bucket(|bucket, now| bucket.reading(now)).tokens_left
    }
}

/// A response before compression.
struct Reply {
    status: u16,
    content_type: &'static str,
    body: String,
}

impl Reply {
    fn json(status: u16, body: String) -> Self {
        Reply {
            status,
            content_type: "application/json;charset=UTF-8",
            body,
        }
    }

    fn html(status: u16) -> Self {
        let body = format!(
            "<html>\r\n<head><title>{status}</title></head>\r\n<body>\r\n<center><h1>{status}</h1></center>\r\n<hr><center>proxy</center>\r\n</body>\r\n</html>\r\n"
        );
        Reply {
            status,
            content_type: "text/html",
            body,
        }
    }
}

struct Api(Arc<State>);

impl HttpEndpoint for Api {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let state = &self.0;
        let number = state.requests.fetch_add(1, Ordering::Relaxed);
        let path = request.uri().path().trim_matches('/').to_owned();
        let fault = state.script.take(&path).or_else(|| state.config.faults.draw(state.world.noise, number));
        let compress = accepts_gzip(&request);
        let peer = request.remote_addr().as_socket_addr().copied();
        if let Some(Fault::Slow(delay)) = &fault {
            tokio::time::sleep(*delay).await;
        }
        let reply = match &fault {
            Some(Fault::Status429 { refill_in_ms }) => state.no_tokens(Some(*refill_in_ms)),
            Some(Fault::Status(500)) => state.rejected(&Rejection::server_error()),
            Some(Fault::Status(status)) => Reply::html(*status),
            Some(Fault::Html) => Reply::html(200),
            Some(Fault::Slow(_) | Fault::Drop | Fault::Truncate) | None => {
                let body = request.take_body().into_bytes_limit(MOST_BODY_BYTES).await.unwrap_or_default();
                state.answer(
                    request.method(),
                    &path,
                    request.uri().query().unwrap_or_default(),
                    &String::from_utf8_lossy(&body),
                )
            }
        };
        let (response, length) = response(reply, compress);
        if let Some(peer) = peer {
            match fault {
                Some(Fault::Drop) => state.connections.cut_after(0, peer),
                // The head takes more than a hundred bytes, so that the body ends about in the middle.
                Some(Fault::Truncate) => state.connections.cut_after(100 + length / 2, peer),
                _ => {}
            }
        }
        Ok(response)
    }
}

impl State {
    fn answer(&self, method: &Method, path: &str, query: &str, body: &str) -> Reply {
        let started = Instant::now();
        let Some(endpoint) = Endpoint::of_path(path) else {
            return self.rejected(&Rejection::unknown_path());
        };
        let is_post = *method == Method::POST;
        if !(*method == Method::GET || is_post && endpoint.accepts_post()) {
            return self.rejected(&Rejection::method());
        }
        let parameters = Parameters::parse(query);
        let key = parameters.get("key").unwrap_or_default();
        if key.is_empty() || self.config.key.as_deref().is_some_and(|accepted| accepted != key) {
            return self.rejected(&Rejection::key());
        }
        if endpoint.needs_tokens() && !self.bucket(TokenBucket::admits) {
            return self.no_tokens(None);
        }
        let now = self.config.clock.now();
        let call = Call {
            world: &self.world,
            parameters: &parameters,
            body: is_post.then_some(body),
            now,
        };
        match endpoint.answer(&call) {
            Ok(payload) => {
                let reading = self.bucket(|bucket, now_ms| bucket.charge(payload.cost, now_ms));
                let elapsed = i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX);
                Reply::json(200, envelope(now.0, reading, payload.cost, elapsed, &payload.members))
            }
            Err(rejection) => self.rejected(&rejection),
        }
    }

    fn rejected(&self, rejection: &Rejection) -> Reply {
        Reply::json(rejection.status, rejection.envelope(self.config.clock.now().0))
    }

    /// 429 with the true balance, or with one made up for a fault.
    fn no_tokens(&self, refill_in_ms: Option<u32>) -> Reply {
        let mut reading: Reading = self.bucket(|bucket, now| bucket.reading(now));
        if let Some(refill_in_ms) = refill_in_ms {
            reading.tokens_left = reading.tokens_left.min(0);
            reading.refill_in = i64::from(refill_in_ms);
        }
        Reply::json(429, envelope(self.config.clock.now().0, reading, 0, 0, &[]))
    }

    fn bucket<T>(&self, act: impl FnOnce(&mut TokenBucket, i64) -> T) -> T {
        let now = self.config.clock.now();
        act(&mut self.bucket.lock().unwrap_or_else(PoisonError::into_inner), now.0)
    }
}

fn accepts_gzip(request: &Request) -> bool {
    let values = request
        .headers()
        .get_all(header::ACCEPT_ENCODING)
        .iter()
        .filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).any(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        parts.next() == Some("gzip") && !parts.any(|weight| weight == "q=0")
    })
}

/// The response and the length of its body. Every body is compressed for who accepts it, errors too.
fn response(reply: Reply, compress: bool) -> (Response, usize) {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut builder = Response::builder().status(status).content_type(reply.content_type);
    let body = if compress {
        builder = builder.header(header::CONTENT_ENCODING, "gzip");
        gzip(reply.body.as_bytes())
    } else {
        reply.body.into_bytes()
    };
    let length = body.len();
    (builder.body(body), length)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 6), Compression::fast());
    encoder.write_all(bytes).expect("writing to memory does not fail");
    encoder.finish().expect("writing to memory does not fail")
}
