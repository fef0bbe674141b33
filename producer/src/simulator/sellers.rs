//! The sellers of each market: Amazon itself and twenty invented merchants.

use super::listing::Seller;
use super::noise::Noise;
use super::vocabulary::{MARKETS, SELLERS};

/// Seller ids of one market.
#[derive(Debug)]
pub(super) struct Sellers {
    amazon: &'static str,
    merchants: Vec<String>,
    noise: Noise,
}

impl Sellers {
    pub(super) fn new(noise: Noise, market: usize) -> Self {
        const CHARACTERS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ";
        let noise = noise.named("seller").at(market as u64);
        let merchants = (0..SELLERS.len())
            .map(|index| {
                let letters = (0..13).map(|position| char::from(noise.at(index as u64).at(position).pick(CHARACTERS)));
                format!("A{}", letters.collect::<String>())
            })
            .collect();
        Sellers {
            amazon: MARKETS[market].amazon_seller_id().expect("known of every simulated marketplace"),
            merchants,
            noise,
        }
    }

    /// The id of who holds the buy box; `None` for nobody.
    pub(super) fn id(&self, seller: Seller) -> Option<&str> {
        match seller {
            Seller::Nobody => None,
            Seller::Amazon => Some(self.amazon),
            Seller::Merchant(index) => Some(&self.merchants[index]),
        }
    }

    pub(super) fn name(&self, seller: Seller) -> &'static str {
        match seller {
            Seller::Nobody => "",
            Seller::Amazon => "Amazon",
            Seller::Merchant(index) => SELLERS[index],
        }
    }

    pub(super) fn by_id(&self, id: &str) -> Option<Seller> {
        if id == self.amazon {
            return Some(Seller::Amazon);
        }
        self.merchants.iter().position(|merchant| merchant == id).map(Seller::Merchant)
    }

    /// Values about a seller that nothing depends on.
    pub(super) fn noise(&self, seller: Seller) -> Noise {
        self.noise.named(self.id(seller).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_lead_back_to_their_sellers() {
        let sellers = Sellers::new(Noise::new(1), 2);
        assert_eq!(sellers.by_id("A11IL2PNWYJU7H"), Some(Seller::Amazon));
        for index in 0..SELLERS.len() {
            let id = sellers.id(Seller::Merchant(index)).expect("a merchant has an id");
            assert_eq!(id.len(), 14);
            assert_eq!(sellers.by_id(id), Some(Seller::Merchant(index)));
        }
        assert_eq!(sellers.by_id("A0"), None);
        assert_eq!(sellers.id(Seller::Nobody), None);
    }
}
