//! The steps of a record's way one by one: how long each takes, and how often it allocates.
//!
//! `cargo bench -p compose --bench micro`. Allocations are printed first; times are Criterion's, compared with the last run.

use std::hint::black_box;

use criterion::{Criterion, Throughput};
use detector::detect::{Basis, Evaluator};
use detector::settings::Settings;
use enricher::decode::{Decoded, Input, decode};
use enricher::fold::{Group, Update, decide};
use shared::adapters::kafka::RecordOffset;
use shared::config::Environment;
use shared::domain::{Listing, Product, Staleness, StoredProduct, UnixMillis};
use shared::wire::product::to_json;

#[path = "../src/bin/bench/records.rs"]
#[allow(dead_code)]
mod records;

use records::{Order, Records};

/// 2026-07-10T12:00Z.
const NOW: UnixMillis = UnixMillis(1_783_684_800_000);
/// A good record for each marketplace of one article.
const MARKETS: usize = 5;
const SEED: u64 = 7;

type Step = fn(&Material) -> usize;

/// What the steps work on.
struct Material {
    payload: Vec<u8>,
    key: Vec<u8>,
    update: Product,
    held: Product,
    group: Group,
    stored: StoredProduct,
    evaluator: Evaluator,
}

impl Material {
    fn new() -> Material {
        let messages: Vec<_> = Records::plan(MARKETS, Order::Close, SEED, 0, NOW.plus_millis(-600_000)).messages().collect();
        let newer: Vec<_> = Records::plan(MARKETS, Order::Close, SEED, 1, NOW).messages().collect();
        let decoded = |messages: &[shared::adapters::kafka::Message]| -> Vec<Product> {
            let input = |message: &shared::adapters::kafka::Message| {
                let input = Input {
                    key: Some(&message.key),
                    payload: message.payload.as_deref(),
                    timestamp: NOW,
                };
                decode(&input, NOW).map(|decoded: Decoded| decoded.update).ok()
            };
            messages.iter().filter_map(input).collect()
        };
        let (old, new) = (decoded(&messages), decoded(&newer));
        let mut held = old[0].clone();
        for update in &old[1..] {
            held.merge(update);
        }
        let environment = Environment::default();
        let rules = detector::Config::read(&environment).rules();
        Material {
            payload: newer[0].payload.clone().expect("a value"),
            key: newer[0].key.clone(),
            update: new[0].clone(),
            group: Group {
                asin: held.asin,
                updates: new
                    .into_iter()
                    .zip(0..)
                    .map(|(product, offset)| Update {
                        offset: RecordOffset(offset),
                        fingerprint: None,
                        product,
                    })
                    .collect(),
            },
            stored: StoredProduct {
                revision: 1,
                listing: Listing::of(&held, &rules.markets, NOW, Staleness::default()),
                product: held.clone(),
            },
            held,
            evaluator: Evaluator::new(
                &Basis {
                    settings: Settings::new(&rules, 1),
                    rates: Some(detector::rates::shipped()),
                    simulated: Some(true),
                },
                NOW,
            ),
        }
    }

    fn input(&self) -> Input<'_> {
        Input {
            key: Some(&self.key),
            payload: Some(&self.payload),
            timestamp: NOW,
        }
    }

    fn decode(&self) -> usize {
        decode(black_box(&self.input()), NOW).map_or(0, |decoded| decoded.update.markets.len())
    }

    fn merge(&self) -> bool {
        let mut held = self.held.clone();
        held.merge(black_box(&self.update))
    }

    fn fold(&self) -> usize {
        decide(Some(black_box(&self.held)), black_box(&self.group)).fates.len()
    }

    fn evaluate(&self) -> usize {
        self.evaluator.evaluate(black_box(&self.stored), NOW).len()
    }

    fn serialise(&self) -> usize {
        to_json(black_box(&self.stored)).len()
    }
}

fn main() {
    let material = Material::new();
    let steps: [(&str, Step); 5] = [
        ("decode", Material::decode),
        ("merge into five marketplaces, with a copy of what is held", |material| {
            usize::from(material.merge())
        }),
        ("fold five records", Material::fold),
        ("evaluate 20 routes with ledger and assessment", Material::evaluate),
        ("serialise a product of five marketplaces", Material::serialise),
    ];
    println!("a record of {} bytes; a document of {} bytes", material.payload.len(), material.serialise());
    for (name, step) in steps {
        let counted = allocation_counter::measure(|| {
            black_box(step(&material));
        });
        println!("{name}: {} allocations, {} bytes", counted.count_total, counted.bytes_total);
    }
    let mut criterion = Criterion::default().configure_from_args();
    let mut group = criterion.benchmark_group("a record's way");
    group.throughput(Throughput::Elements(1));
    for (name, step) in steps {
        group.bench_function(name, |bencher| bencher.iter(|| step(&material)));
    }
    group.finish();
    criterion.final_summary();
}
