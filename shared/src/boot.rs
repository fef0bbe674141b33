//! How every binary starts: arguments, settings, `--check`, telemetry, signals.

use std::future::Future;
use std::io::Write as _;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::adapters::elastic::{ElasticCatalog, ElasticConfig};
use crate::adapters::kafka::EventLog;
use crate::config::{ConfigError, Environment};
use crate::health::Health;
use crate::ports::{EndingCatalog, EventLogSettings, Ports};
use crate::runtime::{self, Tasks};
use crate::{probes, telemetry};

/// How long topics and indices are waited for before a service starts that works with them: what it began without them would
/// have to be begun again. After that it starts and tries again.
pub const PREPARE_FIRST: Duration = Duration::from_secs(3);

/// What a binary says of itself.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    /// Its name.
    pub name: &'static str,
    /// One sentence.
    pub about: &'static str,
    /// Its version.
    pub version: &'static str,
    /// The variables it reads, one line each: name, default, meaning.
    pub variables: &'static str,
    /// What it notes of itself on the health board: as a process of its own it is not ready while one of these is down.
    pub components: &'static [&'static str],
}

/// What the command line asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Command {
    /// Run the service.
    Run,
    /// Show the settings and whether the outside systems answer, then end.
    Check,
}

/// Reads the command line; `Err` holds the exit code where there is nothing more to do.
///
/// # Errors
/// `--help` and `--version` (code 0), `--probe` (0 if ready, else 1), anything unknown (2): what is to be said has been
/// printed.
pub fn parse_arguments(program: &Program, arguments: impl Iterator<Item = String>) -> Result<Command, ExitCode> {
    let mut command = Command::Run;
    for argument in arguments {
        match argument.as_str() {
            "--check" => command = Command::Check,
            "--probe" => return Err(probe(&Environment::from_process())),
            "--version" | "-V" => {
                show(&format!("{} {}", program.name, program.version));
                return Err(ExitCode::SUCCESS);
            }
            "--help" | "-h" => {
                show(&format!(
                    "{} {}\n{}\n\nUsage: {} [--check | --probe | --help | --version]\n\n  --check    show the effective settings, secrets masked, and whether each outside system answers\n  --probe    ask the one that runs here, with the same settings, whether it is ready\n\nSettings come from the environment:\n{}",
                    program.name, program.version, program.about, program.name, program.variables
                ));
                return Err(ExitCode::SUCCESS);
            }
            unknown => {
                eprintln!("{}: unknown argument {unknown:?}; --help shows what there is", program.name);
                return Err(ExitCode::from(2));
            }
        }
    }
    Ok(command)
}

/// Says whether the process that runs with these settings on this machine is ready.
fn probe(environment: &Environment) -> ExitCode {
    let address = |name| environment.parsed(name, None, "an address such as 127.0.0.1:9100", |text| text.parse().ok().map(Some));
    // The API and compose answer on their own address too.
    let listen = address("METRICS_LISTEN").or_else(|| address("API_LISTEN"));
    if let Err(error) = environment.finish(()) {
        return report_mistakes(&error);
    }
    let Some(listen) = listen else {
        eprintln!("--probe: neither METRICS_LISTEN nor API_LISTEN says where the service listens");
        return ExitCode::from(2);
    };
    match probes::ask(listen) {
        Ok(said) => {
            show(said.trim_end());
            ExitCode::SUCCESS
        }
        Err(said) => {
            eprintln!("{}", said.trim_end());
            ExitCode::FAILURE
        }
    }
}

