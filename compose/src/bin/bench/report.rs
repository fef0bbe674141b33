//! What came out, for people and for comparison with other runs, with the conditions it was had under.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::Context as _;
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::api::{Load, what as asked};
use crate::detector::Sweep;
use crate::end_to_end::{Round, what};
use crate::freshness::Freshness;
use crate::goals::Goal;
use crate::measure::{Measured, Spread, cores};
use crate::process::settings_tried;
use crate::records::Order;
use crate::scaling::Shared;
use crate::start::Start;

/// Bytes.
const MIB: f64 = 1_048_576.0;

/// Results of some benchmarks, in the order in which they came.
#[derive(Debug, Default)]
pub struct Report {
    conditions: String,
    goals: Vec<Goal>,
    text: String,
    json: Map<String, Value>,
}

impl Report {
    /// Begins with the conditions.
    #[must_use]
    pub fn new(records: usize, rounds: usize, seed: u64) -> Report {
        let variable = |name: &str| std::env::var(name).unwrap_or_else(|_| "unknown".into());
        let cpu = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = cpu
            .lines()
            .find_map(|line| Some(line.strip_prefix("model name")?.split_once(": ")?.1.to_owned()));
        let conditions = json!({
            "commit": variable("BENCH_COMMIT"),
            "records": records,
            "rounds": rounds,
            "seed": seed,
            "build": if cfg!(debug_assertions) { "debug" } else { "release" },
            "cores": cores(),
            "cpu": cpu,
            "settings": settings_tried(),
            "servers": "Kafka and Elasticsearch of compose/servers on the same cores, one node each",
        });
        let mut report = Report::default();
        report.conditions.push_str("# What was measured\n\n");
        for (name, value) in conditions.as_object().into_iter().flatten() {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let _ = writeln!(report.conditions, "- {name}: {value}");
        }
        report.json.insert("conditions".into(), conditions);
        report
    }

