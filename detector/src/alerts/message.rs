//! What a delivery says: as JSON for programs, as text and HTML for people. Names come from outside, so they are cut to a
//! line and never taken for markup.

use std::fmt::Write as _;

use rust_decimal::Decimal;
use serde_json::{Map, Number, Value, json};
use shared::domain::Money;
use shared::domain::alert::Figures;
use shared::domain::opportunity::{ClosedReason, EventKind};
use shared::wire::alert::{Alert, Delivery, DeliveryKind, Told};

/// Characters of a title.
const LONGEST_TITLE: usize = 120;
const SIMULATED: &str = "Simulated data: these prices are made up.";

/// The JSON that webhooks get; `schemas/webhook/alerts.v1.json` describes it.
pub(crate) fn payload(delivery: &Delivery) -> Value {
    json!({
        "v": 1,
        "idempotency_key": delivery.id,
        "kind": delivery.kind.name(),
        "simulated": delivery.simulated,
        "rule": {"id": delivery.rule, "name": delivery.rule_name},
        "created_at": delivery.created_at.to_rfc3339(),
        "alerts": delivery.alerts.iter().map(alert_payload).collect::<Vec<_>>(),
    })
}

fn alert_payload(alert: &Alert) -> Value {
    let mut fields = Map::new();
    let mut put = |name: &str, value: Value| fields.insert(name.to_owned(), value);
    put("alert_id", json!(alert.alert_id));
    put("event", json!(alert.event.name()));
    put("at", json!(alert.at.to_rfc3339()));
    put("opportunity_id", json!(alert.opportunity.to_string()));
    put("asin", json!(alert.asin));
    put("title", json!(alert.title));
    put("brand", json!(alert.brand));
    put("category", json!(alert.category));
    put("source_market", json!(alert.source_market.code()));
    put("target_market", json!(alert.target_market.code()));
    put("source_price", amount(alert.source_price.to_decimal()));
    put("source_currency", json!(alert.source_price.currency));
    put("target_price", amount(alert.target_price.to_decimal()));
    put("target_currency", json!(alert.target_price.currency));
    put("source_price_eur", amount(alert.source_price_eur.to_decimal()));
    put("target_price_eur", amount(alert.target_price_eur.to_decimal()));
    put("traps", json!(alert.traps));
    put("closed_reason", json!(alert.closed_reason.map(ClosedReason::name)));
    put("buy_url", json!(alert.source_market.product_url(alert.asin)));
    put("sell_url", json!(alert.target_market.product_url(alert.asin)));
    put("previous", alert.previous.as_ref().map_or(Value::Null, previous_payload));
    put("delta", alert.delta().map_or(Value::Null, |delta| Value::Object(figures_payload(&delta))));
    fields.append(&mut figures_payload(&alert.figures));
    Value::Object(fields)
}

fn previous_payload(told: &Told) -> Value {
    let mut fields = figures_payload(&told.figures);
    fields.insert("event".into(), json!(told.event.name()));
    fields.insert("at".into(), json!(told.at.to_rfc3339()));
    Value::Object(fields)
}

fn figures_payload(figures: &Figures) -> Map<String, Value> {
    let hundredths = |value: Option<i64>| value.map_or(Value::Null, |value| amount(Decimal::new(value, 2)));
    let fields = [
        ("margin", Some(figures.margin)),
        ("margin_percentage", Some(figures.margin_percentage.0)),
        ("profit", figures.profit),
        ("roi_percentage", figures.roi.map(|roi| roi.0)),
        ("buffer_percentage", figures.buffer.map(|buffer| buffer.0)),
        ("confidence", figures.confidence.map(|confidence| confidence.0)),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), hundredths(value))).collect()
}

/// A JSON number with the decimals it has.
fn amount(decimal: Decimal) -> Value {
    decimal.to_string().parse::<Number>().map_or(Value::Null, Value::Number)
}

/// One line: what a mail's subject and a notification's title say.
pub(crate) fn subject(delivery: &Delivery) -> String {
    let said = match (delivery.kind, &delivery.alerts[..]) {
        (DeliveryKind::Test, _) => format!("Test of rule {}", one_line(&delivery.rule_name)),
        (_, [alert]) => format!("{}: {}", capital(alert.event), headline(alert)),
        (_, alerts) => format!("{} alerts of rule {}", alerts.len(), one_line(&delivery.rule_name)),
    };
    if delivery.simulated { format!("[simulated] {said}") } else { said }
}

/// The whole message for people, at most so many characters; what does not fit is counted.
pub(crate) fn text(delivery: &Delivery, most: usize) -> String {
    let footer = footer(delivery);
    let room = most.saturating_sub(footer.chars().count() + 40);
    let mut text = if delivery.kind == DeliveryKind::Test {
        "This is a test message: the channel works.\n\n".to_owned()
    } else {
        String::new()
    };
    let mut used = text.chars().count();
    for (index, alert) in delivery.alerts.iter().enumerate() {
        let paragraph = paragraph(alert);
        let length = paragraph.chars().count();
        if used + length > room {
            let _ = write!(text, "... and {} more\n\n", delivery.alerts.len() - index);
            break;
        }
        used += length;
        text.push_str(&paragraph);
    }
    text.push_str(&footer);
    text
}

