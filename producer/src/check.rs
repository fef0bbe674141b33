//! `--check`: whether Keepa takes the key.

use crate::Config;
use crate::keepa::Client;

/// Asks Keepa for its token meter, which costs nothing, and returns the tokens left.
///
/// # Errors
/// Why Keepa did not answer, or refused the key; never the key itself.
pub async fn check_keepa(config: &Config) -> anyhow::Result<i64> {
    let client = Client::new(config.keepa_url.clone(), config.keepa_api_key.clone(), config.timeouts)?;
    let answer = client.token().await;
    match (answer.result, answer.meter) {
        (Ok(()), Some(meter)) => Ok(meter.tokens_left),
        (Ok(()), None) => anyhow::bail!("the answer has no token meter"),
        (Err(error), _) => Err(error.into()),
    }
}