    /// Of the enricher, from Kafka to products.
    pub fn add_enricher(&mut self, rounds: &[Round]) {
        let mut results = Vec::new();
        let mut peaks = Vec::new();
        for order in [Order::Close, Order::Shuffled] {
            let mut bulk_rate = f64::NAN;
            let rounds: Vec<&Round> = rounds.iter().filter(|round| round.order == order).collect();
            let Some(first) = rounds.first() else { continue };
            let _ = write!(
                self.text,
                "\n## Enricher, marketplaces of an article {}\n\nRecords a second over {} rounds; `_bulk` alone is measured before and after each of the others, which is compared with these two; ratios are medians; CPU seconds for 100,000 records.\n\n\
                 | | least | median | most | of _bulk | of cap | client CPU | Elasticsearch | Kafka | peak MiB |\n|---|---|---|---|---|---|---|---|---|---|\n",
                order_name(order),
                rounds.len()
            );
            let mut names: Vec<&str> = Vec::new();
            for result in &first.results {
                if !names.contains(&result.what) {
                    names.push(result.what);
                }
            }
            for name in names {
                let results_of = rounds.iter().flat_map(|round| &round.results).filter(|result| result.what == name);
                let of = |value: fn(&Measured) -> f64| Spread::of(results_of.clone().map(|result| value(&result.measured)));
                let of_bulk = Spread::of(results_of.clone().map(|result| result.of_bulk));
                let of_cap = of(|measured| measured.per_second / measured.cap_per_second);
                let rate = of(|measured| measured.per_second);
                let client = of(|measured| measured.client_cpu);
                let elasticsearch = of(|measured| measured.elasticsearch_cpu);
                let kafka = of(|measured| measured.kafka_cpu);
                let peak = of(|measured| measured.peak_mib.unwrap_or(f64::NAN));
                let peak_text = if peak.max.is_nan() { String::new() } else { format!("{:.0}", peak.max) };
                let _ = writeln!(
                    self.text,
                    "| {name} | {:.0} | {:.0} | {:.0} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {peak_text} |",
                    rate.min, rate.median, rate.max, of_bulk.median, of_cap.median, client.median, elasticsearch.median, kafka.median,
                );
                if name == what::BULK {
                    bulk_rate = rate.median;
                }
                self.goals.extend(match (order, name) {
                    (Order::Close, what::FIRST_FILL) => vec![
                        Goal::at_least("first fill, marketplaces close together, of `_bulk`", 1.0, [of_bulk.median]).spent(format!(
                            "CPU µs of a record: {:.1} client, {:.1} Elasticsearch, {:.1} Kafka; all cores have {:.1} at the rate of `_bulk`",
                            client.median * 10.0,
                            elasticsearch.median * 10.0,
                            kafka.median * 10.0,
                            1e6 * cores() as f64 / bulk_rate
                        )),
                        client_cpu_goal("first fill, close together", client),
                    ],
                    (Order::Shuffled, what::FIRST_FILL) => vec![of_cap_goal(name, of_cap), client_cpu_goal("first fill, shuffled", client)],
                    (Order::Shuffled, what::OVERWRITE_WARM | what::OVERWRITE_COLD | what::REPLAY_ALL) => vec![of_cap_goal(name, of_cap)],
                    (_, what::REPLAY_WARM) => {
                        let goal = format!("replay onto a full, warm catalog, {}, records a second", order_name(order));
                        vec![Goal::at_least(goal, 70_000.0, [rate.median])]
                    }
                    _ => Vec::new(),
                });
                peaks.push(peak.max);
                results.push(json!({
                    "order": order, "what": name, "per_second": rate, "of_bulk": of_bulk, "of_cap": of_cap, "client_cpu": client,
                    "elasticsearch_cpu": elasticsearch, "kafka_cpu": kafka, "peak_mib": peak.max,
                }));
            }
        }
        if let Some(of_classic) = of_classic(rounds) {
            let Spread { min, median, max } = of_classic;
            let _ = writeln!(
                self.text,
                "\nA first fill, marketplaces close together, is {median:.1} times as fast as the Python design (least {min:.1}, most {max:.1}), each by `_bulk` beside it."
            );
            self.json.insert("first_fill_of_classic".into(), json!(of_classic));
            let goal = "first fill, close together, times the classic Python design";
            self.goals.push(Goal::at_least(goal, 8.0, [median]).spent("as of `_bulk`, above"));
        }
        let peaks = peaks.into_iter().filter(|mib| !mib.is_nan()).map(|mib| mib * MIB / 1e6);
        self.goals.push(Goal::at_most("the enricher's memory at its peak, MB", 200.0, peaks));
        let verified: usize = rounds.iter().map(|round| round.verified).sum();
        let _ = writeln!(
            self.text,
            "\n{verified} times a product was compared with the seeded truth: none missing, none stale, no wrong price; every malformed record was a dead letter."
        );
        self.text
            .push_str("\nThe replay of all is a backlog onto a full catalog:\n\n| marketplaces | records | resident MiB after a tenth | half | all |\n|---|---|---|---|---|\n");
        for round in rounds {
            let order = order_name(round.order);
            let [tenth, half, all] = round.backlog_mib;
            let _ = writeln!(self.text, "| {order} | {} | {tenth:.0} | {half:.0} | {all:.0} |", round.backlog);
        }
        let backlogs: Vec<Value> = rounds
            .iter()
            .map(|round| json!({"order": round.order, "records": round.backlog, "resident_mib": round.backlog_mib}))
            .collect();
        self.json
            .insert("enricher".into(), json!({"results": results, "verified": verified, "backlogs": backlogs}));
    }

    /// Of the enricher before a catalog that keeps nothing.
    pub fn add_scaling(&mut self, results: &[Shared]) {
        self.text.push_str(
            "\n## Scaling, before a catalog that keeps nothing\n\n| partitions | replicas | records a second | in a second of one core | of one partition's |\n|---|---|---|---|---|\n",
        );
        for shared in results {
            let _ = writeln!(
                self.text,
                "| {} | {} | {:.0} | {:.0} | {:.2} |",
                shared.partitions, shared.replicas, shared.per_second.median, shared.per_core_second.median, shared.of_one.median
            );
        }
        let of_one = results.iter().map(|shared| shared.of_one.median);
        self.goals.push(Goal::at_least(
            "records in a second of one core, the least of all partitions and replicas, of one partition's",
            0.85,
            of_one,
        ));
        self.put("scaling", results);
    }

    /// From a record to an opportunity that is seen.
    pub fn add_freshness(&mut self, results: &[Freshness]) {
        self.text.push_str(
            "\n## Freshness: record produced to opportunity seen, milliseconds\n\n| on | records a second | by id: p50 | p99 | most | in the list: p50 | p99 | most | probes |\n|---|---|---|---|---|---|---|---|---|\n",
        );
        for one in results {
            let _ = writeln!(
                self.text,
                "| {} | {} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {} |",
                one.on,
                one.records_per_second,
                one.by_id.p50,
                one.by_id.p99,
                one.by_id.max,
                one.in_list.p50,
                one.in_list.p99,
                one.in_list.max,
                one.by_id.probes
            );
        }
        for (on, by_id, in_list) in [("servers", 1_100.0, 2_100.0), ("embedded", 250.0, 1_250.0)] {
            let of = |latency: fn(&Freshness) -> f64| results.iter().filter(|one| one.on == on).map(latency).collect::<Vec<_>>();
            let goal = |what: &str| format!("{on}: a record is seen {what}, p99, ms");
            self.goals.push(Goal::at_most(goal("by id"), by_id, of(|one| one.by_id.p99)));
            self.goals.push(Goal::at_most(goal("in a list"), in_list, of(|one| one.in_list.p99)));
        }
        self.put("freshness", results);
    }

