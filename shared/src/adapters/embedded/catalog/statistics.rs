//! Counts for `/stats`: one scan over the narrow tables each.

use libsql::Connection;

use super::connection::{classify, column_integer, column_optional_integer, column_text, transaction};
use super::opportunities;
use super::products::price_column;
use crate::domain::{ListedOpportunity, Marketplace, Percentage, UnixMillis};
use crate::ports::catalog::{CatalogError, Facets, MarketStatistics, NameCount, RouteStatistics, Statistics};

pub(super) async fn compute(connection: &Connection, priced_after: UnixMillis, legs_since: UnixMillis) -> Result<Statistics, CatalogError> {
    transaction(connection, "BEGIN DEFERRED", async || {
        let mut statistics = Statistics::default();
        count_products(connection, priced_after, &mut statistics).await?;
        count_opportunities(connection, legs_since, &mut statistics).await?;
        Ok(statistics)
    })
    .await
}

async fn count_products(connection: &Connection, priced_after: UnixMillis, statistics: &mut Statistics) -> Result<(), CatalogError> {
    let mut columns = vec![
        "count(*)".to_owned(),
        "count(CASE WHEN last_priced_at > ?1 THEN 1 END)".to_owned(),
        "max(last_updated)".to_owned(),
    ];
    for column in Marketplace::ALL.map(price_column) {
        columns.push(format!("count({column})"));
        columns.push(format!("max(CASE WHEN {column} IS NOT NULL THEN last_updated END)"));
    }
    let sql = format!("SELECT {} FROM products", columns.join(", "));
    let mut rows = connection.query(&sql, [priced_after.0]).await.map_err(classify)?;
    let Some(row) = rows.next().await.map_err(classify)? else { return Ok(()) };
    statistics.products_total = column_integer(&row, 0)?.unsigned_abs();
    statistics.products_active = column_integer(&row, 1)?.unsigned_abs();
    statistics.last_updated = column_optional_integer(&row, 2)?.map(UnixMillis);
    for (marketplace, column) in Marketplace::ALL.into_iter().zip((3..).step_by(2)) {
        let market = MarketStatistics {
            products: column_integer(&row, column)?.unsigned_abs(),
            last_updated: column_optional_integer(&row, column + 1)?.map(UnixMillis),
        };
        if market.products > 0 {
            statistics.markets.insert(marketplace, market);
        }
    }
    Ok(())
}

async fn count_opportunities(connection: &Connection, legs_since: UnixMillis, statistics: &mut Statistics) -> Result<(), CatalogError> {
    let sql = "SELECT source, target, count(*), max(margin_percentage), sum(margin_percentage), sum(margin), min(oldest_leg_at)
               FROM opportunities WHERE is_active = 1 AND oldest_leg_at >= ?1 GROUP BY source, target";
    let mut rows = connection.query(sql, [legs_since.0]).await.map_err(classify)?;
    while let Some(row) = rows.next().await.map_err(classify)? {
        let marketplace = |text: String| {
            text.parse::<Marketplace>().map_err(|error| CatalogError::Misconfigured {
                reason: format!("a stored opportunity cannot be read: {error}"),
            })
        };
        let route = RouteStatistics {
            source: marketplace(column_text(&row, 0)?)?,
            target: marketplace(column_text(&row, 1)?)?,
            opportunities: column_integer(&row, 2)?.unsigned_abs(),
            best_margin: Percentage(column_integer(&row, 3)?),
            margin_percentage_sum: column_integer(&row, 4)?,
        };
        let oldest_leg = UnixMillis(column_integer(&row, 6)?);
        statistics.add_route(route, column_integer(&row, 5)?, oldest_leg);
    }
    statistics.routes.sort_by_key(|route| (route.source, route.target));
    Ok(())
}

pub(super) async fn facets(connection: &Connection, legs_since: UnixMillis) -> Result<Facets, CatalogError> {
    transaction(connection, "BEGIN DEFERRED", async || {
        Ok(Facets {
            brands: count_names(connection, "brand_key", legs_since, |opportunity| opportunity.brand).await?,
            categories: count_names(connection, "category_key", legs_since, |opportunity| opportunity.category).await?,
        })
    })
    .await
}

/// Names as one of the opportunities that have them writes it.
async fn count_names(
    connection: &Connection,
    column: &str,
    legs_since: UnixMillis,
    name: impl Fn(ListedOpportunity) -> Option<String>,
) -> Result<Vec<NameCount>, CatalogError> {
    let sql = format!(
        "SELECT d.document, n.count FROM (
             SELECT {column} AS key, count(*) AS count, max(id) AS id FROM opportunities
             WHERE is_active = 1 AND oldest_leg_at >= ?1 AND {column} IS NOT NULL GROUP BY {column} ORDER BY 2 DESC, 1 LIMIT {}
         ) n JOIN opportunity_documents d ON d.id = n.id ORDER BY n.count DESC, n.key",
        Facets::MOST
    );
    let mut rows = connection.query(&sql, [legs_since.0]).await.map_err(classify)?;
    let mut counts = Vec::new();
    while let Some(row) = rows.next().await.map_err(classify)? {
        if let Some(name) = name(opportunities::decode(&column_text(&row, 0)?)?) {
            counts.push(NameCount {
                name,
                count: column_integer(&row, 1)?.unsigned_abs(),
            });
        }
    }
    Ok(counts)
}
