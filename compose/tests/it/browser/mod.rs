//! The dashboard as its readers see it: the running product in headless Chromium.
//!
//! Each test sets a [`stage`] and plays a page script of `pages/` on it. What holds on every page in every script is in
//! `pages/reader.mjs`: no error, no violation of the content security policy, nothing asked of another origin but images.
//!
//! `BROWSER=required` makes it a failure that there is no Chromium, Node.js or npm; `CHROMIUM` names the browser, `SCREENSHOTS` the
//! folder for pictures.

mod articles;
mod chromium;
mod outage;
mod shop;
mod stage;

use std::future::Future;

use self::articles::{hostile, ordinary};
use self::chromium::Browser;
use self::outage::Catalog;
use self::stage::Stage;
use crate::cluster::servers::Servers;

/// One browser and one product at a time: what is measured is the page, not how busy the machine is.
static ONE_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// Plays page scripts one after the other on a stage that has so many opportunities.
async fn play(test: &str, scripts: &[&str], least: u64, stage: impl Future<Output = Stage>) {
    let _turn = ONE_AT_A_TIME.lock().await;
    let Some(browser) = Browser::find(test).await else { return };
    let mut stage = stage.await;
    stage.has_opportunities(least).await;
    for script in scripts {
        browser.run(script, &mut stage).await;
    }
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_sorting_and_pages_change_the_table_and_the_url_which_gives_the_same_view_again() {
    play("filters_sorting_and_pages", &["filters", "sorting"], 120, Stage::with(ordinary(60))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_arrive_by_themselves_are_marked_and_move_nothing_under_the_readers_hand() {
    play("changes_arrive_by_themselves", &["changes"], 20, Stage::with(ordinary(12))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_of_the_simulated_product_moves_looks_right_and_can_be_used_by_everybody() {
    play("every_page_of_the_simulated_product", &["simulator", "gallery"], 50, Stage::simulated()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_articles_chart_routes_and_ledger_say_what_the_api_says() {
    play(
        "an_articles_chart",
        &["product", "opportunity", "routes", "system"],
        60,
        Stage::with(ordinary(30)),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn language_and_colours_follow_the_reader_and_the_keyboard_is_enough() {
    play("language_and_colours", &["language", "theme", "keyboard"], 40, Stage::with(ordinary(20))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn titles_prices_and_images_of_any_kind_look_right() {
    play("titles_prices_and_images", &["hostile"], 12, Stage::with(hostile())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_away_is_told_and_heals() {
    play("what_is_away", &["outage"], 20, Stage::quiet(ordinary(12), Catalog::embedded())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn with_elasticsearch_stopped_the_last_figures_stay_and_are_called_stale() {
    let test = "with_elasticsearch_stopped";
    let Some(servers) = Servers::find(test).await else { return };
    let stage = async {
        let catalog = Catalog::elasticsearch(&servers.elasticsearch).await;
        Stage::quiet(ordinary(12), catalog).await
    };
    play(test, &["stale"], 20, stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_there_at_once_and_stays_smooth_with_500_rows() {
    play("the_page_is_there_at_once", &["speed"], 500, Stage::with(ordinary(160))).await;
}
