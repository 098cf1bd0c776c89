//! What each operation costs in requests and in waiting, counted and asserted: a change that adds a request to a put or
//! a query has to say so here. Once over memory in virtual time, with what the DynamoDB adapter sends for each call;
//! and once over DynamoDB Local and MinIO, where what passes over the wire is counted (feature `servers`).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    dead_code,
    missing_docs
)]

#[path = "access/desk.rs"]
mod desk;
mod trips;
#[path = "trips/wire_log.rs"]
mod wire_log;

use std::collections::{BTreeMap, BTreeSet};

use model::Operation;
use trips::expected::EXPECTED;
use trips::plays::{self, Measured};
use trips::stage::Place;
use wire_log::OnServers;

#[tokio::test(start_paused = true)]
async fn every_operation_sends_what_it_needs_and_no_more() {
    let measured = trips::measure_everything().await;
    let found: Vec<(&str, &str, String, u64)> = measured
        .iter()
        .map(|one| (one.what, one.state, one.waves(), one.took.as_millis() as u64))
        .collect();
    for line in &found {
        let (what, state, waves, took) = line;
        let expected = EXPECTED.contains(&(what, state, waves, *took));
        assert!(expected, "not expected:\n    {line:?},\nof\n{found:#?}");
    }
    assert_eq!(found.len(), EXPECTED.len());
    let operations: BTreeSet<&str> = found.iter().map(|(what, ..)| *what).collect();
    assert!(
        Operation::ALL
            .iter()
            .all(|operation| operations.contains(operation.name()))
    );
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../ARCHITECTURE.md");
    let page = std::fs::read_to_string(page).unwrap();
    let shown = page
        .split_once("<!-- round-trips:begin -->\n")
        .and_then(|(_, rest)| rest.split_once("\n<!-- round-trips:end -->"))
        .map(|(shown, _)| shown);
    assert_eq!(
        shown,
        Some(trips::report::table(&measured).as_str()),
        "ARCHITECTURE.md shows another table: make round-trips"
    );
}

/// How many requests of each kind are expected.
fn expected_counts(what: &str, state: &str) -> BTreeMap<String, usize> {
    let (_, _, waves, _) = EXPECTED
        .iter()
        .find(|(is, at, ..)| *is == what && *at == state)
        .unwrap_or_else(|| panic!("nothing is expected of {what}, {state}"));
    let mut counts = BTreeMap::new();
    for wave in waves.split("; ") {
        let (times, wave) = wave.split_once(" times ").unwrap_or(("1", wave));
        for part in wave.split(" + ") {
            let mut words = part.split(' ').peekable();
            let count = words.next_if(|word| word.parse::<usize>().is_ok()).unwrap_or("1");
            let count = count.parse::<usize>().unwrap() * times.parse::<usize>().unwrap();
            *counts.entry(words.next().unwrap().to_owned()).or_default() += count;
        }
    }
    counts
}

fn check(measured: &[Measured]) {
    for one in measured {
        assert_eq!(
            one.counts(),
            expected_counts(one.what, one.state),
            "{}, {}: {}",
            one.what,
            one.state,
            one.waves()
        );
    }
}

/// The adapters themselves send no more than that.
#[tokio::test]
#[cfg_attr(not(feature = "servers"), ignore = "starts servers: cargo test --features servers")]
async fn the_adapters_send_that_and_no_more() {
    let servers = OnServers::start().await;
    let place = || Box::new(servers.database()) as Box<dyn Place>;
    for operation in Operation::ALL {
        check(&plays::operation(place(), &desk::owner(), operation).await);
    }
    check(&plays::queries(place).await);
    check(&plays::indexing(place).await);
}