/// The same for mail programs that show HTML.
pub(crate) fn html(delivery: &Delivery, most: usize) -> String {
    let text = text(delivery, most);
    let lines = text.lines().map(|line| {
        let escaped = html_escape::encode_text(line);
        if line.starts_with("https://") {
            let link = html_escape::encode_double_quoted_attribute(line);
            format!("<a href=\"{link}\">{escaped}</a>")
        } else {
            escaped.into_owned()
        }
    });
    format!("<!doctype html><html><body><p>{}</p></body></html>", lines.collect::<Vec<_>>().join("<br>\n"))
}

fn footer(delivery: &Delivery) -> String {
    let simulated = if delivery.simulated { format!("{SIMULATED}\n") } else { String::new() };
    format!("{simulated}Rule {} - {}\n", one_line(&delivery.rule_name), delivery.id)
}

fn headline(alert: &Alert) -> String {
    let title = alert.title.as_deref().map_or_else(|| alert.asin.to_string(), one_line);
    format!(
        "{} {} > {}, {title}",
        percent(alert.figures.margin_percentage.0),
        alert.source_market,
        alert.target_market
    )
}

fn paragraph(alert: &Alert) -> String {
    let figures = &alert.figures;
    let mut text = format!("{}: {}\n", capital(alert.event), headline(alert));
    // Writing to a string cannot fail.
    let _ = writeln!(
        text,
        "buy at {} in {}, sell at {} in {} ({})",
        money(alert.source_price),
        alert.source_market,
        money(alert.target_price),
        alert.target_market,
        alert.asin
    );
    let _ = writeln!(text, "margin {}, {}", euros(figures.margin), percent(figures.margin_percentage.0));
    if let Some(profit) = figures.profit {
        let shares = [("ROI", figures.roi), ("buffer", figures.buffer)];
        let shares = shares.into_iter().filter_map(|(name, share)| Some(format!(", {name} {}", percent(share?.0))));
        let _ = writeln!(text, "profit {}{}", euros(profit), shares.collect::<String>());
    }
    if let Some(confidence) = figures.confidence {
        let against: String = alert.traps.iter().map(|trap| format!(", {}", trap.name().replace('_', " "))).collect();
        let _ = writeln!(text, "confidence {}{against}", percent(confidence.0));
    }
    if let (Some(previous), Some(delta)) = (&alert.previous, alert.delta()) {
        let profit = delta.profit.map_or_else(String::new, |profit| format!(", profit {}", signed(profit, "EUR")));
        let _ = writeln!(
            text,
            "before ({}): margin {}, {}; change {}, {}{profit}",
            previous.event.name(),
            euros(previous.figures.margin),
            percent(previous.figures.margin_percentage.0),
            signed(delta.margin, "EUR"),
            signed(delta.margin_percentage.0, "points"),
        );
    }
    if let Some(reason) = alert.closed_reason.filter(|_| alert.event == EventKind::Closed) {
        let reason = match reason {
            ClosedReason::Gap => "the gap is no longer above the threshold",
            ClosedReason::PriceGone => "a price is gone",
            ClosedReason::Stale => "a price was observed too long ago",
            ClosedReason::Rate => "there is no exchange rate",
            ClosedReason::Config => "the settings were changed",
        };
        let _ = writeln!(text, "closed: {reason}");
    }
    let _ = write!(
        text,
        "{}\n{}\n\n",
        alert.source_market.product_url(alert.asin),
        alert.target_market.product_url(alert.asin)
    );
    text
}

fn capital(event: EventKind) -> &'static str {
    match event {
        EventKind::Opened => "Opened",
        EventKind::Improved => "Improved",
        EventKind::Updated => "Updated",
        EventKind::Closed => "Closed",
    }
}

fn money(money: Money) -> String {
    format!("{} {}", money.to_decimal(), money.currency)
}

fn euros(cents: i64) -> String {
    format!("{} EUR", Decimal::new(cents, 2))
}

fn percent(hundredths: i64) -> String {
    format!("{} %", Decimal::new(hundredths, 2))
}

fn signed(hundredths: i64, unit: &str) -> String {
    let sign = if hundredths >= 0 { "+" } else { "" };
    format!("{sign}{} {unit}", Decimal::new(hundredths, 2))
}

fn one_line(text: &str) -> String {
    let plain = text.chars().map(|character| if character.is_control() { ' ' } else { character });
    plain.take(LONGEST_TITLE).collect()
}

