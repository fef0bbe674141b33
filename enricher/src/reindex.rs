//! `enricher reindex`: a new index with the present mapping, filled and put in the place of the old one while all goes on.
//!
//! How that is done, and why nothing is lost, stands in [`shared::adapters::elastic::reindex`].

use std::io::Write;

use anyhow::Context as _;
use shared::adapters::elastic::ElasticCatalog;
use shared::adapters::elastic::reindex::{Documents, Plan, Reindexed, Step};
use tokio_util::sync::CancellationToken;

/// What there is.
pub const HELP: &str = "\
Usage: enricher reindex products|opportunities|all [--to N] [--sample N] [--seed N]

Makes a new index with the present mapping and the analyzers that Elasticsearch has now, fills it from the one in use, and
moves the alias to it. Services go on meanwhile: no read fails, and writes are held up for 10 s at most, at the end.

  --to N      the new index is products-vN (opportunities-vN); else the next number. If it is in use already there is
              nothing to do
  --sample N  so many documents are compared whole before the alias moves (1000); all are counted
  --seed N    which documents these are (1)

The old index is kept, closed for writes; delete it when you want. If anything goes wrong the old index stays in use, and
the command can be repeated: what was left unfinished is removed first. One run at a time. The exit code is 0 when it is
done, 1 when it is not, 2 for wrong arguments or settings.

Where Elasticsearch is, ELASTICSEARCH_URL and INDEX_PREFIX say, and ELASTICSEARCH_API_KEY, _USERNAME, _PASSWORD and _CA how
it is reached.";

/// What is to be done.
#[derive(Debug, Clone)]
pub enum Command {
    /// Say what there is.
    Help,
    /// Rebuild these, one after the other.
    Run(Vec<Plan>),
}

/// Reads the arguments behind `reindex`.
///
/// # Errors
/// What is wrong with them, in a sentence.
pub fn parse(arguments: &[String]) -> Result<Command, String> {
    if arguments.iter().any(|argument| argument == "--help" || argument == "-h") {
        return Ok(Command::Help);
    }
    let mut plans: Vec<Plan> = Vec::new();
    let (mut to, mut sample, mut seed) = (None, None, None);
    let mut rest = arguments.iter().map(String::as_str);
    while let Some(argument) = rest.next() {
        let named: &[Documents] = match argument {
            "products" => &[Documents::Products],
            "opportunities" => &[Documents::Opportunities],
            "all" => &[Documents::Products, Documents::Opportunities],
            "--to" => {
                to = Some(number(argument, rest.next())?);
                continue;
            }
            "--sample" => {
                sample = Some(number(argument, rest.next())?);
                continue;
            }
            "--seed" => {
                seed = Some(number(argument, rest.next())?);
                continue;
            }
            other => return Err(format!("reindex does not know {other:?}")),
        };
        if !plans.is_empty() {
            return Err("reindex takes one of products, opportunities and all".to_owned());
        }
        plans.extend(named.iter().copied().map(Plan::of));
    }
    if plans.is_empty() {
        return Err("reindex needs products, opportunities or all".to_owned());
    }
    if to.is_some() && plans.len() > 1 {
        return Err("--to is the number of one index: name products or opportunities".to_owned());
    }
    for plan in &mut plans {
        plan.to = to;
        plan.sample = sample.unwrap_or(plan.sample);
        plan.seed = seed.unwrap_or(plan.seed);
    }
    Ok(Command::Run(plans))
}

fn number<T: std::str::FromStr>(name: &str, text: Option<&str>) -> Result<T, String> {
    let text = text.ok_or_else(|| format!("{name} needs a value"))?;
    text.parse().map_err(|_| format!("{name}: a number is expected, not {text:?}"))
}

/// Does what the plans say and writes how far it is.
///
/// # Errors
/// The first that cannot be done: its old index is in use, the plans after it are not begun.
pub async fn run(plans: &[Plan], catalog: &ElasticCatalog, out: &mut (impl Write + Send), shutdown: &CancellationToken) -> anyhow::Result<()> {
    for plan in plans {
        let name = match plan.documents {
            Documents::Products => "products",
            Documents::Opportunities => "opportunities",
        };
        // Nobody may be reading; the work is done all the same.
        let mut say = |text: &dyn std::fmt::Display| {
            let _ = writeln!(out, "{name}: {text}");
        };
        let done = catalog.reindex(plan, shutdown, &mut |step: Step| say(&step)).await;
        match done.with_context(|| format!("{name}: the index in use has not changed"))? {
            Some(Reindexed { from, to, documents, paused }) => {
                let millis = paused.as_millis();
                say(&format!("done: {to} is in use with {documents} documents; writes paused for {millis} ms"));
                say(&format!("{from} is kept, closed for writes: delete it when it is not needed any more"));
            }
            None => say(&"that index is in use already"),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Command, String> {
        let arguments: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        parse(&arguments)
    }

    #[test]
    fn arguments_become_plans() {
        use Documents::{Opportunities, Products};
        for (line, documents, to, sample, seed) in [
            ("products", &[Products][..], None, 1_000, 1),
            ("opportunities --to 3", &[Opportunities], Some(3), 1_000, 1),
            ("--sample 5 all --seed 7", &[Products, Opportunities], None, 5, 7),
        ] {
            let Ok(Command::Run(plans)) = parsed(line) else { panic!("{line}") };
            assert_eq!(plans.iter().map(|plan| plan.documents).collect::<Vec<_>>(), documents, "{line}");
            for plan in plans {
                assert_eq!((plan.to, plan.sample, plan.seed), (to, sample, seed), "{line}");
                assert_eq!(plan.longest_pause.as_secs(), 10, "{line}");
            }
        }
        assert!(matches!(parsed("products --help"), Ok(Command::Help)));
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        for (line, part) in [
            ("", "needs products"),
            ("--to 2", "needs products"),
            ("states", "states"),
            ("products opportunities", "one of"),
            ("products all", "one of"),
            ("all --to 2", "--to"),
            ("products --to", "needs a value"),
            ("products --to v2", "v2"),
            ("products --to -1", "-1"),
            ("products --keep", "--keep"),
        ] {
            let message = parsed(line).expect_err(line);
            assert!(message.contains(part), "{line}: {message}");
        }
    }
}
