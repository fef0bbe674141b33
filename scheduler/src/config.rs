//! [`Config`]: the schedule and what the jobs are told, from the environment.

use std::collections::BTreeSet;

use shared::config::Environment;
use shared::domain::{Marketplace, UnixMillis};
use shared::wire::JobRequest;
use shared::wire::job::JobParameters;

use crate::jobs::Job;
use crate::schedule::Schedule;

/// Ten best-seller lists (50 tokens each) and the details of a hundred articles in five markets (15 tokens each).
const DEFAULT_SCRAPE_TOKENS: i64 = 2_000;
/// A page of deals (5 tokens) and the details of some thirty articles in five markets.
const DEFAULT_DEALS_TOKENS: i64 = 500;
/// Keeps a request far below the size limit of its topic.
const MAX_CATEGORIES: usize = 1_000;

/// Settings of the scheduler.
///
/// `SCHEDULE_CATEGORY_SCRAPE`, `SCHEDULE_DEALS_SCAN`, `SCHEDULE_SWEEP`, `SCHEDULE_RATES` are cron expressions in UTC, with
/// seconds or without, or `off`. `SCRAPE_CATEGORIES` (`562066,3167641`, optionally `DE:562066`), `SCRAPE_LIMIT`,
/// `SCRAPE_TOKEN_BUDGET`, `DEALS_MARKET`, `DEALS_LIMIT` and `DEALS_TOKEN_BUDGET` say what a scrape and a deals scan are
/// told.
#[derive(Clone, Debug)]
pub struct Config {
    /// The jobs that are not off.
    pub(crate) jobs: Vec<ScheduledJob>,
}

/// A job with its schedule and what its requests carry.
#[derive(Clone, Debug)]
pub(crate) struct ScheduledJob {
    pub(crate) job: Job,
    pub(crate) schedule: Schedule,
    /// Keepa tokens a run may spend; none = no bound but the bucket.
    pub(crate) token_budget: Option<i64>,
    pub(crate) parameters: JobParameters,
}

impl ScheduledJob {
    /// The request for an attempt at a tick: the same whenever and by whomever it is made.
    pub(crate) fn request(&self, tick: UnixMillis, attempt: u32) -> JobRequest {
        let name = self.job.name();
        JobRequest {
            v: 1,
            job: name.to_owned(),
            run_id: JobRequest::attempt_id(name, tick, attempt),
            kind: self.job.kind(),
            tick,
            priority: self.job.priority(),
            token_budget: self.token_budget,
            parameters: self.parameters.clone(),
        }
    }
}

impl Config {
    /// Reads the variables above; mistakes are noted on the environment.
    #[must_use]
    pub fn read(environment: &Environment) -> Config {
        let scrape = read_scrape(environment);
        let scrape_tokens = read_budget(environment, "SCRAPE_TOKEN_BUDGET", DEFAULT_SCRAPE_TOKENS);
        let deals = read_deals(environment);
        let deals_tokens = read_budget(environment, "DEALS_TOKEN_BUDGET", DEFAULT_DEALS_TOKENS);
        let told = |job| match job {
            Job::CategoryScrape => (scrape_tokens, scrape.clone()),
            Job::DealsScan => (deals_tokens, deals.clone()),
            Job::Sweep | Job::Rates => (None, JobParameters::default()),
        };
        let scheduled = |job: Job| {
            let schedule = read_schedule(environment, job)?;
            let (token_budget, parameters) = told(job);
            Some(ScheduledJob {
                job,
                schedule,
                token_budget,
                parameters,
            })
        };
        Config {
            jobs: Job::ALL.into_iter().filter_map(scheduled).collect(),
        }
    }
}

fn read_schedule(environment: &Environment, job: Job) -> Option<Schedule> {
    let variable = job.variable();
    let text = environment.parsed(variable, job.default_schedule().to_owned(), "a cron expression or off", |text| {
        Some(text.to_owned())
    });
    if text.eq_ignore_ascii_case("off") {
        return None;
    }
    match text.parse() {
        Ok(schedule) => Some(schedule),
        Err(error) => {
            environment.mistake(format!("{variable}: {error}"));
            None
        }
    }
}

fn read_scrape(environment: &Environment) -> JobParameters {
    let (market, categories) = environment.parsed(
        "SCRAPE_CATEGORIES",
        (None, Vec::new()),
        "a list of different category ids of one marketplace such as 562066,3167641 or DE:562066 (there are no best sellers for BR)",
        parse_categories,
    );
    JobParameters {
        market,
        categories,
        limit: read_limit(environment, "SCRAPE_LIMIT"),
    }
}

fn read_deals(environment: &Environment) -> JobParameters {
    let market = environment.parsed("DEALS_MARKET", None, "a marketplace such as DE (there are no deals for BR)", |text| {
        parse_listed_market(text).map(Some)
    });
    JobParameters {
        market,
        categories: Vec::new(),
        limit: read_limit(environment, "DEALS_LIMIT"),
    }
}

