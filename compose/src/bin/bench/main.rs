//! What the product achieves on this machine, beside what the machine can do: ratios of one run, and a file with its
//! conditions. `compose/bench` builds everything, starts servers and runs it.

mod apart;
mod api;
mod compare;
mod detector;
mod end_to_end;
mod freshness;
mod goals;
mod measure;
mod process;
mod records;
mod report;
mod scaling;
mod servers;
mod start;
mod yardsticks;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, bail, ensure};
use records::Order;
use report::Report;

const HELP: &str = "bench: what the product achieves beside what this machine can do

  bench NAME [--records N] [--rounds N] [--seed N] [--seconds N] [--order close|shuffled] [--out FILE]

  enricher   Kafka to Elasticsearch: first fill, replay, overwrite; beside _bulk, reading alone, a bare loop and the
             classic Python design
  scaling    the enricher over partitions and replicas, before a catalog that keeps nothing
  freshness  from a record to an opportunity at the API
  api        the API under load, beside the same search at Elasticsearch
  detector   a sweep over a million products
  start      how soon a process answers, how large it is
  all        all of them

  fill       the enricher's first fill alone, without a warm-up and yardsticks: what a profile is taken of

  bench compare FIRST.json SECOND.json   what two runs on one machine do not agree in

  --order    how the marketplaces of an article lie for the enricher; both without it

Needs KAFKA_BROKERS and ELASTICSEARCH_URL; compose/bench NAME starts servers for it.";

const NAMES: [&str; 6] = ["enricher", "scaling", "freshness", "api", "detector", "start"];
/// No part of `all`.
const FILL: &str = "fill";
/// Of these products a sweep has as many as the goal names.
const SWEEP: usize = 1_000_000;
/// A part of the records tells how the work is shared.
const SCALING_PART: usize = 2;

#[derive(Debug)]
struct Plans {
    names: Vec<&'static str>,
    records: usize,
    rounds: usize,
    seed: u64,
    seconds: u64,
    orders: Vec<Order>,
    out: Option<PathBuf>,
}

fn parse(mut arguments: impl Iterator<Item = String>) -> anyhow::Result<Plans> {
    let name = arguments.next().context("a name is missing")?;
    let names: Vec<&'static str> = match name.as_str() {
        "all" => NAMES.to_vec(),
        FILL => vec![FILL],
        _ => NAMES.into_iter().filter(|known| *known == name).collect(),
    };
    if names.is_empty() {
        bail!("{name} is unknown");
    }
    let mut plans = Plans {
        names,
        records: 300_000,
        rounds: 3,
        seed: 20_260_710,
        seconds: 20,
        orders: vec![Order::Close, Order::Shuffled],
        out: None,
    };
    while let Some(name) = arguments.next() {
        let value = arguments.next().with_context(|| format!("{name} needs a value"))?;
        let number = || {
            let number = value.parse::<u32>().ok().filter(|number| *number > 0);
            number.with_context(|| format!("{name} is {value}: a whole number above 0 is expected"))
        };
        match name.as_str() {
            "--records" => plans.records = usize::try_from(number()?)?,
            "--rounds" => plans.rounds = usize::try_from(number()?)?,
            "--seed" => plans.seed = u64::from(number()?),
            "--seconds" => plans.seconds = u64::from(number()?),
            "--order" => {
                plans.orders = match value.as_str() {
                    "close" => vec![Order::Close],
                    "shuffled" => vec![Order::Shuffled],
                    _ => bail!("--order is {value}: close or shuffled is expected"),
                }
            }
            "--out" => {
                let out = PathBuf::from(value);
                ensure!(
                    out.extension().is_none_or(|extension| extension != "json"),
                    "--out is for people: the values go beside it, to .json"
                );
                plans.out = Some(out);
            }
            _ => bail!("{name} is unknown"),
        }
    }
    Ok(plans)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        println!("{HELP}");
        return ExitCode::SUCCESS;
    }
    if let [name, first, second] = arguments.as_slice()
        && name == "compare"
    {
        return ended(compare::compare(first.as_ref(), second.as_ref()).map(|text| print!("{text}")));
    }
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    if let [name, task] = arguments.as_slice()
        && name == apart::ARGUMENT
    {
        return ended(runtime.block_on(apart::Task::run(task)));
    }
    let plans = match parse(arguments.into_iter()) {
        Ok(plans) => plans,
        Err(mistake) => {
            eprintln!("bench: {mistake}\n\n{HELP}");
            return ExitCode::from(2);
        }
    };
    ended(runtime.block_on(run(&plans)))
}

fn ended(outcome: anyhow::Result<()>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(plans: &Plans) -> anyhow::Result<()> {
    let mut report = Report::new(plans.records, plans.rounds, plans.seed);
    let mut failed = Vec::new();
    for &name in &plans.names {
        eprintln!("{name}");
        // The others are measured all the same.
        if let Err(error) = measure(name, plans, &mut report).await {
            eprintln!("{name}: {error:#}");
            report.add_failure(name, &error);
            failed.push(name);
        }
        if let Some(out) = &plans.out {
            report.write(out)?;
        }
    }
    print!("{}", report.text());
    ensure!(failed.is_empty(), "failed: {}", failed.join(", "));
    Ok(())
}

async fn measure(name: &str, plans: &Plans, report: &mut Report) -> anyhow::Result<()> {
    match name {
        "enricher" => report.add_enricher(&enricher_rounds(plans).await?),
        FILL => {
            for _ in 0..plans.rounds {
                for &order in &plans.orders {
                    eprintln!(
                        "  {order:?} {}",
                        serde_json::to_string(&end_to_end::fill(plans.records, order, plans.seed).await?)?
                    );
                }
            }
        }
        "scaling" => report.add_scaling(&scaling::run(plans.records / SCALING_PART, plans.rounds, plans.seed).await?),
        "freshness" => report.add_freshness(&freshness::run(plans.seconds, plans.seed).await?),
        "api" => report.add_api(&api::run(plans.seconds, plans.seed).await?),
        "detector" => report.add_sweep(&detector::run(SWEEP, plans.rounds, plans.seed)?),
        _ => report.add_start(&start::run(plans.rounds).await?),
    }
    Ok(())
}

async fn enricher_rounds(plans: &Plans) -> anyhow::Result<Vec<end_to_end::Round>> {
    // A fresh Elasticsearch compiles itself for half a million documents, and is slower meanwhile.
    eprintln!("warming up");
    yardsticks::warm_up().await?;
    end_to_end::warm_up(plans.seed).await?;
    let mut rounds = Vec::new();
    for round in 0..plans.rounds {
        for &order in &plans.orders {
            eprintln!("round {} of {}, {order:?}", round + 1, plans.rounds);
            let round = end_to_end::round(plans.records, order, plans.seed).await?;
            for result in &round.results {
                eprintln!("  {}", serde_json::to_string(result)?);
            }
            rounds.push(round);
        }
    }
    Ok(rounds)
}
