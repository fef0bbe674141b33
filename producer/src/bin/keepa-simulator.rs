//! `keepa-simulator`: the simulator of the demo as a server of its own.

use std::process::ExitCode;

use producer::simulator::{Command, HELP, SimulatorConfig, parse_flags, start};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> ExitCode {
    let config = match parse_flags(std::env::args().skip(1)) {
        Ok(Command::Run(config)) => *config,
        Ok(Command::Help) => {
            print!("{HELP}");
            return ExitCode::SUCCESS;
        }
        Ok(Command::Version) => {
            println!("keepa-simulator {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Err(mistake) => {
            eprintln!("keepa-simulator: {mistake}");
            return ExitCode::from(2);
        }
    };
    match run(config).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("keepa-simulator: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(config: SimulatorConfig) -> std::io::Result<()> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let (products, speed) = (config.products, config.speed);
    let simulator = start(config).await?;
    println!("keepa-simulator: {products} made-up products, prices move {speed} times as fast as real ones");
    println!("listening on {}", simulator.url());
    let shutdown = CancellationToken::new();
    let serving = simulator.serve(shutdown.clone());
    tokio::pin!(serving);
    tokio::select! {
        ended = &mut serving => return ended,
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    shutdown.cancel();
    serving.await
}
