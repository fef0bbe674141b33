//! `ALERT_CHANNELS` and `ALERT_RULES`: the operator's files.

use std::sync::Arc;

use serde_json::Value;
use shared::config::Environment;
use shared::domain::alert::Rule;

use super::channels::Channels;

/// Where alerts may go, and the rules of the operator's file.
#[derive(Debug, Clone, Default)]
pub struct AlertsConfig {
    pub(crate) channels: Arc<Channels>,
    pub(crate) rules: Arc<Vec<Rule>>,
}

impl AlertsConfig {
    /// Reads `ALERT_CHANNELS` (`{"channels": {NAME: {"type": ...}}}`) and `ALERT_RULES` (`{"rules": [...]}`). A rule that
    /// names a channel which is not there is a mistake.
    #[must_use]
    pub fn read(environment: &Environment) -> AlertsConfig {
        let mistakes = || environment.finish(()).map_or_else(|error| error.mistakes.len(), |()| 0);
        let before = mistakes();
        let channels = environment.file_of_many("ALERT_CHANNELS", Channels::parse);
        let are_known = mistakes() == before;
        if let Some(channels) = &channels {
            environment.note("ALERT_CHANNELS", channels.shown());
        }
        let channels = channels.unwrap_or_default();
        // Where the channels could not be read, that they lack a name is no further mistake.
        let known = are_known.then_some(&channels);
        let rules = environment.file_of_many("ALERT_RULES", |text| parse_rules(text, known)).unwrap_or_default();
        if !rules.is_empty() {
            let ids: Vec<&str> = rules.iter().map(|rule| rule.id.as_str()).collect();
            environment.note("ALERT_RULES", ids.join(", "));
        }
        AlertsConfig {
            channels: Arc::new(channels),
            rules: Arc::new(rules),
        }
    }
}

fn parse_rules(text: &str, channels: Option<&Channels>) -> Result<Vec<Rule>, Vec<String>> {
    let document: Value = serde_json::from_str(text).map_err(|error| vec![error.to_string()])?;
    let is_alone = document.as_object().is_some_and(|fields| fields.len() == 1);
    let Some(items) = document["rules"].as_array().filter(|_| is_alone) else {
        return Err(vec![r#"{"rules": [...]} is expected"#.into()]);
    };
    let mut rules: Vec<Rule> = Vec::with_capacity(items.len());
    let mut mistakes = Vec::new();
    for (index, item) in items.iter().enumerate() {
        match Rule::parse(item, None) {
            Err(wrong) => mistakes.extend(wrong.into_iter().map(|mistake| format!("rules[{index}].{mistake}"))),
            Ok(rule) => {
                if let Some(channels) = channels.filter(|channels| channels.get(&rule.channel).is_none()) {
                    mistakes.push(format!(
                        "rules[{index}].channel is {}: known in ALERT_CHANNELS: {}",
                        rule.channel,
                        channels.names()
                    ));
                }
                if rules.iter().any(|other| other.id == rule.id) {
                    mistakes.push(format!("rules[{index}].id is {}: another rule has it", rule.id));
                }
                rules.push(rule);
            }
        }
    }
    if mistakes.is_empty() { Ok(rules) } else { Err(mistakes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(channels: &str, rules: &str) -> (AlertsConfig, String, String) {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let (channels, rules) = (write("channels.json", channels), write("rules.json", rules));
        let environment = Environment::of([("ALERT_CHANNELS", channels.as_str()), ("ALERT_RULES", rules.as_str())]);
        let config = AlertsConfig::read(&environment);
        let mistakes = environment.finish(()).map_or_else(|error| error.to_string(), |()| String::new());
        (config, mistakes, format!("{:?}", environment.effective()))
    }

    const CHANNELS: &str = r#"{"channels": {"push": {"type": "ntfy", "url": "https://ntfy.example/hidden-topic"}}}"#;

    #[test]
    fn files_are_read_and_what_is_in_effect_shows_no_secret() {
        let (config, mistakes, effective) = read(CHANNELS, r#"{"rules": [{"id": "all", "channel": "push", "min_profit": 5}]}"#);
        assert_eq!((mistakes.as_str(), config.rules.len()), ("", 1));
        assert!(effective.contains("push (ntfy https://ntfy.example ****)"), "{effective}");
        assert!(!effective.contains("hidden") && !format!("{config:?}").contains("hidden"), "{effective}");
        // Where containers are given no file they have an empty one.
        let (config, mistakes, _) = read("", "");
        assert_eq!((mistakes.as_str(), config.rules.len()), ("", 0));
    }

    #[test]
    fn all_mistakes_of_both_files_are_told_together() {
        let rules =
            r#"{"rules": [{"id": "a", "channel": "mail"}, {"id": "b"}, {"id": "b", "channel": "push", "min_profit": "x"}, {"id": "a", "channel": "push"}]}"#;
        let (_, mistakes, _) = read(CHANNELS, rules);
        for expected in [
            "rules[0].channel is mail: known in ALERT_CHANNELS: push",
            "rules[1].channel is missing",
            "rules[2].min_profit is",
            "rules[3].id is a",
        ] {
            assert!(mistakes.contains(expected), "{expected}: {mistakes}");
        }
        let (_, mistakes, _) = read(
            r#"{"channels": {"push": {"type": "nfty"}}}"#,
            r#"{"rules": [{"id": "a", "channel": "push"}, {"id": "b"}]}"#,
        );
        assert!(
            mistakes.contains("ALERT_CHANNELS") && mistakes.contains("rules[1]") && !mistakes.contains("rules[0]"),
            "{mistakes}"
        );
        assert!(read(CHANNELS, "[]").1.contains("is expected"));
        let (_, mistakes, _) = read("", r#"{"rules": [{"id": "a", "channel": "mail"}]}"#);
        assert!(mistakes.contains("rules[0].channel is mail: known in ALERT_CHANNELS: none"), "{mistakes}");
    }
}