fn read_limit(environment: &Environment, variable: &str) -> Option<u32> {
    environment.parsed(variable, None, "a whole number from 1 to 10000", |text| {
        text.parse().ok().filter(|limit| (1..=10_000).contains(limit)).map(Some)
    })
}

fn read_budget(environment: &Environment, variable: &str, default: i64) -> Option<i64> {
    environment.parsed(variable, Some(default), "a number of tokens from 1 to 1000000, or off for no bound", |text| {
        if text.eq_ignore_ascii_case("off") {
            return Some(None);
        }
        text.parse().ok().filter(|tokens| (1..=1_000_000).contains(tokens)).map(Some)
    })
}

/// A marketplace that Keepa has lists of categories, best sellers and deals for: all but BR.
fn parse_listed_market(text: &str) -> Option<Marketplace> {
    text.parse().ok().filter(|&market| market != Marketplace::BR)
}

fn parse_categories(text: &str) -> Option<(Option<Marketplace>, Vec<i64>)> {
    let mut markets = BTreeSet::new();
    let mut categories = Vec::new();
    for item in text.split(',') {
        let id = match item.split_once(':') {
            Some((market, id)) => {
                markets.insert(parse_listed_market(market.trim())?);
                id
            }
            None => item,
        };
        let id: i64 = id.trim().parse().ok().filter(|&id| id > 0)?;
        if categories.contains(&id) {
            return None;
        }
        categories.push(id);
    }
    // Ids differ per marketplace, and a request asks one.
    let is_clear = markets.len() <= 1 && categories.len() <= MAX_CATEGORIES;
    is_clear.then(|| (markets.pop_first(), categories))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Config, shared::config::ConfigError> {
        let environment = Environment::of(variables.iter().copied());
        let config = Config::read(&environment);
        environment.finish(config)
    }

    #[test]
    fn without_settings_all_jobs_are_scheduled() {
        let config = read(&[]).expect("no mistake");
        let jobs: Vec<Job> = config.jobs.iter().map(|scheduled| scheduled.job).collect();
        assert_eq!(jobs, Job::ALL);
        assert_eq!(config.jobs[0].token_budget, Some(DEFAULT_SCRAPE_TOKENS));
        assert_eq!(config.jobs[0].parameters, JobParameters::default());
    }

    #[test]
    fn a_job_can_be_switched_off_and_rescheduled_in_both_forms() {
        let config = read(&[
            ("SCHEDULE_CATEGORY_SCRAPE", "off"),
            ("SCHEDULE_SWEEP", "*/10 * * * *"),
            ("SCHEDULE_RATES", "30 15 15 * * MON-FRI"),
        ])
        .expect("no mistake");
        let jobs: Vec<(Job, String)> = config.jobs.iter().map(|scheduled| (scheduled.job, scheduled.schedule.to_string())).collect();
        assert_eq!(
            jobs,
            [
                (Job::DealsScan, Job::DealsScan.default_schedule().to_owned()),
                (Job::Sweep, "0 */10 * * * *".to_owned()),
                (Job::Rates, "30 15 15 * * MON-FRI".to_owned())
            ]
        );
    }

    #[test]
    fn mistakes_name_their_variable() {
        for (variable, value) in [
            ("SCHEDULE_CATEGORY_SCRAPE", "every two hours"),
            ("SCHEDULE_DEALS_SCAN", "0 0 30 2 *"),
            ("SCHEDULE_SWEEP", "0 0 1 * 1"),
            ("SCHEDULE_RATES", "61 * * * *"),
            ("SCRAPE_CATEGORIES", "DE:562066,FR:3167641"),
            ("SCRAPE_CATEGORIES", "562066,562066"),
            ("SCRAPE_CATEGORIES", "BR:562066"),
            ("SCRAPE_CATEGORIES", "electronics"),
            ("SCRAPE_LIMIT", "0"),
            ("SCRAPE_TOKEN_BUDGET", "-5"),
            ("DEALS_MARKET", "NL"),
            ("DEALS_LIMIT", "many"),
            ("DEALS_TOKEN_BUDGET", "0"),
        ] {
            let error = read(&[(variable, value)]).expect_err(value);
            assert_eq!(error.mistakes.len(), 1, "{error}");
            assert!(error.mistakes[0].starts_with(&format!("{variable}: ")), "{error}");
        }
    }

    #[test]
    fn a_request_says_what_the_worker_needs() {
        let config = read(&[
            ("SCRAPE_CATEGORIES", "DE:562066, 9223372036854775807"),
            ("SCRAPE_LIMIT", "20"),
            ("SCRAPE_TOKEN_BUDGET", "off"),
        ])
        .expect("no mistake");
        let request = config.jobs[0].request(UnixMillis(1_768_132_800_000), 2);
        assert_eq!(request.run_id, "category-scrape@2026-01-11T12:00:00.000Z#2");
        assert_eq!((request.v, request.attempt(), request.token_budget), (1, 2, None));
        assert_eq!(
            request.parameters,
            JobParameters {
                market: Some(Marketplace::DE),
                categories: vec![562_066, i64::MAX],
                limit: Some(20)
            }
        );
    }
}
