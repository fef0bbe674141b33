//! How a simulator is set up, and the flags that say so on a command line.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use shared::domain::UnixMillis;

use super::faults::Faults;
use super::world::DEFAULT_SPEED;

/// Everything about a simulator; the default is that of the demo.
#[derive(Clone)]
pub struct SimulatorConfig {
    /// Where to listen; port 0 takes a free one. Loopback by default.
    pub listen: SocketAddr,
    /// Another seed, another world.
    pub seed: u64,
    /// How many articles there are.
    pub products: usize,
    /// How much faster than in reality prices change. A real price holds for about 30 hours; at 150 for 12 minutes.
    pub speed: f64,
    /// Tokens per minute.
    pub refill_rate: u32,
    /// The most tokens that are kept; those of an hour if not set.
    pub capacity: Option<u32>,
    /// Tokens at the start; a full bucket if not set.
    pub initial_tokens: Option<i64>,
    /// How often tokens come. Keepa: a minute; the demo: a second, so that it flows.
    pub tick: Duration,
    /// Tokens per minute lost to tracking.
    pub token_flow_reduction: f64,
    /// The only key that is accepted; if not set, any key that is not empty.
    pub key: Option<String>,
    /// What goes wrong by chance.
    pub faults: Faults,
    /// Where the time comes from.
    pub clock: Clock,
}

impl Default for SimulatorConfig {
    fn default() -> Self {
        SimulatorConfig {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            seed: 1,
            products: 300,
            speed: DEFAULT_SPEED,
            refill_rate: 6_000,
            capacity: None,
            initial_tokens: None,
            tick: Duration::from_secs(1),
            token_flow_reduction: 0.0,
            key: None,
            faults: Faults {
                slow_by: Duration::from_secs(5),
                ..Faults::default()
            },
            clock: Clock::system(),
        }
    }
}

/// Without the key.
impl fmt::Debug for SimulatorConfig {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("SimulatorConfig")
            .field("listen", &self.listen)
            .field("seed", &self.seed)
            .field("products", &self.products)
            .field("speed", &self.speed)
            .field("refill_rate", &self.refill_rate)
            .field("faults", &self.faults)
            .finish_non_exhaustive()
    }
}

/// A source of time.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> UnixMillis + Send + Sync>);

impl Clock {
    /// The machine's clock.
    #[must_use]
    pub fn system() -> Self {
        Clock(Arc::new(UnixMillis::now))
    }

    /// Whatever a function says.
    #[must_use]
    pub fn from_fn(now: impl Fn() -> UnixMillis + Send + Sync + 'static) -> Self {
        Clock(Arc::new(now))
    }

    /// The present instant.
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Clock")
    }
}

/// What a command line asks for.
#[derive(Debug)]
pub enum Command {
    /// Serve.
    Run(Box<SimulatorConfig>),
    /// Print [`HELP`].
    Help,
    /// Print the version.
    Version,
}

/// What `--help` prints.
pub const HELP: &str = "\
keepa-simulator: an HTTP server in Keepa's wire format, with made-up products

usage: keepa-simulator [--flag value ...]

  --listen ADDRESS             where to listen (127.0.0.1:7070)
  --seed NUMBER                another seed, another world (1)
  --products NUMBER            how many articles (300)
  --speed FACTOR               how much faster than in reality prices change (150)
  --refill-rate TOKENS         tokens per minute (6000)
  --capacity TOKENS            most tokens kept (refill rate x 60)
  --initial-tokens TOKENS      tokens at the start, may be negative (capacity)
  --tick SECONDS               how often tokens come; Keepa: 60 (1)
  --token-flow-reduction RATE  tokens per minute lost to tracking (0)
  --key KEY                    the only key accepted (any)
  --fault KIND=PROBABILITY     may be repeated; kinds: 429 500 503 html slow drop truncate
  --slow-by SECONDS            how slow a slow answer is (5)
  --help, --version
";

/// Reads the flags after the program's name.
///
/// # Errors
/// Says which flag is unknown, or what its value should be.
pub fn parse_flags(arguments: impl IntoIterator<Item = String>) -> Result<Command, String> {
    let mut config = SimulatorConfig {
        listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 7070)),
        ..SimulatorConfig::default()
    };
    let mut arguments = arguments.into_iter();
    while let Some(argument) = arguments.next() {
        let (flag, attached) = match argument.split_once('=') {
            Some((flag, value)) => (flag.to_owned(), Some(value.to_owned())),
            None => (argument, None),
        };
        match flag.as_str() {
            "--help" | "-h" => return Ok(Command::Help),
            "--version" | "-V" => return Ok(Command::Version),
            _ => {}
        }
        let value = attached.or_else(|| arguments.next()).ok_or_else(|| format!("{flag} needs a value"))?;
        apply(&mut config, &flag, &value)?;
    }
    Ok(Command::Run(Box::new(config)))
}

