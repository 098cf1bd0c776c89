//! A deployment whose queue loses, doubles, delays and reorders messages, whose invocations die, and whose stores
//! throttle, time out, lose answers and deliver requests late: no client sees an error that a retry would not cure,
//! nothing is lost, nothing is stale (I1, I2), and every index gets folded, by the sweep if by nothing else.
//!
//! Simulated: time is virtual, and the same seed is the same history.
//!
//! | module | what it holds |
//! |---|---|
//! | `deployment` | processes, their connections, the queue |
//! | `actors` | clients, the functions that the queue wakes, those on a schedule |
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

#[allow(dead_code, reason = "shared with crash.rs")]
mod crash {
    pub mod api;
    pub mod inspect;
    pub mod model;
    pub mod mortal;
    pub mod play;
    pub mod remote;
    pub mod script;
    pub mod world;
}

#[allow(dead_code, reason = "shared with races.rs")]
mod race {
    pub mod actors;
    pub mod arena;
    pub mod weather;
}

mod queue {
    pub mod actors;
    pub mod deployment;
}

use std::sync::Arc;
use std::time::Duration;

use crash::model::Rows;
use futures::future::join_all;
use queue::actors;
use queue::deployment::{AGE, Deployment};
use rstest::rstest;
use storage::layers::faults::QueueFaults;
use tokio::time::sleep;

const CLIENTS: u64 = 6;
const ROUNDS: u32 = 60;
/// The sweep has had a dozen chances by then.
const PATIENCE: Duration = Duration::from_secs(900);

const BAD: QueueFaults = QueueFaults {
    failed: 100,
    lost: 200,
    doubled: 200,
    delay: Duration::from_secs(20),
    hidden: Duration::from_secs(30),
};

async fn simulate(seed: u64, faults: QueueFaults) {
    let deployment = Arc::new(Deployment::new(seed, faults));
    let processes = Arc::new([deployment.process(0).await, deployment.process(1).await]);
    actors::create(&processes[0]).await;
    let mut background = Vec::new();
    for number in 0..3 {
        let process = deployment.process(2 + number).await;
        background.push(tokio::spawn(actors::worker(Arc::clone(&deployment), process, number)));
    }
    let sweeping = deployment.process(8).await;
    let sweeper = tokio::spawn(actors::sweeper(Arc::clone(&deployment), sweeping));
    let collecting = deployment.process(9).await;
    background.push(tokio::spawn(actors::collector(Arc::clone(&deployment), collecting)));
    let clients: Vec<_> = (0..CLIENTS)
        .map(|number| {
            let (deployment, processes) = (Arc::clone(&deployment), Arc::clone(&processes));
            actors::client(deployment, processes, number, ROUNDS)
        })
        .collect();
    let (mut truth, mut requests, mut retried) = (Rows::new(), 0, 0);
    for seen in join_all(clients).await {
        truth.extend(seen.rows);
        requests += seen.requests;
        retried += seen.retried;
    }
    let written = deployment.now();
    deployment.found().await.compare_rows(&truth).unwrap();
    // Nobody writes any more. The faults go on, and still the tail is folded and the garbage collected.
    let mut waited = Duration::ZERO;
    while let Err(error) = deployment.found().await.check_tidy() {
        assert!(waited < PATIENCE, "after {waited:?}: {error}");
        sleep(Duration::from_secs(5)).await;
        waited += Duration::from_secs(5);
    }
    deployment.end();
    let rung = sweeper.await.unwrap();
    for task in background {
        task.await.unwrap();
    }
    for process in processes.iter() {
        process.clear_up().await;
    }
    sleep(AGE).await;
    deployment.found().await.compare_rows(&truth).unwrap();
    let counts = deployment.queue.counts();
    println!(
        "seed {seed}: {requests} requests, {retried} of them retried, in {written:?}; tidy {waited:?} later; {counts:?}; \
         the sweep rang for {rung}"
    );
    assert!(retried > 0 && counts.lost > 0, "nothing went wrong");
    assert!(rung > 0, "the sweep had nothing to do");
}

#[rstest]
#[tokio::test(start_paused = true)]
async fn a_bad_queue_and_bad_stores_cost_time_and_nothing_else(
    #[values(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12)] seed: u64,
) {
    simulate(seed, BAD).await;
}

/// Nine of ten messages never arrive, those of the sweep included.
#[rstest]
#[tokio::test(start_paused = true)]
async fn the_sweep_finds_what_messages_do_not_tell(#[values(1, 2, 3)] seed: u64) {
    simulate(seed, QueueFaults { lost: 900, ..BAD }).await;
}
