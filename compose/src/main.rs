//! The whole product in one process. See the README for what it shows.

use std::process::ExitCode;
use std::time::Duration;

use compose::{Config, Foot, Progress, Ready};
use shared::boot::{self, Command, Program};
use shared::config::Environment;
use shared::domain::UnixMillis;
use shared::{runtime, telemetry};

const PROGRAM: Program = Program {
    name: "compose",
    about: "The Amazon cross-market arbitrage tracker: producer, event log, enricher, detector, scheduler and API in one process.",
    version: env!("CARGO_PKG_VERSION"),
    variables: include_str!("variables.txt"),
    components: &[],
};

/// The embedded broker logs every integer it decodes; what matters of it is logged by its adapter.
const LOG_FILTER: &str = "info,tansu_sans_io=off,tansu_service=off,tansu_storage=off,tansu_broker=off,rama=off,poem=warn";

fn main() -> ExitCode {
    let command = match boot::parse_arguments(&PROGRAM, std::env::args().skip(1)) {
        Ok(command) => command,
        Err(code) => return code,
    };
    let environment = Environment::from_process();
    let telemetry_config = telemetry::TelemetryConfig::read(&environment, PROGRAM.name, LOG_FILTER);
    let config = match Config::read(&environment) {
        Ok(config) => config,
        Err(error) => return boot::report_mistakes(&error),
    };
    if command == Command::Check {
        boot::print_settings(&environment);
        return runtime::serve(|_shutdown| async move {
            if compose::check(&config).await {
                Ok(())
            } else {
                anyhow::bail!("not every outside system answers")
            }
        });
    }
    let foot = Foot::on_stderr();
    let _telemetry = match telemetry::init_with_writer(&telemetry_config, foot.clone()) {
        Ok(telemetry) => telemetry,
        Err(error) => {
            eprintln!("telemetry cannot start: {error:#}");
            return ExitCode::FAILURE;
        }
    };
    runtime::serve(|shutdown| async move {
        let (tell_ready, ready) = tokio::sync::oneshot::channel();
        let running = compose::run_all(config, shutdown.clone(), move |ready| {
            print_banner(&ready);
            // The receiver lives as long as this function.
            let _ = tell_ready.send(ready);
        });
        let line = async {
            if let Ok(ready) = ready.await {
                tokio::select! {
                    () = shutdown.cancelled() => {}
                    () = draw_progress(&ready, &foot) => {}
                }
            }
            foot.show("");
        };
        let (result, ()) = tokio::join!(running, line);
        result
    })
}

fn print_banner(ready: &Ready) {
    let url = format!("http://{}", ready.api);
    println!("\nAmazon cross-market arbitrage tracker {}", PROGRAM.version);
    if ready.simulator_url.is_some() {
        println!("  simulated data: no KEEPA_API_KEY is set, prices are made up");
    }
    println!("  dashboard      {url}/");
    println!("  opportunities  {url}/opportunities");
    println!("  API            {url}/docs");
    println!("  event log      {}", ready.brokers);
    if let Some(simulator) = &ready.simulator_url {
        println!("  keepa          {simulator} (simulator)");
    }
    println!("  stop           Ctrl-C\n");
}

/// Redraws the foot line every second, for as long as it is polled.
async fn draw_progress(ready: &Ready, foot: &Foot) {
    if !foot.is_terminal() {
        return std::future::pending().await;
    }
    let mut ticks = tokio::time::interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        foot.show(&progress(ready).await.line());
    }
}

async fn progress(ready: &Ready) -> Progress {
    let now = UnixMillis::now();
    // Counts as of the last good answer would be no progress: while the catalog is away the line shows zeros.
    let statistics = ready
        .ports
        .catalog
        .statistics(now.plus_millis(-7 * 86_400_000), now.plus_millis(-86_400_000))
        .await
        .unwrap_or_default();
    let families = prometheus::gather();
    let total = |name: &str| {
        let family = families.iter().find(|family| family.name() == name)?;
        Some(
            family
                .get_metric()
                .iter()
                .map(|metric| metric.get_counter().get_value() + metric.get_gauge().get_value())
                .sum::<f64>(),
        )
    };
    Progress {
        records: total("records_settled_total").unwrap_or_default() as u64,
        products: statistics.products_total,
        opportunities: statistics.opportunities_active,
        tokens_left: total("keepa_tokens_left").map(|tokens| tokens as i64),
    }
}
