//! Statistics equal an independent computation.

use std::collections::BTreeMap;
use std::sync::Arc;

use shared::ports::catalog::Statistics;

use super::samples::{at, opportunities, products};
use super::{Subject, all_written, contract, creates};

contract!(an_empty_catalog_has_no_statistics, statistics_equal_an_independent_computation);

async fn an_empty_catalog_has_no_statistics(subject: Arc<Subject>) {
    assert_eq!(subject.catalog.statistics(at(0), at(0)).await.unwrap(), Statistics::default());
}

async fn statistics_equal_an_independent_computation(subject: Arc<Subject>) {
    let products = products(31, 120);
    let opportunities = opportunities(32, 12);
    all_written(&subject.catalog.write_products(&creates(&products)).await.unwrap());
    all_written(&subject.catalog.write_opportunities(&creates(&opportunities)).await.unwrap());
    subject.refresh().await;
    for bound in [-1, 7, 10, 19, 100] {
        let statistics = subject.catalog.statistics(at(bound), at(bound)).await.unwrap();
        assert_eq!(statistics.products_total, 120);
        let active = products
            .iter()
            .filter(|stored| stored.product.last_priced_at.is_some_and(|priced| priced > at(bound)));
        assert_eq!(statistics.products_active, active.count() as u64, "{bound}");
        assert_eq!(statistics.last_updated, products.iter().map(|stored| stored.product.last_updated).max());
        let mut markets = BTreeMap::new();
        for stored in &products {
            for &marketplace in stored.listing.prices.keys() {
                let (count, newest) = markets.entry(marketplace).or_insert((0, stored.product.last_updated));
                *count += 1;
                *newest = stored.product.last_updated.max(*newest);
            }
        }
        let found: BTreeMap<_, _> = statistics
            .markets
            .iter()
            .map(|(&marketplace, market)| (marketplace, (market.products, market.last_updated.unwrap())))
            .collect();
        assert_eq!(found, markets);

        let active: Vec<_> = opportunities
            .iter()
            .filter(|opportunity| opportunity.is_active && opportunity.oldest_leg() >= at(bound))
            .collect();
        assert_eq!(statistics.opportunities_active, active.len() as u64, "{bound}");
        assert_eq!(statistics.best_margin, active.iter().map(|opportunity| opportunity.margin_percentage).max());
        assert_eq!(statistics.oldest_leg, active.iter().map(|opportunity| opportunity.oldest_leg()).min());
        assert_eq!(statistics.margin_sum, active.iter().map(|opportunity| opportunity.margin.minor).sum::<i64>());
        let percentages = |opportunities: &[&shared::domain::Opportunity]| opportunities.iter().map(|opportunity| opportunity.margin_percentage.0).sum::<i64>();
        assert_eq!(statistics.margin_percentage_sum, percentages(&active));
        let mut routes = BTreeMap::new();
        for opportunity in active {
            routes
                .entry((opportunity.id.source, opportunity.id.target))
                .or_insert_with(Vec::new)
                .push(opportunity);
        }
        assert_eq!(statistics.routes.len(), routes.len());
        for (route, ((source, target), opportunities)) in statistics.routes.iter().zip(routes) {
            assert_eq!((route.source, route.target), (source, target), "routes stand in order");
            assert_eq!(route.opportunities, opportunities.len() as u64);
            assert_eq!(
                Some(route.best_margin),
                opportunities.iter().map(|opportunity| opportunity.margin_percentage).max()
            );
            assert_eq!(route.margin_percentage_sum, percentages(&opportunities));
        }
    }
}