#[cfg(test)]
mod tests {
    use shared::domain::UnixMillis;
    use shared::domain::assessment::TrapReason;

    use super::*;
    use crate::alerts::samples;

    fn improved() -> Delivery {
        let mut delivery = samples::delivery(UnixMillis(1_768_132_800_000));
        let mut alert = samples::alert(900, 1_875, Some(320));
        alert.event = EventKind::Improved;
        alert.previous = Some(Told {
            event: EventKind::Opened,
            at: UnixMillis(1_768_132_700_000),
            figures: samples::figures(700, 1_459, Some(400)),
        });
        delivery.alerts = vec![alert];
        delivery
    }

    #[test]
    fn numbers_keep_their_decimals_and_the_change_is_told() {
        let payload = payload(&improved());
        let alert = &payload["alerts"][0];
        for (pointer, expected) in [
            ("/margin", "9.00"),
            ("/margin_percentage", "18.75"),
            ("/profit", "3.20"),
            ("/roi_percentage", "null"),
            ("/previous/margin", "7.00"),
            ("/previous/profit", "4.00"),
            ("/delta/margin", "2.00"),
            ("/delta/margin_percentage", "4.16"),
            ("/delta/profit", "-0.80"),
            ("/source_price", "47.99"),
        ] {
            assert_eq!(alert.pointer(pointer).map(Value::to_string).as_deref(), Some(expected), "{pointer}");
        }
        let text = text(&improved(), 4_000);
        assert!(text.contains("change +2.00 EUR, +4.16 points, profit -0.80 EUR"), "{text}");
    }

    #[test]
    fn what_speaks_against_it_is_told_to_people_and_programs() {
        let mut delivery = improved();
        delivery.alerts[0].figures.confidence = Some(shared::domain::Percentage(3_000));
        delivery.alerts[0].traps = vec![TrapReason::PriceOutlier, TrapReason::AmazonBack];
        let alert = &payload(&delivery)["alerts"][0];
        assert_eq!(alert["confidence"].to_string(), "30.00");
        assert_eq!(alert["traps"], json!(["price_outlier", "amazon_back"]));
        let text = text(&delivery, 4_000);
        assert!(text.contains("confidence 30.00 %, price outlier, amazon back\n"), "{text}");
    }

    #[test]
    fn what_webhooks_get_fits_the_published_schema() {
        let schema = serde_json::from_str(include_str!("../../../schemas/webhook/alerts.v1.json")).unwrap();
        let schema = jsonschema::draft202012::new(&schema).unwrap();
        let mut digest = improved();
        digest.kind = DeliveryKind::Digest;
        digest.alerts.push(samples::alert(700, 1_459, None));
        digest.alerts[0].closed_reason = Some(ClosedReason::Gap);
        digest.alerts[0].traps = vec![TrapReason::OfferFlood];
        digest.alerts[0].figures.confidence = Some(shared::domain::Percentage(7_000));
        digest.alerts[0].figures.roi = Some(shared::domain::Percentage(250));
        let mut test = improved();
        test.kind = DeliveryKind::Test;
        test.alerts.clear();
        for delivery in [improved(), digest, test] {
            let payload = payload(&delivery);
            let errors: Vec<String> = schema
                .iter_errors(&payload)
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert!(errors.is_empty(), "{}", errors.join("\n"));
        }
        // What is not described is refused, so the schema lists all there is.
        let mut more = payload(&improved());
        more["alerts"][0]["more"] = json!(1);
        assert!(!schema.is_valid(&more));
    }

    #[test]
    fn simulated_data_is_named_wherever_a_message_is_read() {
        let mut delivery = improved();
        for simulated in [true, false] {
            delivery.simulated = simulated;
            assert_eq!(payload(&delivery)["simulated"], json!(simulated));
            assert_eq!(subject(&delivery).contains("[simulated]"), simulated);
            assert_eq!(text(&delivery, 4_000).contains(SIMULATED), simulated);
            assert_eq!(html(&delivery, 4_000).contains("Simulated data"), simulated);
        }
    }

    #[test]
    fn a_title_is_a_line_and_no_markup() {
        let mut delivery = improved();
        delivery.alerts[0].title = Some("<b>Kettle</b>\r\nBcc: all@example.org".into());
        assert!(!subject(&delivery).contains(['\r', '\n']));
        let html = html(&delivery, 4_000);
        assert!(html.contains("&lt;b&gt;Kettle") && !html.contains("<b>"), "{html}");
    }

    #[test]
    fn what_does_not_fit_is_counted_and_the_key_is_always_there() {
        let mut delivery = improved();
        delivery.alerts = (0..50).map(|_| samples::alert(700, 1_459, None)).collect();
        let text = text(&delivery, 2_000);
        assert!(text.chars().count() <= 2_000, "{}", text.chars().count());
        assert!(text.contains(" more\n") && text.contains(&delivery.id), "{text}");
    }
}
