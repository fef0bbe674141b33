//! The detector's sweep: products evaluated on all routes, ledger and assessment included, from memory.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::time::Instant;

use anyhow::ensure;
use detector::Config;
use detector::detect::{Basis, Finding, RouteEvaluation, evaluate};
use detector::rates;
use detector::settings::Settings;
use enricher::decode::{Input, decode};
use serde::Serialize;
use shared::config::Environment;
use shared::domain::{Asin, Listing, Product, Staleness, StoredProduct, UnixMillis};

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
    /// Of one round, how many had a gap.
    pub open: usize,
    /// Products in a second of one core.
    pub per_core_second: Spread,
    /// Seconds for all, on all cores.
    pub seconds: Spread,
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
    let cores = cores();
    let (mut seconds, mut per_core) = (Vec::new(), Vec::new());
    let mut open = 0;
    for _ in 0..rounds {
        let began = Instant::now();
        let each = products.div_ceil(cores);
        open = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..cores)
                .map(|core| {
                    let (held, basis) = (&held, &basis);
                    scope.spawn(move || {
                        let some = held.iter().cycle().skip(core * held.len() / cores).take(each);
                        some.map(|product| evaluate(product, basis, now))
                            .map(|routes| count_open(&routes))
                            .sum::<usize>()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().expect("evaluating does not panic")).sum()
        });
        let took = began.elapsed().as_secs_f64();
        seconds.push(took);
        per_core.push(products as f64 / took / cores as f64);
    }
    Ok(Sweep {
        products,
        routes: config.markets.len() * (config.markets.len() - 1),
        open,
        per_core_second: Spread::of(per_core),
        seconds: Spread::of(seconds),
    })
}

fn count_open(routes: &[RouteEvaluation]) -> usize {
    routes.iter().filter(|route| matches!(route.finding, Finding::Open(_))).count()
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