fn apply(config: &mut SimulatorConfig, flag: &str, value: &str) -> Result<(), String> {
    match flag {
        "--listen" => config.listen = parsed(flag, value, "an address like 127.0.0.1:7070")?,
        "--seed" => config.seed = parsed(flag, value, "a whole number")?,
        "--products" => config.products = checked(flag, value, "a number from 1 to 100000", |products| (1..=100_000).contains(products))?,
        "--speed" => config.speed = checked(flag, value, "a factor above 0", |speed: &f64| *speed > 0.0 && speed.is_finite())?,
        "--refill-rate" => config.refill_rate = parsed(flag, value, "tokens per minute")?,
        "--capacity" => config.capacity = Some(parsed(flag, value, "a number of tokens")?),
        "--initial-tokens" => config.initial_tokens = Some(parsed(flag, value, "a number of tokens")?),
        "--tick" => {
            config.tick = checked(flag, value, "seconds from 0.1 to 60", |seconds: &f64| (0.1..=60.0).contains(seconds)).map(Duration::from_secs_f64)?
        }
        "--token-flow-reduction" => config.token_flow_reduction = checked(flag, value, "tokens per minute", |rate: &f64| *rate >= 0.0)?,
        "--key" => config.key = Some(value.to_owned()),
        "--slow-by" => {
            config.faults.slow_by =
                checked(flag, value, "seconds from 0 to 600", |seconds: &f64| (0.0..=600.0).contains(seconds)).map(Duration::from_secs_f64)?
        }
        "--fault" => {
            let expected = "KIND=PROBABILITY, as in 503=0.05";
            let (kind, probability) = value.split_once('=').ok_or_else(|| format!("--fault: {value:?} is not {expected}"))?;
            let probability = checked(flag, probability, "a probability from 0 to 1", |probability: &f64| {
                (0.0..=1.0).contains(probability)
            })?;
            *config
                .faults
                .probability_mut(kind)
                .ok_or_else(|| format!("--fault: {kind:?} is none of 429 500 503 html slow drop truncate"))? = probability;
        }
        _ => return Err(format!("unknown flag {flag}; see --help")),
    }
    Ok(())
}

fn parsed<T: std::str::FromStr>(flag: &str, value: &str, expected: &str) -> Result<T, String> {
    checked(flag, value, expected, |_| true)
}

fn checked<T: std::str::FromStr>(flag: &str, value: &str, expected: &str, is_right: impl Fn(&T) -> bool) -> Result<T, String> {
    value
        .parse()
        .ok()
        .filter(is_right)
        .ok_or_else(|| format!("{flag}: {value:?} is not {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, String> {
        parse_flags(line.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn flags_are_read_with_a_space_or_an_equals_sign() {
        let Ok(Command::Run(config)) = parse("--listen 127.0.0.1:9 --speed=2.5 --fault 503=0.05 --fault=html=0.5 --tick 60 --initial-tokens -5") else {
            panic!("flags are right")
        };
        assert_eq!(config.listen.port(), 9);
        assert_eq!(config.speed, 2.5);
        assert_eq!((config.faults.unavailable, config.faults.html), (0.05, 0.5));
        assert_eq!((config.tick, config.initial_tokens), (Duration::from_mins(1), Some(-5)));
    }

    #[test]
    fn wrong_flags_are_named() {
        for (line, expected) in [
            ("--bogus 1", "--bogus"),
            ("--seed", "--seed needs a value"),
            ("--seed x", "--seed"),
            ("--fault 503", "KIND=PROBABILITY"),
            ("--fault 503=2", "probability"),
            ("--fault fire=0.1", "fire"),
            ("--speed 0", "--speed"),
        ] {
            let error = parse(line).expect_err(line);
            assert!(error.contains(expected), "{line}: {error}");
        }
        assert!(matches!(parse("--seed 1 --help"), Ok(Command::Help)));
        assert!(matches!(parse("-V"), Ok(Command::Version)));
    }

    #[test]
    fn the_key_is_not_printed() {
        let config = SimulatorConfig {
            key: Some("very-secret".to_owned()),
            ..SimulatorConfig::default()
        };
        assert!(!format!("{config:?}").contains("very-secret"));
    }
}