/// Prints a line; a reader that has seen enough (`| head`) is no fault.
fn show(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// Prints the effective settings, one per line.
pub fn print_settings(environment: &Environment) {
    for (name, value) in environment.effective() {
        show(&format!("{name:<28} {value}"));
    }
}

/// Prints all mistakes of a configuration; the exit code is 2.
#[must_use]
pub fn report_mistakes(error: &ConfigError) -> ExitCode {
    eprint!("{error}");
    ExitCode::from(2)
}

/// The HTTP library logs each start and stop of a server twice.
const LOG_FILTER: &str = "info,poem=warn";

/// How long a standalone service may drain after the first signal.
const DRAIN: Duration = Duration::from_secs(10);
/// How long it then waits for answers of the catalog.
const CATALOG_GRACE: Duration = Duration::from_secs(5);

/// What every standalone service is told: it has no embedded event log and catalog.
struct Surroundings {
    brokers: String,
    event_log: EventLogSettings,
    elastic: ElasticConfig,
    metrics_listen: Option<SocketAddr>,
}

impl Surroundings {
    fn read(environment: &Environment) -> Option<Self> {
        let event_log = EventLogSettings::read(environment);
        let elastic = ElasticConfig::read(environment);
        let metrics_listen = environment.parsed("METRICS_LISTEN", None, "an address such as 127.0.0.1:9100", |text| text.parse().ok().map(Some));
        if event_log.brokers.is_none() {
            environment.mistake("KAFKA_BROKERS is not set: a service by itself has no embedded event log (compose has)");
        }
        if elastic.is_none() {
            environment.mistake("ELASTICSEARCH_URL is not set: a service by itself has no embedded catalog (compose has)");
        }
        Some(Surroundings {
            brokers: event_log.brokers.clone()?,
            event_log,
            elastic: elastic?,
            metrics_listen,
        })
    }

    fn connect(&self, client_id: &str, shutdown: CancellationToken) -> anyhow::Result<Ports> {
        let event_log = self.event_log.connect(self.brokers.clone(), false, client_id);
        let catalog = Arc::new(ElasticCatalog::connect(self.elastic.clone())?);
        Ok(Ports {
            event_log,
            catalog: Arc::new(EndingCatalog::new(catalog, shutdown, CATALOG_GRACE)),
            health: Health::default(),
        })
    }
}

/// The `main` of a standalone service: on the Kafka and Elasticsearch that the environment names.
pub fn service<C, Fut>(program: Program, read: impl FnOnce(&Environment) -> C, run: impl FnOnce(C, Ports, CancellationToken) -> Fut) -> ExitCode
where
    Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    service_that_asks(program, read, async |_: &C| Vec::new(), run)
}

