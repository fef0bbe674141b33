//! Settings of the whole: what each service reads, and what is embedded.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use producer::simulator::SimulatorConfig;
use shared::adapters::elastic::ElasticConfig;
use shared::config::{ConfigError, Environment};
use shared::ports::EventLogSettings;
use url::Url;

/// Everything `run_all` needs.
#[derive(Debug, Clone)]
pub struct Config {
    /// `DATA_DIR`.
    pub data_dir: PathBuf,
    /// Where the event log is; embedded where no brokers are named.
    pub event_log: EventLogSettings,
    /// How long the embedded event log keeps records.
    pub event_log_retention: Duration,
    /// Bytes the embedded event log may take.
    pub event_log_limit: u64,
    /// Elasticsearch; embedded catalog where none is named.
    pub elastic: Option<ElasticConfig>,
    /// The simulator; none where a Keepa key is set.
    pub simulator: Option<SimulatorConfig>,
    /// The services.
    pub producer: producer::Config,
    /// The services.
    pub enricher: enricher::Config,
    /// The services.
    pub detector: detector::Config,
    /// The services.
    pub api: api::Config,
    /// The services.
    pub scheduler: scheduler::Config,
}

const DEFAULT_RETENTION: Duration = Duration::from_secs(24 * 3_600);
const MIB: u64 = 1024 * 1024;

impl Config {
    /// Reads all variables of all services.
    ///
    /// # Errors
    /// All mistakes together, each naming its variable.
    pub fn read(environment: &Environment) -> Result<Self, ConfigError> {
        let simulated = environment.secret("KEEPA_API_KEY").is_none();
        if simulated && environment.text("KEEPA_URL").is_some() {
            environment.mistake("KEEPA_URL is set but KEEPA_API_KEY is not: set the key too, or neither for simulated data");
        }
        let config = Config {
            data_dir: environment.path("DATA_DIR", "./data"),
            event_log: EventLogSettings::read(environment),
            event_log_retention: environment.duration("EVENT_LOG_RETENTION", DEFAULT_RETENTION),
            event_log_limit: environment.integer("EVENT_LOG_LIMIT_MB", 2_048, 16..=1_048_576) * MIB,
            elastic: ElasticConfig::read(environment),
            simulator: simulated.then(|| read_simulator(environment)),
            producer: if simulated {
                // Its address and articles are known once it has started.
                producer::Config::read_simulated(environment, not_started(), Vec::new())
            } else {
                producer::Config::read(environment)
            },
            enricher: enricher::Config::read(environment),
            detector: detector::Config::read(environment),
            api: api::Config::read(environment),
            scheduler: scheduler::Config::read(environment),
        };
        environment.finish(config)
    }
}

fn not_started() -> Url {
    Url::parse("http://127.0.0.1").expect("the constant is a URL")
}

fn read_simulator(environment: &Environment) -> SimulatorConfig {
    let default = SimulatorConfig::default();
    SimulatorConfig {
        // Any free port: only the producer of this process asks it.
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
        seed: environment.integer("SIMULATOR_SEED", default.seed, 0..=u64::MAX),
        products: environment.integer("SIMULATOR_PRODUCTS", default.products, 1..=100_000),
        refill_rate: environment.integer("SIMULATOR_REFILL_RATE", default.refill_rate, 1..=1_000_000),
        ..default
    }
}
