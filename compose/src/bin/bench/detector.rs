//! The detector's sweep: products evaluated on all routes, ledger and assessment of every open gap included, from memory.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::hint::black_box;
use std::time::Instant;

use anyhow::ensure;
use detector::Config;
use detector::detect::{Basis, Evaluator, Finding, Numbers, RouteEvaluation};
use detector::rates;
use detector::settings::Settings;
use enricher::decode::{Input, decode};
use serde::Serialize;
use shared::config::Environment;
use shared::domain::profit::{Route, ledger};
use shared::domain::{Asin, Listing, OpportunityId, Product, Staleness, StoredProduct, UnixMillis};

use crate::measure::{Spread, cores};
use crate::records::{Order, Records};

/// Held in memory; a sweep over a million goes over them again and again, which the processor's caches cannot hold.
const HELD: usize = 50_000;
const MARKETS: usize = 5;

/// A sweep.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Sweep {
    /// Products evaluated.
    pub products: usize,
    /// Ordered pairs of marketplaces of each.
    pub routes: usize,
    /// How many routes had a gap, all products together.
    pub open: usize,
    /// Lines in their ledgers, all together.
    pub lines: usize,
    /// What is stored of every open gap: profit, return, buffer, costs, assessment.
    pub evaluated: Speed,
    /// The same, and the ledger of every open gap as it is shown: all lines, break-even, greatest purchase price.
    pub with_ledgers: Speed,
}

/// How fast it was.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Speed {
    /// Products in a second of one core.
    pub per_core_second: Spread,
    /// Seconds for all, on all cores.
    pub seconds: Spread,
}

/// What a core found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Found {
    open: usize,
    lines: usize,
}

/// Sweeps over so many products on every core; the seller's profile and the rates are those that ship.
///
/// # Errors
/// Settings that are wrong, or records that the enricher refuses.
pub fn run(products: usize, rounds: usize, seed: u64) -> anyhow::Result<Sweep> {
    let environment = Environment::default();
    let config = Config::read(&environment);
    let config = environment.finish(config).map_err(|error| anyhow::anyhow!("{error}"))?;
    let basis = Basis {
        settings: Settings::new(&config.rules(), 1),
        rates: Some(rates::shipped()),
        simulated: Some(true),
    };
    let now = UnixMillis::now();
    let held = products_in_memory(HELD.min(products), &config, seed, now)?;
    let (evaluated, without) = sweep(
        products,
        rounds,
        |product, evaluator| {
            let routes = evaluator.evaluate(product, now);
            Found {
                open: open(&routes).count(),
                lines: 0,
            }
        },
        &held,
        &basis,
        now,
    );
    let (with_ledgers, found) = sweep(
        products,
        rounds,
        |product, evaluator| {
            let routes = evaluator.evaluate(product, now);
            let ledgers = open(&routes).filter_map(|(id, numbers)| {
                let route = Route {
                    source: id.source,
                    target: id.target,
                    source_price: numbers.source_price,
                    target_price: numbers.target_price,
                };
                ledger(&route, &numbers.net.as_ref()?.costs).ok()
            });
            Found {
                open: open(&routes).count(),
                lines: ledgers.map(|ledger| black_box(ledger).lines.len()).sum(),
            }
        },
        &held,
        &basis,
        now,
    );
    ensure!(without.open == found.open, "{} and {} gaps in the same products", without.open, found.open);
    Ok(Sweep {
        products,
        routes: config.markets.len() * (config.markets.len() - 1),
        open: found.open,
        lines: found.lines,
        evaluated,
        with_ledgers,
    })
}

/// Works on all products, in every round anew; what is found is the same in each.
fn sweep(
    products: usize,
    rounds: usize,
    work: impl Fn(&StoredProduct, &Evaluator) -> Found + Sync,
    held: &[StoredProduct],
    basis: &Basis,
    now: UnixMillis,
) -> (Speed, Found) {
    let cores = cores();
    let each = products.div_ceil(cores);
    let (mut seconds, mut per_core) = (Vec::new(), Vec::new());
    let mut found = Found::default();
    for _ in 0..rounds {
        let began = Instant::now();
        found = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..cores)
                .map(|core| {
                    let work = &work;
                    scope.spawn(move || {
                        let evaluator = Evaluator::new(basis, now);
                        let some = held.iter().cycle().skip(core * held.len() / cores).take(each);
                        some.map(|product| work(product, &evaluator)).fold(Found::default(), Found::plus)
                    })
                })
                .collect();
            let all = threads.into_iter().map(|thread| thread.join().expect("evaluating does not panic"));
            all.fold(Found::default(), Found::plus)
        });
        let took = began.elapsed().as_secs_f64();
        seconds.push(took);
        per_core.push(products as f64 / took / cores as f64);
    }
    let speed = Speed {
        per_core_second: Spread::of(per_core),
        seconds: Spread::of(seconds),
    };
    (speed, found)
}

impl Found {
    fn plus(self, other: Found) -> Found {
        Found {
            open: self.open + other.open,
            lines: self.lines + other.lines,
        }
    }
}

fn open(routes: &[RouteEvaluation]) -> impl Iterator<Item = (OpportunityId, &Numbers)> {
    routes.iter().filter_map(|route| match &route.finding {
        Finding::Open(numbers) => Some((route.id, &**numbers)),
        _ => None,
    })
}

/// Products as the enricher makes them.
fn products_in_memory(count: usize, config: &Config, seed: u64, now: UnixMillis) -> anyhow::Result<Vec<StoredProduct>> {
    let records = Records::plan(count * MARKETS, Order::Close, seed, 0, now.plus_millis(-60_000));
    let mut products: BTreeMap<Asin, Product> = BTreeMap::new();
    for message in records.messages() {
        let input = Input {
            key: Some(message.key.as_ref()),
            payload: message.payload.as_deref(),
            timestamp: now,
        };
        // Some are malformed on purpose.
        let Ok(decoded) = decode(&input, now) else { continue };
        match products.entry(decoded.update.asin) {
            Entry::Vacant(entry) => drop(entry.insert(decoded.update)),
            Entry::Occupied(mut entry) => drop(entry.get_mut().merge(&decoded.update)),
        }
    }
    ensure!(products.len() == count, "{} products of {count} were made", products.len());
    let stored = products.into_values().map(|product| StoredProduct {
        revision: 1,
        listing: Listing::of(&product, &config.markets, now, Staleness::default()),
        product,
    });
    Ok(stored.collect())
}