    /// The API under load.
    pub fn add_api(&mut self, results: &[Load]) {
        let kind = |wanted: &'static [&'static str]| results.iter().filter(|load| wanted.contains(&load.what));
        self.text.push_str(
            "\n## API: a page of 50 opportunities\n\n10,000 requests a second, each due at a fixed instant from which its latency counts; opportunities change all the time, so the page is renewed once a second. A connection carries one request at a time: what waits behind others is in a latency, and not in what an answer took since it was asked for.\n\n| on | what | connections | answers a second | p50 ms | p99 ms | p99.9 ms | of which sent late, p99 | an answer, p99 | most |\n|---|---|---|---|---|---|---|---|---|---|\n",
        );
        for load in kind(&[asked::CACHED, asked::CACHED_COMPRESSED]) {
            let goal = format!(
                "API, {} on {}, {} connections, p99 at 10,000 requests a second, ms",
                load.what, load.on, load.connections
            );
            let answer = load.answer_p99_ms.unwrap_or(f64::NAN);
            self.goals.push(
                Goal::at_most(goal, 2.0, [load.p99_ms]).spent(format!("waiting in the connection's queue; since it was sent an answer took {answer:.2}")),
            );
            let [p999, late, answer_p99, answer_max] =
                [load.p999_ms, load.late_p99_ms, load.answer_p99_ms, load.answer_max_ms].map(|ms| ms.unwrap_or(f64::NAN));
            let _ = writeln!(
                self.text,
                "| {} | {} | {} | {:.0} | {:.2} | {:.2} | {p999:.2} | {late:.2} | {answer_p99:.2} | {answer_max:.2} |",
                load.on, load.what, load.connections, load.per_second, load.p50_ms, load.p99_ms
            );
        }
        self.text.push_str(
            "\nAs fast as it goes, under `wrk` on the same cores:\n\n| on | connections | answers a second | p50 ms | p99 ms |\n|---|---|---|---|---|\n",
        );
        for load in kind(&[asked::SATURATED]) {
            let _ = writeln!(
                self.text,
                "| {} | {} | {:.0} | {:.2} | {:.2} |",
                load.on, load.connections, load.per_second, load.p50_ms, load.p99_ms
            );
        }
        self.text.push_str(
            "\nNo two questions the same, each connection without a pause; direct: the same searches sent straight to Elasticsearch, in turns; by direct: the middle of the turns.\n\n| on | what | connections | answers a second | p50 ms | p99 ms | p50 of direct | time of direct |\n|---|---|---|---|---|---|---|---|\n",
        );
        for load in kind(&[asked::DIRECT, asked::UNCACHED]) {
            if let Some(of_direct) = load.of_direct {
                let goal = format!("API, not cached, {} connections, times the direct search", load.connections);
                self.goals
                    .push(Goal::at_most(goal, 1.15, [of_direct.median]).spent("the API's own work, see BENCH.md"));
            }
            let ratio = |spread: Option<Spread>| spread.map_or(String::new(), |spread| format!("{:.2}", spread.median));
            let _ = writeln!(
                self.text,
                "| {} | {} | {} | {:.0} | {:.2} | {:.2} | {} | {} |",
                load.on,
                load.what,
                load.connections,
                load.per_second,
                load.p50_ms,
                load.p99_ms,
                ratio(load.of_direct),
                ratio(load.of_direct_time)
            );
        }
        self.put("api", results);
    }

    /// The detector from memory.
    pub fn add_sweep(&mut self, sweep: &Sweep) {
        let products = sweep.products as f64;
        let _ = write!(
            self.text,
            "\n## Detector: a sweep from memory\n\n{} products on {} routes each; {:.1} of them open ({:.0} % of all), with ledgers of {} lines.\n\n| | products in a second of one core | seconds on all cores: least | median | most |\n|---|---|---|---|---|\n",
            sweep.products,
            sweep.routes,
            sweep.open as f64 / products,
            100.0 * sweep.open as f64 / products / sweep.routes as f64,
            sweep.lines / sweep.open.max(1),
        );
        for (name, speed) in [
            ("evaluated: profit, return, buffer and assessment of every open gap", &sweep.evaluated),
            ("and the ledger of every open gap, line by line", &sweep.with_ledgers),
        ] {
            let _ = writeln!(
                self.text,
                "| {name} | {:.0} | {:.2} | {:.2} | {:.2} |",
                speed.per_core_second.median, speed.seconds.min, speed.seconds.median, speed.seconds.max
            );
        }
        self.goals.push(Goal::at_most(
            "a sweep over a million products, every ledger line by line, seconds",
            5.0,
            [sweep.with_ledgers.seconds.median],
        ));
        self.put("detector", sweep);
    }

    /// Starts, sizes and memory.
    pub fn add_start(&mut self, start: &Start) {
        let _ = write!(
            self.text,
            "\n## Start\n\n`compose` on an empty folder: first answer after {:.0} ms (least {:.0}, most {:.0}), first list of products after {:.0} ms; {:.0} MiB resident with the broker, the catalog and the simulator at work.\n\n| | executable MB | idle MiB |\n|---|---|---|\n",
            start.first_answer_ms.median, start.first_answer_ms.min, start.first_answer_ms.max, start.first_list_ms.median, start.embedded_mib
        );
        for (name, megabytes) in &start.binary_mb {
            let idle = start.idle_mib.get(name).map_or(String::new(), |mib| format!("{mib:.0}"));
            let _ = writeln!(self.text, "| {name} | {megabytes:.1} | {idle} |");
        }
        self.goals
            .push(Goal::at_most("start to the first answer, embedded, ms", 300.0, [start.first_answer_ms.median]));
        self.goals.push(Goal::at_most(
            "idle without the embedded broker, the largest service, MB",
            80.0,
            start.idle_mib.values().map(|mib| mib * MIB / 1e6),
        ));
        self.put("start", start);
    }

    /// A benchmark that did not come to its end.
    pub fn add_failure(&mut self, name: &str, error: &anyhow::Error) {
        let _ = write!(self.text, "\n## Failed: {name}\n\n{error:#}\n");
        self.json.insert(name.into(), json!({"failed": format!("{error:#}")}));
    }

    fn put<T: Serialize + ?Sized>(&mut self, name: &str, results: &T) {
        self.json.insert(name.into(), serde_json::to_value(results).unwrap_or_default());
    }

    /// For people: conditions, goals, and what was measured in the order in which it came.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = self.conditions.clone();
        if !self.goals.is_empty() {
            let met = self.goals.iter().filter(|goal| goal.is_met()).count();
            let _ = write!(
                text,
                "\n## Goals\n\n{met} of {} are met. What a profile shows of those that are not is in BENCH.md.\n\n| goal | bound | seen | | where it goes |\n|---|---|---|---|---|\n",
                self.goals.len()
            );
            for goal in &self.goals {
                let _ = writeln!(text, "{}", goal.row());
            }
        }
        text.push_str(&self.text);
        text
    }

    /// Writes the text, and beside it the values for comparison (`.json`).
    ///
    /// # Errors
    /// The files cannot be written.
    pub fn write(&self, path: &Path) -> anyhow::Result<()> {
        let values = path.with_extension("json");
        let mut json = self.json.clone();
        json.insert("goals".into(), json!(self.goals));
        let json = format!("{:#}\n", Value::Object(json));
        std::fs::write(path, self.text()).with_context(|| format!("{} cannot be written", path.display()))?;
        std::fs::write(&values, json).with_context(|| format!("{} cannot be written", values.display()))
    }
}

fn order_name(order: Order) -> &'static str {
    match order {
        Order::Close => "close together",
        Order::Shuffled => "shuffled",
    }
}

fn of_cap_goal(name: &str, of_cap: Spread) -> Goal {
    Goal::at_least(format!("{name}, shuffled, of the cap by CPU seconds"), 0.9, [of_cap.median]).spent("waiting: a core stands still for the rest")
}

fn client_cpu_goal(what: &str, client: Spread) -> Goal {
    Goal::at_most(format!("client CPU seconds for 100,000 records, {what}"), 2.0, [client.median]).spent("see the profile in BENCH.md")
}

/// How many times as fast as the Python design a first fill is, in rounds that have both.
fn of_classic(rounds: &[Round]) -> Option<Spread> {
    let ratios = rounds.iter().filter_map(|round| {
        let of_bulk = |what: &str| {
            let all = round.results.iter().filter(|result| result.what == what).map(|result| result.of_bulk);
            Spread::of(all).median
        };
        let ratio = of_bulk(what::FIRST_FILL) / of_bulk(what::CLASSIC);
        (!ratio.is_nan()).then_some(ratio)
    });
    let ratios: Vec<f64> = ratios.collect();
    (!ratios.is_empty()).then(|| Spread::of(ratios))
}