/// An outside system's name and whether it answers, or why not.
pub type Answered = (&'static str, Result<(), String>);

/// As [`service`], for one that needs further outside systems: `ask` says for `--check` whether they answer.
pub fn service_that_asks<C, Fut>(
    program: Program,
    read: impl FnOnce(&Environment) -> C,
    ask: impl AsyncFnOnce(&C) -> Vec<Answered>,
    run: impl FnOnce(C, Ports, CancellationToken) -> Fut,
) -> ExitCode
where
    Fut: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let command = match parse_arguments(&program, std::env::args().skip(1)) {
        Ok(command) => command,
        Err(code) => return code,
    };
    let environment = Environment::from_process();
    let telemetry_config = telemetry::TelemetryConfig::read(&environment, program.name, LOG_FILTER);
    let config = read(&environment);
    let surroundings = Surroundings::read(&environment);
    let (surroundings, config) = match environment.finish(()) {
        Ok(()) => (surroundings.expect("its absence is a mistake"), config),
        Err(error) => return report_mistakes(&error),
    };
    if command == Command::Check {
        print_settings(&environment);
        return runtime::serve(|shutdown| async move { check(&surroundings.connect(program.name, shutdown)?, ask(&config).await).await });
    }
    let _telemetry = match telemetry::init(&telemetry_config) {
        Ok(telemetry) => telemetry,
        Err(error) => {
            eprintln!("telemetry cannot start: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    runtime::serve(|shutdown| async move {
        let ports = surroundings.connect(program.name, shutdown.clone())?;
        let mut tasks = Tasks::new(shutdown.clone());
        if let Some(listen) = surroundings.metrics_listen {
            let needed: Vec<&'static str> = ["event_log", "catalog"].into_iter().chain(program.components.iter().copied()).collect();
            tasks.spawn("probes", probes::serve(listen, ports.health.clone(), needed, shutdown.clone()));
        }
        let (watched, ended) = (ports.clone(), shutdown.clone());
        let prepared = CancellationToken::new();
        let tells = prepared.clone().drop_guard();
        tasks.spawn("watch", async move {
            watched.prepare(&ended).await;
            drop(tells);
            watched.watch(&ended).await;
            Ok(())
        });
        // One that has nothing to note of itself only answers, and that it does at once.
        let waits = !program.components.is_empty();
        let ended = shutdown.clone();
        let running = run(config, ports, shutdown);
        tasks.spawn(program.name, async move {
            if waits {
                tokio::select! {
                    _ = tokio::time::timeout(PREPARE_FIRST, prepared.cancelled()) => {}
                    () = ended.cancelled() => {}
                }
            }
            running.await
        });
        Ok(tasks.join(DRAIN).await?)
    })
}

/// A command of a service that needs the event log alone, such as `enricher dlq list`: reads where it is from the
/// environment, runs, ends. Logs nothing below warnings unless it is told to.
pub fn command_on_event_log<Fut>(program: &Program, run: impl FnOnce(EventLog, CancellationToken) -> Fut) -> ExitCode
where
    Fut: Future<Output = anyhow::Result<()>>,
{
    let environment = Environment::from_process();
    let telemetry_config = telemetry::TelemetryConfig::read(&environment, program.name, "warn");
    let settings = EventLogSettings::read(&environment);
    if settings.brokers.is_none() {
        environment.mistake("KAFKA_BROKERS is not set: it says where the event log is (compose prints the address of its own)");
    }
    let brokers = match environment.finish(settings.brokers.clone()) {
        Ok(brokers) => brokers.expect("its absence is a mistake"),
        Err(error) => return report_mistakes(&error),
    };
    let _telemetry = match telemetry::init(&telemetry_config) {
        Ok(telemetry) => telemetry,
        Err(error) => {
            eprintln!("telemetry cannot start: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    let event_log = settings.connect(brokers, false, &format!("{}-command", program.name));
    runtime::serve(|shutdown| run(event_log, shutdown))
}

/// A command of a service that needs the catalog alone, such as `enricher reindex products`; as [`command_on_event_log`].
pub fn command_on_catalog<Fut>(program: &Program, run: impl FnOnce(ElasticCatalog, CancellationToken) -> Fut) -> ExitCode
where
    Fut: Future<Output = anyhow::Result<()>>,
{
    let environment = Environment::from_process();
    let telemetry_config = telemetry::TelemetryConfig::read(&environment, program.name, "warn");
    let config = ElasticConfig::read(&environment);
    if config.is_none() {
        environment.mistake("ELASTICSEARCH_URL is not set: the command is for the catalog on Elasticsearch, the embedded one needs none");
    }
    let config = match environment.finish(config) {
        Ok(config) => config.expect("its absence is a mistake"),
        Err(error) => return report_mistakes(&error),
    };
    let _telemetry = match telemetry::init(&telemetry_config) {
        Ok(telemetry) => telemetry,
        Err(error) => {
            eprintln!("telemetry cannot start: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    runtime::serve(|shutdown| async move { run(ElasticCatalog::connect(config)?, shutdown).await })
}

/// Prints a line per outside system.
async fn check(ports: &Ports, others: Vec<Answered>) -> anyhow::Result<()> {
    let event_log = ports.event_log.check().await.map_err(|error| error.to_string());
    let catalog = ports.catalog.check().await.map_err(|error| error.to_string());
    let mut all_well = true;
    for (name, result) in [("event log", event_log), ("catalog", catalog)].into_iter().chain(others) {
        match result {
            Ok(()) => show(&format!("ok   {name}")),
            Err(reason) => {
                all_well = false;
                show(&format!("FAIL {name}: {reason}"));
            }
        }
    }
    if all_well {
        Ok(())
    } else {
        anyhow::bail!("not every outside system answers")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROGRAM: Program = Program {
        name: "demo",
        about: "A demo.",
        version: "1.0.0",
        variables: "",
        components: &[],
    };

    #[test]
    fn unknown_arguments_end_the_program() {
        let parse = |arguments: &[&str]| parse_arguments(&PROGRAM, arguments.iter().map(|argument| (*argument).to_owned())).ok();
        assert_eq!(parse(&[]), Some(Command::Run));
        assert_eq!(parse(&["--check"]), Some(Command::Check));
        for ends in ["--help", "--version", "--chekc", "run"] {
            assert_eq!(parse(&[ends]), None, "{ends}");
        }
    }
}
